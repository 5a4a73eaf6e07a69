"""One request and its answer, as the HTTP room works with them: no scope, no queue, no messages in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Protocol

import msgspec

from gateway.corking import Turn, flush
from gateway.errors import ClientGone, MalformedRequest
from gateway.http.framing import is_too_long
from gateway.http.target import Target

Pairs = Sequence[tuple[bytes, bytes]]

JOIN_BELOW = 64 * 1024
"""Bytes up to which copying head and body together is cheaper than two writes."""
HELD_BYTES = 64 * 1024
"""Bytes of a body that wait for who reads it before the client is held back."""
MOST_DROPPED = 32 * 1024 * 1024
"""Bytes of a body that are read for nothing behind an answer that did not need them, so that the client gets to read
it; for more the connection is closed."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
STATUS_LINE = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_BODILESS = (204, 304)


_standing: tuple[object, bytes, bool] = (None, b"", False)
"""The last list of standing headers, its lines, and whether they say `connection: close`."""


def standing_lines(headers: list[tuple[bytes, bytes]]) -> tuple[bytes, bool]:
    """The lines of the headers that every answer has. uvicorn makes a new list each second, with the date."""
    global _standing  # noqa: PLW0603 - a memo of one value
    known, lines, closing = _standing
    if known is not headers:
        lines = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        closing = any(name == b"connection" and value == b"close" for name, value in headers)
        _standing = (headers, lines, closing)
    return lines, closing


