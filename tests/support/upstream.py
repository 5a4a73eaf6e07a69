"""A raw TCP or TLS upstream that does what a script says, byte by byte: the other end of every engine and gateway test.

    async with ScriptedUpstream(json_reply({"id": 1}), status(503)) as up: ...   # in the running loop
    with ScriptedUpstream(default=sse([...])) as up: ...                         # in a thread with a loop of its own

Scripts given at the front answer one request each, in order of arrival; `default` answers every request after them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self, cast

from .steps import Close, ReadBody, Reset, Script, Send, Sleep, Stall, Step, Steps, json_reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine

_WAIT = 10.0
"""Seconds after which a wait for an event fails."""


@dataclass(slots=True)
class Received:
    """One request as it came in."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    head: bytes
    connection: int
    """Number of the connection, from 1."""
    body: bytes = b""
    parts: list[bytes] = field(default_factory=list)
    """The chunks of a chunked body."""
    complete: bool = False

    def header(self, name: str) -> str | None:
        """The first value of this header."""
        return next((value for key, value in self.headers if key == name), None)


class _Peer(asyncio.StreamReaderProtocol):
    """A stream protocol that also tells when the client has gone."""

    def __init__(self, reader: asyncio.StreamReader, serve: Callable[[_Peer], Coroutine[None, None, None]]) -> None:
        super().__init__(reader)
        self.reader = reader
        self.gone = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self._serve = serve
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        self.task = asyncio.get_running_loop().create_task(self._serve(self))

    def eof_received(self) -> bool:
        self.gone.set()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)

    async def drain(self) -> None:
        await self._drain_helper()  # type: ignore[attr-defined]


class ScriptedUpstream:
    """See the module's text. `early`: a script starts when the request's head is here, before its body."""

    def __init__(
        self, *scripts: Script, default: Script | None = None, tls: ssl.SSLContext | None = None, early: bool = False
    ) -> None:
        self._scripts: deque[Script] = deque(scripts)
        self.default: Script = json_reply({"ok": True}) if default is None else default
        self._tls = tls
        self._early = early
        self.port = 0
        self.received: list[Received] = []
        self.connections = 0
        """Accepted so far."""
        self.disconnections = 0
        """Ended so far, by either side."""
        self.bytes_sent = 0
        """Handed to the socket; stops growing when the client does not read."""
        self.errors: list[BaseException] = []
        """What went wrong in scripts themselves."""
        self._peers: set[_Peer] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """`http(s)://127.0.0.1:port`"""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open(self) -> int:
        """Connections that are open now."""
        return self.connections - self.disconnections

    def then(self, *scripts: Script) -> None:
        """Add scripts for the next requests."""
        self._scripts.extend(scripts)

    # ---- waiting for events; works from any loop and, for `wait_until`, any thread ----

    async def until(self, condition: Callable[[], bool], what: str = "the condition") -> None:
        """Until this holds; AssertionError after 10 s."""
        end = time.monotonic() + _WAIT
        while not condition():
            assert time.monotonic() < end, f"{what} did not come about: {self!r}"
            await asyncio.sleep(0.002)

    def wait_until(self, condition: Callable[[], bool], what: str = "the condition") -> None:
        """`until` for code without a loop."""
        end = time.monotonic() + _WAIT
        while not condition():
            assert time.monotonic() < end, f"{what} did not come about: {self!r}"
            time.sleep(0.002)

    async def requested(self, count: int = 1) -> None:
        """Until this many requests have come in (their heads)."""
        await self.until(lambda: len(self.received) >= count, f"{count} requests")

    async def connected(self, count: int = 1) -> None:
        """Until this many connections were accepted."""
        await self.until(lambda: self.connections >= count, f"{count} connections")

    async def disconnected(self, count: int = 1) -> None:
        """Until this many connections have ended."""
        await self.until(lambda: self.disconnections >= count, f"{count} disconnections")

    def __repr__(self) -> str:
        return (
            f"<ScriptedUpstream requests={len(self.received)} connections={self.connections}"
            f" disconnections={self.disconnections} errors={self.errors}>"
        )

    # ---- life ----

    async def start(self) -> None:
        """Listen on an ephemeral port of 127.0.0.1."""
        self._loop = asyncio.get_running_loop()
        self._server = await self._loop.create_server(self._accept, "127.0.0.1", 0, ssl=self._tls, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and break every connection."""
        if self._server is not None:
            self._server.close()
        await self.drop_all()

    async def drop_all(self) -> None:
        """Break every open connection; go on listening."""
        tasks = [peer.task for peer in self._peers if peer.task is not None]
        for peer in list(self._peers):
            if peer.transport is not None:
                peer.transport.abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), daemon=True)
        self._thread.start()
        assert ready.wait(_WAIT), "the upstream's thread did not start"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_WAIT)

    async def _run(self, ready: threading.Event) -> None:
        self._stopping = asyncio.Event()
        await self.start()
        ready.set()
        await self._stopping.wait()
        await self.stop()

    # ---- serving ----

    def _accept(self) -> _Peer:
        return _Peer(asyncio.StreamReader(limit=1 << 20), self._serve)

    async def _serve(self, peer: _Peer) -> None:
        self.connections += 1
        number = self.connections
        self._peers.add(peer)
        try:
            while await self._answer(peer, number):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client left
        except Exception as error:
            self.errors.append(error)
        finally:
            self._peers.discard(peer)
            if peer.transport is not None:
                peer.transport.close()
            self.disconnections += 1

    async def _answer(self, peer: _Peer, number: int) -> bool:
        """Serve one request; False when the connection is over."""
        request = await _read_head(peer.reader, number)
        self.received.append(request)
        if not self._early:
            await _read_body(peer.reader, request)
        script = self._scripts.popleft() if self._scripts else self.default
        steps: Steps = script(request) if callable(script) else script
        if isinstance(steps, AsyncIterable):
            async for step in steps:
                if not await self._do(peer, request, step):
                    return False
        else:
            for step in steps:
                if not await self._do(peer, request, step):
                    return False
        if not request.complete:
            await _read_body(peer.reader, request)
        return True

    async def _do(self, peer: _Peer, request: Received, step: Step) -> bool:
        assert peer.transport is not None
        match step:
            case Send(data):
                if peer.transport.is_closing():
                    return False
                peer.transport.write(data)
                await peer.drain()
                self.bytes_sent += len(data)
            case Sleep(seconds):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(peer.gone.wait(), seconds)
                return not peer.gone.is_set()
            case Stall():
                await peer.gone.wait()
                return False
            case ReadBody():
                await _read_body(peer.reader, request)
            case Close():
                return False
            case Reset():
                sock = peer.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.transport.abort()
                return False
        return True


async def _read_head(reader: asyncio.StreamReader, number: int) -> Received:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Received(method, target, headers, head, number)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """One line. Raises IncompleteReadError where the client left, which is no end of a body."""
    return await reader.readuntil(b"\n")


async def _read_body(reader: asyncio.StreamReader, request: Received) -> None:
    if request.header("transfer-encoding") == "chunked":
        while size := int(await _line(reader), 16):
            request.parts.append((await reader.readexactly(size + 2))[:-2])
            request.body += request.parts[-1]
        await reader.readline()
    else:
        request.body = await reader.readexactly(int(request.header("content-length") or 0))
    request.complete = True
