"""One channel of Redis, listened to for as long as a process lives: through lost connections and servers that hang."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gateway.storage.errors import StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

_log = logging.getLogger(__name__)

Opener = Callable[[], Awaitable["AbstractConnection"]]
"""Makes a connection, connected and speaking RESP2: a client's `dial`."""
OnMessage = Callable[[bytes], None]
OnJoin = Callable[[], None]

PING_EVERY = 2.0
"""Seconds of silence after which the server is asked whether it is still there."""
_SILENT_MAX = 3
"""Silent spans after which the connection counts as lost."""
_BACKOFF = (0.05, 1.0)


class Subscription:
    """Calls `on_message` with every message, and `on_join` whenever listening begins: what was published before that
    is lost, so the listener has to look for itself. Neither may block; what they raise is logged."""

    def __init__(self, open_one: Opener, channel: str, on_message: OnMessage, on_join: OnJoin) -> None:
        self._open = open_one
        self._channel = channel.encode()
        self._on_message = on_message
        self._on_join = on_join
        self._heard = False
        self.alive = False
        """Whether messages arrive at the moment."""

    def __repr__(self) -> str:
        return f"<Subscription {self._channel.decode()} {'alive' if self.alive else 'away'}>"

    async def run(self) -> None:
        """Listen until cancelled."""
        backoff = _BACKOFF[0]
        while True:
            try:
                connection = await self._open()
                try:
                    await self._listen(connection)
                finally:
                    self.alive = False
                    await connection.disconnect(nowait=True)
            except Exception as error:  # the border: whatever ends a connection, the answer is a new one
                _log.debug("the subscription to %s ended: %r", self._channel.decode(), error)
                backoff = _BACKOFF[0] if self._heard else min(_BACKOFF[1], backoff * 2)
            await asyncio.sleep(backoff * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def _listen(self, connection: AbstractConnection) -> None:
        """Until the connection ends or falls silent. Raises whatever ended it."""
        self._heard = False
        await connection.send_command(b"SUBSCRIBE", self._channel, check_health=False)
        # A task of its own: a read that is broken off by a time-out may lose half a message.
        reader = asyncio.create_task(self._read(connection))
        silent = 0
        try:
            while True:
                done, _ = await asyncio.wait({reader}, timeout=PING_EVERY)
                if done:
                    return reader.result()
                silent = 0 if self._heard else silent + 1
                self._heard = False
                if silent >= _SILENT_MAX:
                    raise StoreUnavailable("slow")
                await connection.send_command(b"PING", check_health=False)
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await reader

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            reply = await connection.read_response()
            self._heard = True
            try:
                self._dispatch(reply)
            except Exception:  # a listener's fault must not end the listening: it is logged with its traceback
                _log.exception("a message of %s could not be handled", self._channel.decode())

    def _dispatch(self, reply: Any) -> None:
        match reply:
            case [b"message", channel, data] if channel == self._channel:
                self._on_message(data)
            case [b"subscribe", *_]:
                self.alive = True
                self._on_join()
            case _:
                pass
