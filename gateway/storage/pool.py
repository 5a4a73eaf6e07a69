"""A few connections to one server, opened one at a time and never used again after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.storage.client import Connector, dial

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection


class Pool:
    """Idle connections and the attempt to open the next one. Errors are redis-py's: the client maps them."""

    def __init__(self, connector: Connector, connect_timeout: float) -> None:
        self._connector = connector
        self._connect_timeout = connect_timeout
        self._idle: list[AbstractConnection] = []
        self._opening: asyncio.Task[None] | None = None
        self.closed = False
        self.epoch = 0
        """Connections of an earlier epoch are closed instead of used again."""
        self.connected = False
        """A connection was made at least once."""
        self.on_connected: Callable[[], None] = lambda: None
        """Hears of every connection that was made, before anything is sent on it."""

    @property
    def opening(self) -> bool:
        """An attempt to connect is under way."""
        return self._opening is not None

    @property
    def idle(self) -> int:
        """How many connections wait for a command."""
        return len(self._idle)

    async def acquire(self) -> AbstractConnection:
        """An idle connection that its server kept open, or a new one."""
        while True:
            while self._idle:
                connection = self._idle.pop()
                if _alive(connection):
                    return connection
                await connection.disconnect(nowait=True)
            if self._opening is None:
                self._opening = asyncio.create_task(self._open(self.epoch))
                self._opening.add_done_callback(_retrieve)
            # Shielded: who cannot wait for a slow handshake leaves, and the next caller finds its connection.
            await asyncio.shield(self._opening)

    async def release(self, connection: AbstractConnection, epoch: int, *, clean: bool) -> None:
        """Take it back. `clean`: no reply of it is outstanding; `epoch` as it was before `acquire`."""
        if clean and epoch == self.epoch and not self.closed:
            self._idle.append(connection)
        else:
            await connection.disconnect(nowait=True)

    async def dial(self) -> AbstractConnection:
        """A connected connection that the pool knows nothing of. Raises TimeoutError after the connect timeout."""
        connection = await dial(self._connector(), self._connect_timeout)
        self.on_connected()
        return connection

    def forget(self) -> None:
        """Close the idle connections now and the others when they are released: the next one resolves anew."""
        self.epoch += 1
        idle, self._idle = self._idle, []
        for connection in idle:
            _drop(connection)

    async def close(self) -> None:
        """Close what is idle; what is in use closes when it is released."""
        self.closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        while self._idle:
            await self._idle.pop().disconnect()

    async def _open(self, epoch: int) -> None:
        try:
            connection = await self.dial()
            self.connected = True
            await self.release(connection, epoch, clean=True)
        finally:
            self._opening = None


def _alive(connection: AbstractConnection) -> bool:
    """Whether the server kept it open since its last use: a command sent to find out would have an unknown fate."""
    reader = connection._reader  # private, but the public can_read() reads, and costs a timer
    return reader is not None and not reader.at_eof()


def _drop(connection: AbstractConnection) -> None:
    """As `disconnect(nowait=True)`, without an await: nothing is left for it to wait for."""
    writer = connection._writer
    if writer is not None:
        writer.close()
    connection._reader = connection._writer = None


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take note of a failed attempt nobody waits for any more, so that it is not reported as lost."""
    if not task.cancelled():
        task.exception()
