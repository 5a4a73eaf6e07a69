"""A TCP proxy that breaks what passes through it: the network between a gateway and its provider."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

_WAIT = 10.0


@dataclass(frozen=True, slots=True)
class Break:
    """What happens to one connection once so many bytes of answers have passed: `close`, `reset`, `stall`, or `drip`
    (byte by byte from there). `refuse` resets it at once."""

    how: str
    after: int = 0


class ChaosProxy:
    """Forwards `127.0.0.1:port` to another port there. `fault` is what befalls every connection from now on, counted in
    bytes from now."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = 0
        self.fault: Break | None = None
        self.broken = 0
        """Connections that were broken so far."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_WAIT)
        self._loop.close()

    def kill(self) -> None:
        """Nobody listens, and what was open is reset."""
        self._do(self._stop())

    def revive(self) -> None:
        """Listen again, at the same port."""
        self._do(self._listen())

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_WAIT)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: Any = asyncio.current_task()
        self._tasks.add(task)
        fault, far = self.fault, None
        try:
            if fault is not None and fault.how == "refuse":
                self.broken += 1
                _reset(writer)
                return
            back, far = await asyncio.open_connection("127.0.0.1", self._target)
            sending = asyncio.ensure_future(_pass_on(reader, far))
            try:
                self.broken += await _answer(back, writer, lambda: self.fault)
            finally:
                sending.cancel()
        except (OSError, asyncio.CancelledError):
            pass  # either end left, or the test is over
        finally:
            self._tasks.discard(task)
            _end(writer, gently=True)
            if far is not None:
                _end(far, gently=False)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, current: Callable[[], Break | None]
) -> bool:
    """Pass the answers on; whether a fault struck."""
    passed, last = 0, current()
    while data := await reader.read(65536):
        fault = current()
        if fault is not last:
            passed, last = 0, fault
        if fault is None or passed + len(data) <= fault.after:
            passed += len(data)
            writer.write(data)
            await writer.drain()
            continue
        left = fault.after - passed
        writer.write(data[:left])
        await writer.drain()
        if fault.how == "stall":
            await asyncio.Event().wait()
        if fault.how != "drip":
            if fault.how != "close":
                _reset(writer)
            return True
        for at in range(left, len(data)):
            writer.write(data[at : at + 1])
            await asyncio.sleep(0)
        passed = fault.after
    return False


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _end(writer: asyncio.StreamWriter, *, gently: bool) -> None:
    if not gently:
        _reset(writer)
    writer.close()
