"""The engine of provider type `mock`: plays the scripted provider in this process, no sockets, real deadlines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from gateway.errors import (
    UpstreamDisconnected,
    UpstreamError,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTruncated,
)
from gateway.providers.scripted import (
    Bill,
    Cut,
    End,
    Entry,
    Head,
    Request,
    Scenario,
    Send,
    Stall,
    Wait,
    request_of,
    respond,
)

from .inprocess import earliest, whole_answer, whole_request

if TYPE_CHECKING:
    from gateway.ports import Deadlines, UpstreamRequest
    from gateway.types import Headers


class MockEngine:
    """An `Engine` whose answers come from `respond`. All instances of a process share one bill."""

    bill: ClassVar[Bill] = Bill()

    def __init__(self) -> None:
        self._open: set[MockResponse] = set()

    def __repr__(self) -> str:
        return f"<MockEngine open={len(self._open)}>"

    async def send(self, request: UpstreamRequest, deadlines: Deadlines) -> MockResponse:
        """Play up to the head. Raises UpstreamTimeout, UpstreamDisconnected."""
        first_byte = earliest(deadlines.first_byte, deadlines.at)
        asked = await _asked(request, first_byte)
        scenario = respond(asked)
        response = MockResponse(scenario, self.bill.open(asked, scenario), deadlines, self._open)
        try:
            await response.play_head(first_byte)
        except BaseException:  # whatever ended it, nobody reads the rest
            response.abort()
            raise
        return response

    async def close(self) -> None:
        """Break off every answer that is still open."""
        for response in list(self._open):
            response.abort()


class MockResponse:
    """One answer being played; see `UpstreamResponse`."""

    def __init__(self, scenario: Scenario, entry: Entry, deadlines: Deadlines, siblings: set[MockResponse]) -> None:
        self.status = scenario.status
        self.headers: Headers = scenario.headers
        self._steps, self._at = scenario.steps, 0
        self._entry, self._deadlines, self._siblings = entry, deadlines, siblings
        self._ended = False
        self._broken: UpstreamError | None = None
        self._pausing: asyncio.Future[None] | None = None
        siblings.add(self)

    def __repr__(self) -> str:
        return f"<MockResponse {self.status} step {self._at}/{len(self._steps)}{' ended' if self._ended else ''}>"

    async def play_head(self, deadline: float) -> None:
        """Pass everything up to and with the head. Raises UpstreamTimeout, UpstreamDisconnected."""
        while True:
            step = self._steps[self._at]
            if isinstance(step, Wait | Stall):
                await self._pause(step, deadline, UpstreamTimeout, UpstreamDisconnected)
            elif isinstance(step, Cut):
                self._finish("cut")
                raise UpstreamDisconnected
            self._at += 1
            if isinstance(step, Head):
                return

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises UpstreamTooLarge, UpstreamTruncated, UpstreamStalled, UpstreamTimeout."""
        return await whole_answer(self, limit)

    async def chunk(self) -> bytes:
        """The bytes of the next send, `b""` at the end. Raises UpstreamTruncated, UpstreamStalled, UpstreamTimeout."""
        idle = earliest(self._deadlines.idle, self._deadlines.at)
        # A body without pauses must still let others run, above all whoever wants to abort it.
        await asyncio.sleep(0)
        while not self._ended:
            if self._broken is not None:
                raise self._broken
            step = self._steps[self._at]
            if isinstance(step, Wait | Stall):
                late = UpstreamTimeout if idle == self._deadlines.at else UpstreamStalled
                await self._pause(step, idle, late, UpstreamTruncated)
            elif isinstance(step, Cut):
                self._finish("cut", UpstreamTruncated())
                continue
            self._at += 1
            if isinstance(step, Send) and step.data:
                return self._deliver(step)
            if isinstance(step, End):
                self._complete()
        return b""

    def abort(self) -> None:
        """Drop the answer, unless it is complete; a `chunk` that waits raises UpstreamTruncated."""
        if not self._ended and self._broken is None:
            self._finish("cancelled", UpstreamTruncated())

    def _deliver(self, step: Send) -> bytes:
        self._entry.sent(step.tokens)
        if isinstance(self._steps[self._at], End):
            # What is left holds no more bytes: on a wire the answer would be complete now.
            self._entry.close("completed")
        return step.data

    def _complete(self) -> None:
        self._ended = True
        self._finish("completed")

    def _finish(self, outcome: str, error: UpstreamError | None = None) -> None:
        self._broken = error
        self._entry.close("cut" if outcome == "cut" else "completed" if outcome == "completed" else "cancelled")
        self._siblings.discard(self)
        if self._pausing is not None and not self._pausing.done():
            self._pausing.set_result(None)

    async def _pause(
        self, step: Wait | Stall, deadline: float, late: type[UpstreamError], broken: type[UpstreamError]
    ) -> None:
        """Wait as long as the step says. Raises `late` if the deadline comes first, `broken` if aborted meanwhile."""
        loop = asyncio.get_running_loop()
        wanted = loop.time() + step.seconds if isinstance(step, Wait) else float("inf")
        self._pausing = pausing = loop.create_future()
        timer = loop.call_at(min(wanted, deadline), _wake, pausing)
        try:
            await pausing
        finally:
            timer.cancel()
            self._pausing = None
        if self._broken is not None:
            raise broken
        if wanted > deadline:
            self._finish("cancelled", late())
            raise late


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _asked(request: UpstreamRequest, deadline: float) -> Request:
    head = request.head
    try:
        async with asyncio.timeout_at(deadline):
            body = await whole_request(request.body)
    except TimeoutError as error:
        raise UpstreamTimeout from error
    return request_of(head.method.decode(), head.target.decode("latin-1"), (*head.headers, *request.extra), body)
