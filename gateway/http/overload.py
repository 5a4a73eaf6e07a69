"""Overload: how busy the event loop is, and the cheap answer for those that are not taken in because of it.

A refusal must cost next to nothing, or refusing is itself the overload: it is written as soon as a request's head is
here, and without parsing it where such a head was refused before (`gateway.http.head_cache`). No task is made, no key
is looked up, the body is not read into memory, and there is no line in the access log; the application log says when
shedding begins and ends, the metric counts each refusal.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping
from typing import Protocol

from gateway.errors import Overloaded
from gateway.exchange import CallIds
from gateway.http.cycle import STATUS_LINE
from gateway.http.errors import error_headers
from gateway.http.head_cache import HeadCache
from gateway.http.routes import is_api
from gateway.http.shapes import ANTHROPIC, OPENAI, Shape
from gateway.http.starts import MOST, Starts, starts_of
from gateway.http.throttle import Throttle
from gateway.ports import Clock

PERIOD = 0.02
"""Seconds between two looks at the loop."""
TURNS = 10
"""How many turns a call may be held up by us, everything counted. Three or four are usual."""
_PLACE = b"=the-id="
"""Where a request's id comes in."""
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")

ENOUGH = MOST
"""Calls between two looks from which their cost is learnt. While any wait there are as many."""
RECENT = 0.3
"""The weight of the latest of them."""

HeaderPairs = Iterable[tuple[bytes, bytes]]
Common = list[tuple[bytes, bytes]]
"""The headers that every answer has: a new list whenever they change."""


class Listener(Protocol):
    """Who hears of it."""

    def loop_lagged(self, seconds: float) -> None: ...

    def call_shed(self, status: int) -> None: ...

    def overload_changed(self, overloaded: bool, work: float | None, refused: int) -> None: ...


class Load(Protocol):
    """The worker, as far as this goes."""

    @property
    def in_flight(self) -> int:
        """Calls that run."""
        ...

    @property
    def revision(self) -> str:
        """Of the configuration in service."""
        ...

    def held_up(self) -> float:
        """The least that the gateway itself held up a call since this was last asked, in seconds."""
        ...


class _Refusal:
    """What a shape has to say to those that are not taken in, made once."""

    def __init__(self, shape: Shape, error: Overloaded) -> None:
        self.status = shape.status(error)
        self._line = STATUS_LINE.get(self.status) or b"HTTP/1.1 %d Overloaded\r\n" % self.status
        self._fixed = ((b"content-type", b"application/json"), *error_headers(error))
        headers = ((b"x-request-id", _PLACE), *shape.headers(_PLACE.decode(), ()))
        # Each piece ends where the request's id belongs.
        self._headers = (b"\r\n%b\r\n\r\n" % b"\r\n".join(map(b": ".join, headers))).split(_PLACE)
        self._body = shape.body(error, _PLACE.decode()).split(_PLACE)

    def start(self, more: HeaderPairs) -> bytes:
        """What is the same for each one of a second."""
        return self._line + b"".join(b"%b: %b\r\n" % pair for pair in (*more, *self._fixed)) + b"content-length: "

    def bytes_for(self, request_id: bytes, start: bytes) -> bytes:
        """Status line, headers and body."""
        body = request_id.join(self._body)
        return b"%b%d%b%b" % (start, len(body), request_id.join(self._headers), body)