class Carrier(Protocol):
    """What a cycle needs of its connection."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[None] | None
    turn: Turn
    write_paused: bool
    unread_since: float | None
    read_paused: bool

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def standing(self) -> tuple[bytes, bool]:
        """The header lines of every answer, and whether they say that the connection closes."""
        ...

    def reads_on(self) -> bool:
        """Whether the client, which has something left to read, has taken some of it since this was asked last, or
        it was never asked: a long answer takes its time on a slow line. Its time begins anew then."""
        ...

    async def drain(self) -> None: ...


class Cycle(msgspec.Struct, eq=False):
    """A request whose head is here, and what is answered to it. Implements `gateway.ports.ByteSink`.

    Answering writes at once and never waits: who sends much looks at `paused` and waits in `drain`. After the client
    has left, every write is without effect.
    """

    carrier: Carrier
    method: str
    path: str
    """Decoded, without the query."""
    target: Target
    pairs: Pairs
    """Headers with lower-case names."""
    headers: dict[bytes, bytes]
    """The same by name, the last one of several."""
    version: str = "1.1"
    keep_alive: bool = True
    begun: bool = False
    """The head of the answer is made."""
    over: bool = False
    """The answer is complete."""
    gone: bool = False
    """The client left."""
    malformed: bool = False
    """Its body broke off in what is no HTTP: the client is told so by the connection, which ends."""
    received: int = 0
    """Bytes of the body that have arrived."""
    dropped: int = 0
    """Bytes of it that arrived behind the answer."""
    held: int = 0
    """Bytes of it that nobody has read yet."""
    whole: bool = False
    """All of it has arrived."""
    on_gone: Callable[[], None] | None = None
    """Called when the client leaves before its answer is complete."""
    on_resume: Callable[[], None] | None = None
    """Called when the client reads again."""
    expects: bool = False
    """The client waits for a word before it sends its body."""
    parts: list[bytes] = []
    waiter: asyncio.Future[None] | None = None
    head: bytes = b""
    """Made and not sent."""
    beside: bytes = b""
    """Header lines of whatever the answer will be."""
    chunked: bool = False
    left: int | None = None
    """Bytes that were announced and are still to come."""

    @property
    def task(self) -> asyncio.Task[Any]:
        """The one that serves this request, and others of the same connection after it."""
        task = self.carrier.task
        assert task is not None
        return task

    @property
    def response_complete(self) -> bool:
        """As uvicorn's cycles call it."""
        return self.over

    @property
    def unread_since(self) -> float | None:
        """Loop time since when the client has left unread what it was sent; None: it reads."""
        return self.carrier.unread_since

    def reads_on(self) -> bool:
        """See `Carrier`."""
        return self.carrier.reads_on()

    @property
    def held_back(self) -> bool:
        """The client could send more, but is not let to."""
        return self.carrier.read_paused

    # ---- the connection's side

    def arrived(self, data: bytes) -> None:
        """A part of the body."""
        self.received += len(data)
        if self.over:
            self._drop(len(data))
            return
        self.parts.append(data)
        self.held += len(data)
        if self.held > HELD_BYTES:
            self.carrier.pause_reading()
        if self.waiter is not None:
            self.wake()

    def _drop(self, size: int) -> None:
        self.dropped += size
        if self.dropped > MOST_DROPPED and not self.carrier.transport.is_closing():
            self.break_off()

    def leave(self) -> None:
        """The connection is lost."""
        if self.over:
            return
        self.gone = True
        self.wake()
        if self.on_gone is not None:
            self.on_gone()

    def wake(self) -> None:
        """Tell who waits for the body, or for the client's end."""
        let_go(self.waiter)

    # ---- the body

    def taken(self) -> bytes:
        """What of the body has arrived and was not taken yet, without waiting. A client that was held back may go on:
        that it leaves is seen only while it is read from."""
        parts = self.parts
        if not parts:
            return b""
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        if self.held > HELD_BYTES:
            self.carrier.resume_reading()
        self.held = 0
        return data

    async def piece(self) -> bytes:
        """The next bytes of the body, `b""` at its end. Raises ClientGone, MalformedRequest."""
        while not self.parts:
            if self.whole:
                return b""
            if self.gone:
                raise MalformedRequest if self.malformed else ClientGone
            if self.expects and not self.begun:
                self.expects = False
                self.carrier.turn.write(self.carrier.transport, CONTINUE)
            self.carrier.resume_reading()
            await self._change()
        return self.taken()

    async def departure(self) -> None:
        """Until the client leaves."""
        while not self.gone:
            await self._change()

    async def _change(self) -> None:
        self.waiter = self.carrier.loop.create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    # ---- the answer

    @property
    def paused(self) -> bool:
        """See `gateway.ports.ByteSink`."""
        return self.carrier.write_paused and not self.gone

    async def drain(self) -> None:
        """Until the client reads, or has left."""
        await self.carrier.drain()

    def reply(self, status: int, headers: Pairs, body: bytes, lines: bytes = b"") -> None:
        """The whole answer. `lines` are header lines that are known to be sound."""
        size = len(body)
        self._open(status, header_lines(headers) + lines + b"content-length: %d\r\n" % size)
        self.left = size
        self.end(body)

    def begin(self, status: int, headers: Pairs, lines: bytes = b"") -> None:
        """The head of an answer whose parts follow: framed by a content-length where one is given, else chunked. It
        leaves with the first of them."""
        for name, value in headers:
            if name == b"content-length":
                self.left = int(value)
            elif name == b"connection" and b"close" in value.lower():
                self.keep_alive = False
                headers = [pair for pair in headers if pair[0] != b"connection"]
        block = header_lines(headers) + lines
        if self.left is None and self.method != "HEAD" and status not in _BODILESS:
            if self.version == "1.0":
                # It knows no chunks: the end of the connection is the end of the answer.
                self.keep_alive = False
            else:
                self.chunked = True
                block += b"transfer-encoding: chunked\r\n"
        self._open(status, block)

    def push(self, data: bytes) -> None:
        """A part of a begun answer. See `gateway.ports.ByteSink`."""
        if self.gone or self.over:
            return
        if self.chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
            if not self.head:
                # The way of an event: the method that takes no body is never chunked.
                self.carrier.turn.write(self.carrier.transport, data)
                return
        elif self.left is not None:
            self.left -= len(data)
        self._write(data)

    def end(self, data: bytes = b"") -> None:
        """The last part of a begun answer, which may be empty. A length that was announced and not kept breaks the
        connection off."""
        if self.gone or self.over:
            self.over = True
            return
        if self.chunked:
            data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
        elif self.left is not None and self.left != len(data) and self.method != "HEAD":
            self.keep_alive = False
        self._write(data)
        self.over = True
        if not self.keep_alive:
            self.break_off()

    def break_off(self) -> None:
        """Close the connection behind what was written."""
        flush()
        self.carrier.transport.close()

    def _open(self, status: int, block: bytes) -> None:
        assert not self.begun, "an answer is begun once"
        self.begun = True
        if not self.whole and self._rest_is_unwanted():
            self.keep_alive = False
        standing, closing = self.carrier.standing()
        if closing:
            self.keep_alive = False
        elif not self.keep_alive:
            block += b"connection: close\r\n"
        if self.beside:
            block += self.beside
        line = STATUS_LINE.get(status) or b"HTTP/1.1 %d \r\n" % status
        self.head = b"%b%b%b\r\n" % (line, standing, block)

    def _rest_is_unwanted(self) -> bool:
        """Whoever still waits for "100 Continue" may send its body or not: nobody can tell where the next request
        begins. And some have more to send than anybody reads."""
        return self.expects or is_too_long(self.headers, MOST_DROPPED, self.received)

    def _write(self, data: bytes) -> None:
        if self.method == "HEAD":
            data = b""
        head = self.head
        if head:
            self.head = b""
            if len(data) > JOIN_BELOW:
                self.carrier.turn.write(self.carrier.transport, head)
            else:
                data = head + data
        if data:
            self.carrier.turn.write(self.carrier.transport, data)


def let_go(waiter: asyncio.Future[None] | None) -> None:
    """Wake who waits, if anybody still does."""
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


class Application(Protocol):
    """What requests are handed to."""

    def serve(self, cycle: Cycle, addresses: tuple[Any, Any]) -> Awaitable[None]:
        """Answer one request."""
        ...


def header_lines(headers: Pairs) -> bytes:
    """The lines of these headers. Raises RuntimeError for one that would break the framing."""
    if not headers:
        return b""
    lines = b"\r\n".join(map(b": ".join, headers)) + b"\r\n"
    if not lines.count(b"\n") == lines.count(b"\r") == len(headers) or b"\0" in lines:
        raise RuntimeError("A header holds a line break or NUL.")
    return lines
