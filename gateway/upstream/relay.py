"""An answer under way: what of it is ready, a read at a time, and how it ended."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from math import inf
from typing import cast

from gateway.errors import (
    DeadlineExceeded,
    GatewayError,
    UpstreamBadResponse,
    UpstreamError,
    UpstreamStalled,
    UpstreamTimeout,
)
from gateway.ports import (
    ByteSink,
    Clock,
    Numbering,
    StreamDecoder,
    TappedResponse,
    TellsFailure,
    TellsInput,
    TellsTier,
    UpstreamResponse,
)
from gateway.types import Provider, Usage
from gateway.upstream.secrecy import without_secrets

LINGER_SECONDS = 0.5
"""How long the end of a body may come after the last event."""
EARLY_SECONDS = 0.005
"""By which a timer of the event loop may come."""
_LINGERING: set[asyncio.Future[None]] = set()
"""Tasks of which nobody else keeps a reference."""


class Relay:
    """A committed stream. `over` turns true with the last ready bytes; then `failure` says whether the answer is
    whole."""

    __slots__ = ("_clock", "_decoder", "_held", "_provider", "_response", "_until", "failure", "over")

    def __init__(self, response: UpstreamResponse, decoder: StreamDecoder | None, provider: Provider) -> None:
        self._response = response
        self._decoder = decoder
        self._provider = provider
        self._held = b""
        self._until = inf
        self._clock: Clock = float
        self.over = False
        self.failure: GatewayError | None = None

    def allow(self, until: float, clock: Clock) -> None:
        """The client allows no more time than that: a time-out from then on is its own doing."""
        self._until, self._clock = until, clock

    @property
    def events(self) -> bool:
        """Whether this is an event stream, which can end in an error frame; plain bytes can only break off."""
        return self._decoder is not None

    @property
    def usage(self) -> Usage | None:
        """What the provider counted, once it said so."""
        return self._decoder.usage if self._decoder is not None else None

    @property
    def known_input(self) -> Usage | None:
        """What the provider counted of the input, where it said so before anything else."""
        decoder: object = self._decoder
        return decoder.known_input if isinstance(decoder, TellsInput) else None

    @property
    def service_tier(self) -> str:
        """The tier of service that the provider told so far; empty for the ordinary one."""
        decoder: object = self._decoder
        return decoder.service_tier if isinstance(decoder, TellsTier) else ""

    @property
    def relayed(self) -> tuple[int, int, tuple[int, int] | None]:
        """Events and bytes handed on so far, and what the decoder says of their `text`."""
        decoder = self._decoder
        return (0, 0, None) if decoder is None else (decoder.events, decoder.relayed_bytes, decoder.text)

    @property
    def told(self) -> int:
        """How many events the client has been told."""
        writer: object = self._decoder
        if isinstance(writer, Numbering):
            return writer.number
        return 0 if self._decoder is None else self._decoder.events

    @property
    def failure_told(self) -> bool:
        """Whether the client read of the `failure` in an event of the provider's."""
        decoder: object = self._decoder
        return isinstance(decoder, TellsFailure) and decoder.failure_told

    async def first(self, seconds: float, clock: Clock) -> None:
        """Wait until something can be sent: after the first bytes that are nothing of the kind, as comments are, no
        longer than these seconds. Raises the UpstreamError that came instead: nothing is committed then."""
        until: float | None = None
        while not (held := await self._ready()) and not self.over:
            if until is None:
                until = clock() + seconds
            elif clock() >= until:
                self.end_with(UpstreamTimeout())
                break
        if not held:
            raise self.failure or UpstreamBadResponse()
        self._held = held

    async def next(self) -> bytes:
        """The next ready bytes; `b""` only together with `over`."""
        held = self._held
        if held:
            self._held = b""
            return held
        return b"" if self.over else await self._read()

    async def _read(self) -> bytes:
        while not (ready := await self._ready()) and not self.over:
            pass
        return ready

    async def _ready(self) -> bytes:
        """What the next bytes make ready, perhaps nothing."""
        try:
            data = await self._response.chunk()
        except UpstreamError as error:
            self.end_with(error)
            return b""
        return self.digested(data)

    def digested(self, data: bytes) -> bytes:
        """What these bytes make ready, perhaps nothing; `b""` is the end of the body."""
        decoder = self._decoder
        if decoder is None:
            if not data:
                self.end_with(None)
            return data
        out = decoder.feed(data) if data else decoder.end()
        if decoder.complete or decoder.failure is not None or not data:
            self.end_with(decoder.failure)
        return out

    async def pump(self, client: ByteSink) -> bytes:
        """Relay to this client until the answer is over; the last ready bytes are returned, not pushed.

        From read to write nothing is awaited: an event costs no task switch. Where the engine cannot do that, the
        next ready bytes are returned (`over` says whether they are the last).
        """
        if self._held or self.over or not _is_tapped(type(self._response)):
            return await self.next()
        pump = Pump(self, cast("TappedResponse", self._response), client)
        return await pump.run()

    def end_with(self, failure: UpstreamError | None) -> None:
        """Nothing more is read: the answer is whole, or this is what became of it."""
        self.over = True
        self.failure = failure and without_secrets(failure, self._provider)
        if isinstance(failure, UpstreamTimeout | UpstreamStalled) and self._clock() >= self._until - EARLY_SECONDS:
            self.failure = DeadlineExceeded()
        if failure is None and not getattr(self._response, "complete", False):
            _await_end(self._response)
        else:
            self._response.abort()

    def abort(self) -> None:
        """Stop reading; the provider's connection is closed unless its answer was complete."""
        self.over = True
        self._response.abort()


class Pump:
    """Moves a relay's bytes to its client whenever either of them has changed."""

    __slots__ = ("_client", "_last", "_moving", "_relay", "_response")

    def __init__(self, relay: Relay, response: TappedResponse, client: ByteSink) -> None:
        self._relay = relay
        self._response = response
        self._client = client
        self._last: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._moving = False

    async def run(self) -> bytes:
        """Until the answer is over: its last ready bytes."""
        self._response.tap(self._move)
        self._client.on_resume = self._move
        try:
            self._move()
            return await self._last
        finally:
            self._response.tap(None)
            self._client.on_resume = None

    def _move(self) -> None:
        last, client, relay, response = self._last, self._client, self._relay, self._response
        if self._moving or last.done():
            # Moving changes both sides: the loop below sees for itself what its own doing brought about.
            return
        self._moving = True
        try:
            while not client.paused:
                data = response.take()
                if data is None:
                    return
                ready = relay.digested(data)
                if relay.over:
                    last.set_result(ready)
                    return
                if ready:
                    client.push(ready)
        except UpstreamError as error:
            relay.end_with(error)
            last.set_result(b"")
        except Exception as bug:  # called by the transport, where nobody would hear of it: the request's task fails
            last.set_exception(bug)
        finally:
            self._moving = False


@lru_cache(maxsize=16)
def _is_tapped(kind: type) -> bool:
    """Asked of the class, and once: of an object a protocol is asked member by member."""
    return issubclass(kind, TappedResponse)


def _await_end(response: UpstreamResponse) -> None:
    """Wait beside the client for the end of the framing, which many servers send after the last event.

    With it the connection serves again; without this wait every such stream would cost a new one, handshakes included.
    """

    async def drain() -> None:
        try:
            async with asyncio.timeout(LINGER_SECONDS):
                while await response.chunk():
                    pass
        except (TimeoutError, UpstreamError):
            pass
        finally:
            response.abort()

    task = asyncio.ensure_future(drain())
    _LINGERING.add(task)
    task.add_done_callback(_LINGERING.discard)
