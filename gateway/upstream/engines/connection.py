"""One HTTP/1.1 connection: an asyncio protocol around the response parser, with one timer for every deadline."""

from __future__ import annotations

import asyncio
import socket
from math import inf
from typing import TYPE_CHECKING, cast

import httptools

from gateway.corking import flush, turn_of
from gateway.errors import (
    UpstreamBadResponse,
    UpstreamDisconnected,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTruncated,
)

from .parsing import Refusal, ResponseParser
from .response import Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.ports import Deadlines

    from .pool import Pool

IDLE_SECONDS = 55.0
"""How long an unused connection is kept: less than the 60 s after which common load balancers drop it."""
_TICK = 0.001
"""Loops round their timers to milliseconds: what is due within one is due."""


class Connection(asyncio.Protocol):
    """Carries one exchange at a time. `start` binds a response to it; bytes, failures and deadlines then go there.

    When the last byte is here the connection lets go of the response and returns to the pool by itself, or closes if
    anything about it is unclean. Without an exchange any byte that arrives closes it.
    """

    __slots__ = (
        "_deadline",
        "_drained",
        "_loop",
        "_parser",
        "_paused",
        "_pool",
        "_timer",
        "_timer_at",
        "_transport",
        "_turn",
        "_upload",
        "_writable",
        "closed",
        "response",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: Pool[Connection]) -> None:
        self._loop = loop
        self._turn = turn_of(loop)
        self._pool = pool
        self._parser = ResponseParser()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._deadline = inf
        self._paused = False
        self._writable = True
        self._drained: asyncio.Future[None] | None = None
        self._upload: asyncio.Task[None] | None = None
        self.response: Response | None = None
        self.closed = False

    # ---- what the engine calls ----

    def start(self, deadlines: Deadlines, give_up: float, *, bodiless: bool) -> Response:
        """Begin an exchange: the head must be here at loop time `give_up`. `bodiless` is for HEAD."""
        self.response = response = Response(self._loop, self, deadlines)
        self._parser.begin(response, bodiless=bodiless)
        self._deadline = give_up
        if give_up < self._timer_at:
            self._arm(give_up)
        return response

    def write(self, data: bytes) -> None:
        """Send, or queue if the socket is full. Nothing happens on a closed connection: its response has failed."""
        if self._transport is not None and not self.closed:
            self._turn.write(self._transport, data)

    def writelines(self, parts: Sequence[bytes]) -> None:
        """Send several parts without joining them."""
        if self._transport is not None and not self.closed:
            flush()
            self._transport.writelines(parts)

    async def drain(self) -> None:
        """Until the socket takes more, or the connection is closed."""
        flush()
        while not self._writable and not self.closed:
            self._drained = self._loop.create_future()
            try:
                await self._drained
            finally:
                self._drained = None

    def attach_upload(self, task: asyncio.Task[None]) -> None:
        """The request's body is sent by this task; the connection is unclean until it is done."""
        self._upload = task
        task.add_done_callback(self._upload_done)

    def postpone(self) -> None:
        """Part of a streamed request body was sent: the time to the first byte starts again."""
        response = self.response
        if response is not None and response.status == 0:
            self._arm_within(response.deadlines.first_byte, response.deadlines.at)

    def resume(self) -> None:
        """The reader drained its buffer."""
        if self._paused:
            self._paused = False
            if self._transport is not None and not self.closed:
                self._transport.resume_reading()
                self._await_more()

    def discard(self) -> None:
        """Close at once without a word and leave the pool. May be repeated."""
        self._close(abort=True)

    def close(self) -> None:
        """Close an idle connection properly and leave the pool."""
        self._close(abort=False)

    def break_off(self) -> None:
        """The engine closes: an answer still open fails."""
        self._fail_and_discard(UpstreamTruncated() if self._head_is_here() else UpstreamDisconnected())

    # ---- what the transport calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.closed:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        response = self.response
        if response is None:
            # Nothing was asked, or it is answered: whatever this is, the next request must not get it.
            self.discard()
            return
        response.got_bytes = True
        try:
            self._parser.feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, Refusal) as error:
            self._failed_to_parse(response, error)
            if not response.complete:
                return
            self._finish(response, clean=False)
        else:
            if response.complete:
                self._finish(response, clean=True)
            elif not response.status:
                return
            elif response.buffered > response.high_water:
                self._pause()
            else:
                deadlines = response.deadlines
                due = self._loop.time() + deadlines.idle
                self._deadline = due = due if deadlines.at is None or due < deadlines.at else deadlines.at
                if due < self._timer_at:
                    self._arm(due)
                if response.whole:
                    return
        if response.changed is not None:
            response.changed()
        elif response.waiter is not None and not response.waiter.done():
            response.waiter.set_result(None)

    def eof_received(self) -> bool | None:
        self._ended()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._ended()
        else:
            self._fail_and_discard(self._break())
        self._transport = None
        self._parser.close()
        self._wake_writer()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self._wake_writer()

    # ---- the course of an exchange ----

    def _failed_to_parse(self, response: Response, error: Exception) -> None:
        """What came makes no sense; before the end that fails the response."""
        if not response.complete:
            failure = UpstreamTruncated() if self._parser.framing_broke(response) else UpstreamBadResponse()
            failure.__cause__ = error
            self._fail_and_discard(failure)

    def _finish(self, response: Response, *, clean: bool) -> None:
        """The last byte is here: keep the connection if nothing speaks against it."""
        transport = self._transport
        self.response = None
        self._parser.end()
        response.complete, response.carrier = True, None
        if (
            not clean
            or self.closed
            or transport is None
            or (self._upload is not None and not self._upload.done())
            or not self._parser.keep_alive
            or transport.is_closing()
            or transport.get_write_buffer_size()
        ):
            self.discard()
            return
        if self._paused:
            self._paused = False
            transport.resume_reading()
        self._deadline = until = self._loop.time() + min(IDLE_SECONDS, self._parser.idle_seconds)
        if until < self._timer_at:
            self._arm(until)
        self._pool.give_back(self)

    def _ended(self) -> None:
        """The peer closed: the regular end of a body without length, else a break."""
        response = self.response
        if response is not None and self._parser.ends_at_eof:
            response.complete = True
            self._finish(response, clean=False)
            response.wake()
        self._fail_and_discard(self._break())

    def _break(self) -> UpstreamDisconnected | UpstreamTruncated:
        return UpstreamTruncated() if self._head_is_here() else UpstreamDisconnected()

    def _head_is_here(self) -> bool:
        return self.response is not None and self.response.status != 0

    def _fail_and_discard(self, error: BaseException) -> None:
        response = self.response
        self.discard()
        if response is not None:
            response.fail(error)

    def _close(self, *, abort: bool) -> None:
        if self.closed:
            return
        self.closed = True
        self.response = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._upload is not None:
            self._upload.cancel()
        if self._transport is not None:
            if abort:
                self._transport.abort()
            else:
                self._transport.close()
        self._wake_writer()
        self._pool.drop(self)

    def _upload_done(self, task: asyncio.Task[None]) -> None:
        self._upload = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail_and_discard(error)

    def _wake_writer(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _pause(self) -> None:
        """The reader is slow: what it does not take stays with the upstream. Only the deadline of all counts now."""
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()
            if self.response is not None:
                at = self.response.deadlines.at
                self._arm(inf if at is None else at)

    # ---- time ----

    def _await_more(self) -> None:
        """The next bytes are due within the idle time."""
        if self.response is not None:
            self._arm_within(self.response.deadlines.idle, self.response.deadlines.at)

    def _arm_within(self, seconds: float, at: float | None) -> None:
        due = self._loop.time() + seconds
        self._arm(due if at is None or due < at else at)

    def _arm(self, when: float) -> None:
        """Set the deadline. The timer moves only if it would fire too late; if it fires early it looks again."""
        self._deadline = when
        if when < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = when
            self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, inf
        if self._deadline == inf:
            return
        if self._deadline - self._loop.time() > _TICK:
            self._arm(self._deadline)
        else:
            self._expire()

    def _expire(self) -> None:
        response = self.response
        if response is None:
            self.close()
        elif response.status == 0 or (response.deadlines.at is not None and self._deadline >= response.deadlines.at):
            self._fail_and_discard(UpstreamTimeout())
        else:
            self._fail_and_discard(UpstreamStalled())
