"""A light load generator: persistent connections on asyncio, written by hand so that it leaves the cores to others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from math import ceil

ANSWER_SECONDS = 60.0
"""After which a request counts as never answered."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as far as tests read it."""

    status: int
    head: bytes
    body: bytes
    seconds: float

    @property
    def code(self) -> str | None:
        """The error's code."""
        found = json.loads(self.body)["error"]["code"] if self.status >= 400 else None
        return None if found is None else str(found)


def chat(port: int, key: str, model: str, *, stream: bool = False, text: str = "hi", **fields: object) -> bytes:
    """A whole request for a chat completion."""
    form: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
    if stream:
        form["stream"] = True
    body = json.dumps(form).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Line(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self) -> None:
        self._read = bytearray()
        self._head = b""
        self._length: int | None = None
        self._asked = 0.0
        self._answer: asyncio.Future[Reply] | None = None
        self._transport: asyncio.Transport | None = None
        self._more = asyncio.Event()
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's protocol."""
        self._read += data
        self._more.set()
        if self._answer is not None and not self._answer.done() and self._whole():
            reply = Reply(int(self._head[9:12]), self._head, bytes(self._read), time.monotonic() - self._asked)
            self._answer.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio's protocol."""
        self.closed = True
        self._more.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed without an answer"))
            self._answer.exception()  # nobody may be waiting any more

    def _whole(self) -> bool:
        if not self._head:
            head, found, rest = self._read.partition(b"\r\n\r\n")
            if not found:
                return False
            self._head, self._read = bytes(head), bytearray(rest)
            _, has_length, after = self._head.lower().partition(b"content-length:")
            self._length = int(after.partition(b"\r\n")[0]) if has_length else None
        if self._length is not None:
            return len(self._read) >= self._length
        return self._read.endswith(b"0\r\n\r\n")

    def send(self, request: bytes) -> asyncio.Future[Reply]:
        """Write a request; its answer comes later. A connection that breaks gives ConnectionError."""
        assert self._transport is not None
        self._read.clear()
        self._head = b""
        self._asked = time.monotonic()
        self._answer = asyncio.get_running_loop().create_future()
        if self.closed:
            self.connection_lost(None)
        else:
            self._transport.write(request)
        return self._answer

    async def ask(self, request: bytes) -> Reply:
        """One request and its whole answer. Raises ConnectionError, TimeoutError."""
        async with asyncio.timeout(ANSWER_SECONDS):
            return await self.send(request)

    def write(self, data: bytes) -> None:
        """Raw bytes."""
        assert self._transport is not None
        self._transport.write(data)

    async def received(self, count: int, end: bytes = b"\r\n0\r\n") -> None:
        """Return once so many bytes are here, or an answer's end, or the connection has broken."""
        while len(self._read) + len(self._head) < count and end not in self._read and not self.closed:
            if self._answer is not None and self._answer.done():
                return
            self._more.clear()
            await self._more.wait()

    def abort(self) -> None:
        """Close without a word."""
        assert self._transport is not None
        self._transport.abort()


async def dial(port: int) -> Line:
    """A new connection. Raises OSError."""
    _, line = await asyncio.get_running_loop().create_connection(Line, "127.0.0.1", port)
    return line


@dataclass(slots=True)
class Tally:
    """What came of many requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    broken: int = 0
    """Connections that were reset under a request, or could not be made."""
    times: list[tuple[float, float]] = field(default_factory=list)
    """When a request ended (monotonic), and how long it took."""
    first: float = 0.0
    last: float = 0.0
    failures: list[tuple[float, int, str | None]] = field(default_factory=list)
    """The answers of 500 and above: when, what."""

    def add(self, reply: Reply) -> None:
        """Count an answer."""
        self.statuses[reply.status] += 1
        self.last = time.monotonic()
        self.times.append((self.last, reply.seconds))
        if reply.status >= 400:
            code = reply.code
            self.codes[code or ""] += 1
            if reply.status >= 500:
                self.failures.append((self.last, reply.status, code))

    @property
    def admitted(self) -> int:
        """Answers of 200."""
        return self.statuses[200]

    def p99(self, start: float, end: float) -> float:
        """The 99th percentile of the seconds of what ended in this time; 0 when nothing did."""
        return quantile([seconds for at, seconds in self.times if start <= at < end], 0.99)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else 0.0


Requests = Callable[[], bytes]


def always(request: bytes) -> Requests:
    """The same request every time."""
    return lambda: request


async def client(port: int, request: Requests, tally: Tally, stop: asyncio.Event, pause: float = 0.0) -> None:
    """One request after the other until told to stop, whose answer is awaited; a broken connection is replaced."""
    line: Line | None = None
    try:
        while not stop.is_set():
            try:
                if line is None or line.closed:
                    line = await dial(port)
                tally.first = tally.first or time.monotonic()
                tally.add(await line.ask(request()))
            except ConnectionError:
                tally.broken += 1
                line = None
                await asyncio.sleep(0.02)
            if pause:
                await asyncio.sleep(pause)
    finally:
        if line is not None:
            line.abort()


@contextlib.asynccontextmanager
async def clients(works: Sequence[Callable[[asyncio.Event], Awaitable[None]]]) -> AsyncIterator[asyncio.Event]:
    """Run these while the block does; at its end they are told to stop and awaited."""
    stop = asyncio.Event()
    async with asyncio.timeout(900), asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(_run(work, stop))
        try:
            yield stop
        finally:
            stop.set()


async def _run(work: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event) -> None:
    await work(stop)
