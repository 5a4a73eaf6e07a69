"""The server's side of a connection: bytes become cycles, one after the other, and what serves them is called directly.

uvicorn keeps the process, its signals and the lifespan; connections are ours. One task serves all requests of a
connection, so that a request costs one wake-up and no task, and one timer looks after all its deadlines.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, cast

import httptools

from gateway.corking import flush, turn_of
from gateway.http import framing
from gateway.http.cycle import MOST_DROPPED, Application, Cycle, let_go, standing_lines
from gateway.http.descriptors import make_room
from gateway.http.framing import Refused, bad_request, check_unique, is_too_long
from gateway.http.routes import is_api
from gateway.http.shapes import Shape, shape_of
from gateway.http.starts import starts_of
from gateway.http.target import target_of
from gateway.http.throttle import BURST
from gateway.http.unsent import unsent

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from gateway.http.overload import Overload

_log = logging.getLogger("gateway.http")

HEAD_SECONDS = 10.0
"""In which a head that has begun, or the first one of a connection, has to be complete."""
_TICK = 0.001
"""Loops round their timers to milliseconds: what is due within one is due."""
_METHODS = {method.encode(): method for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class Protocol(asyncio.Protocol):
    """One connection. Its attributes `cycle` and `shutdown` are known to the server's shell, as uvicorn's own are."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],  # noqa: ARG002 - uvicorn's signature
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_event_loop()
        self.task: asyncio.Task[None] | None = None
        self.cycle: Cycle | None = None
        """The request that is being served."""
        self.turn = turn_of(self.loop)
        self._starts = starts_of(self.loop)
        self.write_paused = self.read_paused = False
        self.unread_since: float | None = None
        self._unsent = inf
        """Bytes that the client had not taken when `reads_on` was asked last."""
        self._app = cast("Application", config.loaded_app)
        self._overload: Overload | None = getattr(config.loaded_app, "overload", None)
        self._told: Callable[[], None] | None = getattr(config.loaded_app, "malformed", None)
        self._state: Any = server_state
        self._keep_alive: float = config.timeout_keep_alive
        self._most: float = config.limit_concurrency or inf
        self._parser: Any = self._new_parser()
        self._queue: deque[Cycle] = deque()
        self._arriving: Cycle | None = None
        """The request whose body is being read."""
        self._idle: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._deaf = False
        """Nothing more is read: what came was no HTTP, or what comes is not for us."""
        self._lost = self._in_head = False
        self._between = True
        """The parser has read whole requests only."""
        self._first = b""
        """While shedding: what came first of a request, until its head is read."""
        self._taken_in = False
        """The request whose head comes next is not refused any more."""
        self._framing = 0
        """Bytes that came since the last of a body: head, chunk sizes, trailers."""
        self._dropped = 0
        """Bytes of the body of a refused request."""
        self._url = b""
        self._pairs: list[tuple[bytes, bytes]] = []
        self._timer: TimerHandle | None = None
        self._timer_at = self._due = inf

    # ---- what the transport calls

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A new connection has to say something soon."""
        self.transport = transport
        self._state.connections.add(self)
        self._expect(HEAD_SECONDS)
        if len(self._state.connections) > self._most:
            make_room(self._state.connections, self)

    def data_received(self, data: bytes) -> None:
        """Parse. What is no HTTP ends the connection; what came whole before it is still answered."""
        if self._deaf:
            return
        overload = self._overload
        if overload is not None and overload.shedding and self._between and self.cycle is None:
            if self._refused_by_head(overload, data):
                return
            self._first = data
        arriving = self._arriving
        before = 0 if arriving is None else arriving.received
        try:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                self._stay(memoryview(data)[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._malformed("Invalid HTTP request received.")
        else:
            now = self._arriving
            if self._in_head or now is not None:
                self._count(len(data), moved=now is not arriving or (now is not None and now.received != before))
        self._first = b""

    def eof_received(self) -> bool | None:
        """Half a connection is none."""
        return None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - how it ended does not matter
        """Nobody is there any more: what is served is told, what waits is dropped."""
        self._lost = self._deaf = True
        self._state.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._queue.clear()
        if self.cycle is not None:
            self.cycle.leave()
        let_go(self._idle)
        self.resume_writing()
        self._parser = self._arriving = None

    def pause_writing(self) -> None:
        """The client does not read."""
        self.write_paused = True
        self.unread_since = self.loop.time()

    def resume_writing(self) -> None:
        """The client reads again, or has left."""
        self.write_paused = False
        self.unread_since, self._unsent = None, inf
        let_go(self._writable)
        if self.cycle is not None and self.cycle.on_resume is not None:
            self.cycle.on_resume()

    @property
    def idle_until(self) -> float:
        """Loop time at which it ends unless a request comes; infinite while one is served."""
        return inf if self.cycle is not None else self._due

    # ---- what the server's shell calls

    def shutdown(self) -> None:
        """The server stops: what was answered in this turn still goes out, what is asked is still answered."""
        flush()
        if self.cycle is None and not self._queue:
            self.transport.close()
        else:
            self._close_behind()

    # ---- what cycles call

    def standing(self) -> tuple[bytes, bool]:
        """See `gateway.http.cycle.Carrier`."""
        return standing_lines(self._state.default_headers)

    def pause_reading(self) -> None:
        """Hold the client back."""
        if not self.read_paused and not self._lost:
            self.read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on reading, unless too much is waiting already."""
        if self.read_paused and not self._lost and len(self._queue) < framing.MAX_QUEUED:
            self.read_paused = False
            self.transport.resume_reading()

    def reads_on(self) -> bool:
        """See `gateway.http.cycle.Carrier`."""
        before, self._unsent = self._unsent, unsent(self.transport)
        if self._unsent < before:
            self.unread_since = self.unread_since and self.loop.time()
        return self._unsent < before

    async def drain(self) -> None:
        """Until the client reads, or has left."""
        while self.write_paused and not self._lost:
            self._writable = self.loop.create_future()
            try:
                await self._writable
            finally:
                self._writable = None

    # ---- what the parser calls

    def on_message_begin(self) -> None:
        self._in_head, self._between, self._framing = True, False, 0
        self._url, self._pairs = b"", []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            self._pairs.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        parser, pairs = self._parser, self._pairs
        given = parser.get_method()
        version = parser.get_http_version()
        named = dict(pairs)
        if len(named) != len(pairs):
            check_unique(pairs)
        if b"host" not in named and version == "1.1":
            raise Refused("no host")
        if b"upgrade" in named and parser.should_upgrade():
            # The parser takes what follows for the other protocol, and so the body for no body.
            return
        try:
            target = target_of(self._url)
        except ValueError:
            raise Refused("no path") from None
        if self._overload is not None and self._refused(self._overload, version, named, target[0]):
            return
        cycle = Cycle(self, _METHODS.get(given) or given.decode("ascii"), target[0], target, pairs, named)
        if version != "1.1":
            if version not in ("1.1", "1.0"):
                raise Refused("neither HTTP/1.1 nor HTTP/1.0")
            cycle.version, cycle.keep_alive = version, False
        elif not parser.should_keep_alive():
            cycle.keep_alive = False
        if b"expect" in named and named[b"expect"].lower() == b"100-continue":
            cycle.expects = version == "1.1"  # nobody else knows an interim answer
        self._arriving = cycle
        self._due = inf
        if self.cycle is None and self._idle is not None:
            self.cycle = cycle
            self._begin(self._go_on, target[0])
        else:
            self._accept(cycle)

    def on_body(self, body: bytes) -> None:
        if self._arriving is not None:
            self._arriving.arrived(body)
            return
        self._dropped += len(body)
        if self._dropped > MOST_DROPPED and not self._deaf:
            self._deaf = True
            self.transport.close()

    def on_message_complete(self) -> None:
        cycle, self._arriving = self._arriving, None
        self._between = True
        if cycle is not None:
            cycle.whole = True
            if cycle.waiter is not None:
                cycle.wake()

    def _refused(self, overload: Overload, version: str, named: dict[bytes, bytes], path: str) -> bool:
        """Refuse the request whose head was just read, or not."""
        if len(self._starts.waiting) >= BURST:
            overload.crowded()
        if not overload.shedding or self.cycle is not None:
            return False
        first, self._first, taken_in, self._taken_in = self._first, b"", self._taken_in, False
        if taken_in or not overload.refuses(path):
            return False
        shape = shape_of(path, named)
        if version == "1.1" and first:
            overload.head_cache.learn(first, self._pairs, named, shape)
        self._shed(overload, named, shape)
        return True

    def _refused_by_head(self, overload: Overload, data: bytes) -> bool:
        """Refuse one more request of those that were refused before, not parsed at all; or False: it is to be parsed,
        and may be one that was just taken in."""
        shape = overload.head_cache.find(data)
        if shape is None:
            return False
        if overload.admits():
            self._taken_in = True
            return False
        self.turn.write(self.transport, overload.again(shape, self._state.default_headers))
        self._due = inf
        self._expect(self._keep_alive)
        return True

    def _shed(self, overload: Overload, headers: dict[bytes, bytes], shape: Shape) -> None:
        """Refuse a request before it becomes one: answered at once, and what follows of its body is dropped, up to a
        bound. Only where no answer is under way: answers go out in the order of the requests."""
        # Whoever waits for "100 Continue" may send the body or not: nobody can tell where the next request begins.
        close = b"expect" in headers or not self._parser.should_keep_alive() or is_too_long(headers, MOST_DROPPED)
        self._dropped = 0
        self.turn.write(self.transport, overload.answer(shape, headers, self._state.default_headers, close=close))
        if close:
            self._deaf = True
            flush()
            self.transport.close()
        else:
            self._due = inf
            self._expect(self._keep_alive)

    # ---- the course of the connection

    def _accept(self, cycle: Cycle) -> None:
        """Serve it now, or after those that came before."""
        if self.cycle is not None:
            self._queue.append(cycle)
            if len(self._queue) >= framing.MAX_QUEUED:
                self.pause_reading()
            return
        self.cycle = cycle
        if self.task is None:
            self._begin(self._set_out, cycle.path)

    def _begin(self, go: Callable[[], None], path: str) -> None:
        """Calls take their turn. Who asks how the worker is hears of it at once, however many calls wait."""
        if is_api(path):
            self._starts.begin(go)
        else:
            go()

    def _set_out(self) -> None:
        """It is the first request's turn."""
        if self.task is None and not self._lost:
            self.task = task = self.loop.create_task(self._serve())
            self._state.tasks.add(task)
            task.add_done_callback(self._state.tasks.discard)

    def _go_on(self) -> None:
        """It is another one's turn."""
        let_go(self._idle)

    async def _serve(self) -> None:
        """Answer every request of this connection, in their order."""
        app = self._app
        addresses = (self.transport.get_extra_info("sockname"), self.transport.get_extra_info("peername"))
        while not self._lost:
            cycle = self.cycle
            if cycle is None:
                self._idle = self.loop.create_future()
                await self._idle
                continue
            try:
                await app.serve(cycle, addresses)
            except Exception:  # the last guard: whatever an application does, its client hears of it
                _log.exception("a request failed")
                if not (cycle.begun or cycle.gone):
                    cycle.keep_alive = False
                    cycle.reply(500, ((b"content-type", b"text/plain; charset=utf-8"),), b"Internal Server Error")
            except BaseException:
                # The server ends: what the application had to say it has said.
                cycle.break_off()
                raise
            if not cycle.over:
                cycle.break_off()
            if self._queue or self._deaf or self.write_paused or self.read_paused or not cycle.keep_alive:
                await self._rest()
            else:
                self.cycle = None
                self._due = due = self.loop.time() + self._keep_alive
                if due < self._timer_at:
                    self._set_timer()

    async def _rest(self) -> None:
        """Between two requests: the client has to read what it was answered, and what waits comes next."""
        served = self.cycle
        if served is None or self._lost:
            self.cycle = None
            return
        if served.keep_alive and self.write_paused:
            self._expect(self._keep_alive)
            await self.drain()
        self._due = inf
        if not served.keep_alive:
            self.cycle = None
            self._deaf = True
            self._queue.clear()
            served.break_off()
            if self.transport.get_write_buffer_size():
                self._expect(self._keep_alive)
            return
        self.cycle = self._queue.popleft() if self._queue else None
        if self.cycle is None and not self._lost:
            self._expect(self._keep_alive)
        self.resume_reading()

    def _stay(self, rest: memoryview) -> Any:
        """A client asked for another protocol, as Java's does with every first request: it is served in this one, as if
        it had not. `rest` is what came behind its head, more of the kind among it. Raises HttpParserError."""
        while True:
            method, named = self._parser.get_method(), dict(self._pairs)
            if b"upgrade" not in named or method == b"CONNECT":
                return self._malformed("Not a proxy.")
            head = framing.without_upgrade(b"%b %b" % (method, self._url), self._parser.get_http_version(), self._pairs)
            self._parser = self._new_parser()
            self._parser.feed_data(head)
            try:
                return self._parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # What follows a request that closes the connection is not looked at, and must not spoil its answer.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _close_behind(self) -> None:
        """The last request that came is the last of its connection."""
        last = self._queue[-1] if self._queue else self.cycle
        if last is not None:
            last.keep_alive = False

    def _malformed(self, why: str) -> None:
        """Refuse what just came; what came whole before it is answered first."""
        self._deaf = True
        broken, self._arriving = self._arriving, None
        if broken is not None and broken in self._queue:
            self._queue.remove(broken)
        if broken is not None and broken is self.cycle:
            broken.malformed = True  # who serves it records that
        elif self._told is not None:
            self._told()
        last = self._queue[-1] if self._queue else self.cycle
        if last is not None and last is not broken:
            last.keep_alive = False
            return
        flush()
        if broken is None or not broken.begun:
            self.transport.write(bad_request(why))
        self.transport.close()

    def _count(self, size: int, *, moved: bool) -> None:
        """Bytes that were no body: bounded, and a head in time too."""
        if moved and not self._in_head:
            self._framing = 0
            return
        first = not self._framing
        self._framing += size
        if self._framing > framing.MAX_HEAD:
            self._malformed("The request's headers are too large.")
        elif self._in_head and first:
            self._expect(HEAD_SECONDS)

    # ---- time

    def _expect(self, seconds: float) -> None:
        """Something has to come within this time. The timer moves only if it would fire too late; if it fires early it
        looks again."""
        due = self.loop.time() + seconds
        self._due = min(self._due, due)
        if self._due < self._timer_at:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._due
        self._timer = self.loop.call_at(self._due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, inf
        if self._due == inf:
            return
        if self._due - self.loop.time() > _TICK:
            self._set_timer()
        elif self.cycle is not None and not self.cycle.over:
            # A head comes too slowly behind a request that is still served.
            self._deaf = True
            self._close_behind()
        elif self.transport.get_write_buffer_size():
            if self.reads_on():
                self._due = inf
                self._expect(self._keep_alive)
            else:
                # A client that does not read would keep the connection open as long as it likes.
                self.transport.abort()
        else:
            self.transport.close()