class Overload:
    """One worker's: watches the loop from `start` to `stop`, decides, and writes the refusals."""

    def __init__(
        self,
        throttle: Throttle,
        listener: Listener,
        load: Load,
        clocks: tuple[Clock, Clock] = (time.monotonic, time.thread_time),
    ) -> None:
        """`clocks` tell the time, and what this thread has had of the processor."""
        self.throttle = throttle
        self._listener = listener
        self._load = load
        self._clock, self._work = clocks
        self._ids = CallIds()
        self._queue: Starts | None = None
        """The loop's requests that have not begun."""
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._due = self._looked = self._began = 0.0
        self._count, self._counted, self._cost = 0, 0.0, 0.0
        error = Overloaded(retry_after=1.0)
        self._refusals = {shape: _Refusal(shape, error) for shape in (OPENAI, ANTHROPIC)}
        self._starts: dict[Shape, tuple[Common, str, bytes]] = {}
        self.head_cache: HeadCache[Shape] = HeadCache()
        """The heads of requests that were refused, for the next ones."""

    # ---- the loop

    def start(self) -> None:
        """Watch the running loop."""
        self._looked = self._clock()
        loop = asyncio.get_running_loop()
        self._queue = starts_of(loop)
        self._count, self._counted = self._queue.count, self._work()
        self._wait(loop)

    def stop(self) -> None:
        """Watch no more, and refuse nobody."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self.throttle.shedding = False

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._stopped:
            self._due = self._clock() + PERIOD
            self._timer = loop.call_later(PERIOD, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._listener.loop_lagged(max(0.0, self._clock() - self._due))
        self._began = self._work()
        # What is called soon from a timer still runs in this turn, what is called soon from there in the next one.
        loop.call_soon(loop.call_soon, self._turned, loop)

    def _turned(self, loop: asyncio.AbstractEventLoop) -> None:
        """One turn later."""
        if self._stopped:
            return
        throttle, now, queue = self.throttle, self._clock(), self._queue
        # Of what is ready a turn begins only a few.
        ready = self._work() - self._began
        if queue is not None:
            ready += len(queue.waiting) * self._cost_of_a_call(queue.count)
        # A queue may stand elsewhere than before the loop: for the store, whose checks go out in batches.
        if throttle.sample(max(ready, self._load.held_up() / TURNS), now - self._looked, self._running):
            self._listener.overload_changed(throttle.shedding, throttle.standing, throttle.refused)
        self._looked = now
        self._wait(loop)

    def _cost_of_a_call(self, count: int) -> float:
        """What calls took of the processor lately, with everything around them, in seconds. From look to look: what an
        idle worker does in hours is not the next call's."""
        work = self._work()
        begun, took = count - self._count, work - self._counted
        self._count, self._counted = count, work
        if begun >= ENOUGH:
            self._cost += (took / begun - self._cost) * RECENT
        return self._cost

    # ---- refusals

    @property
    def shedding(self) -> bool:
        """Whether requests have to be asked about at all."""
        return self.throttle.shedding

    def refuses(self, path: str) -> bool:
        """Whether the request for this path is not taken in; to be asked once for each, while shedding. Only calls are
        refused: never health, metrics or administration."""
        return is_api(path) and not self.admits()

    def crowded(self) -> None:
        """A burst waits to begin: what comes next is not taken in."""
        throttle = self.throttle
        if not self._stopped and throttle.crowded(self._running):
            self._listener.overload_changed(throttle.shedding, None, throttle.refused)

    def admits(self) -> bool:
        """Whether one more call is taken in; to be asked once for each, while shedding."""
        return self.throttle.admits(self._running)

    @property
    def _running(self) -> int:
        """Calls under way, with those that have not begun."""
        queue = self._queue
        return self._load.in_flight + (0 if queue is None else queue.pending)

    def answer(self, shape: Shape, named: Mapping[bytes, bytes], common: Common, *, close: bool) -> bytes:
        """The whole refusal, as it goes on the wire: in this shape, to a request with these headers, with the headers
        that every answer has."""
        given = named.get(b"x-request-id", b"")
        request_id = given if _SANE_ID.fullmatch(given) is not None else self._new_id()
        if not close:
            return self.again(shape, common, request_id)
        refusal = self._refusals[shape]
        self._listener.call_shed(refusal.status)
        return refusal.bytes_for(request_id, refusal.start((*self._common(common), (b"connection", b"close"))))

    def again(self, shape: Shape, common: Common, request_id: bytes = b"") -> bytes:
        """The same, to a request of which only the shape is known, on a connection that lives on."""
        refusal = self._refusals[shape]
        self._listener.call_shed(refusal.status)
        known = self._starts.get(shape)
        # The list of standing headers is a new one each second.
        if known is None or known[0] is not common or known[1] != self._load.revision:
            known = self._starts[shape] = common, self._load.revision, refusal.start(self._common(common))
        return refusal.bytes_for(request_id or self._new_id(), known[2])

    def _common(self, common: Common) -> Common:
        return [*common, (b"x-gateway-revision", self._load.revision.encode())]

    def _new_id(self) -> bytes:
        return b"req-" + self._ids().encode()
