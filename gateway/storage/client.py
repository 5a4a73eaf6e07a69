"""What every Redis client of ours offers, whatever stands behind it: one server, Sentinel or a Cluster."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.storage.companions import Lookout
from gateway.storage.errors import MissingScript

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

Key = str | bytes
Argument = str | bytes | int | float
Connector = Callable[[], "AbstractConnection"]
OnCall = Callable[[float, str | None], None]
OnChange = Callable[[bool, str], None]

_log = logging.getLogger("gateway.storage")


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Seconds. `timeout` bounds what a caller waits, connecting included; `connect_timeout`, the attempt."""

    timeout: float = 0.05
    connect_timeout: float = 2.0
    max_connections: int = 4
    client_name: str = "gateway"
    lookout: Lookout | None = None
    """What other processes say of the store; those that pass it along give it up and take it back together."""


class RedisClient(ABC):
    """Commands with one deadline each, and no retries. Every failure is StoreUnavailable.

    After three failures in a row that mean a sick store, commands fail at once until a probe of its own finds it well.
    """

    cluster: ClassVar[bool] = False
    """Keys of one script must share a slot."""

    def __init__(self, options: RedisOptions) -> None:
        self._options = options
        self._listeners: list[OnChange] = []
        self._greeters: list[Callable[[], None]] = []

    @property
    @abstractmethod
    def available(self) -> bool:
        """Whether the store is thought well; of a Cluster: every node of it."""

    @property
    def lookout(self) -> Lookout | None:
        """What other processes say, if they do."""
        return self._options.lookout

    @abstractmethod
    async def execute(self, *command: Argument, key: Key | None = None) -> Any:
        """One command, one reply. Raises StoreUnavailable, of which MissingScript is one kind.

        `key` says what a Cluster routes it by; without it, the command's first key does.
        """

    @abstractmethod
    def connection(self) -> AbstractConnection:
        """A new connection for the caller alone, not connected yet; of a Cluster: to any node."""

    @abstractmethod
    async def close(self) -> None:
        """Close the idle connections; those in use close when their command ends."""

    async def dial(self) -> AbstractConnection:
        """As `connection`, connected; the caller disconnects it. Raises redis-py's errors, and TimeoutError."""
        return await dial(self.connection(), self._options.connect_timeout)

    def on_change(self, callback: OnChange) -> None:
        """Call back with (available, reason of the trouble) whenever `available` changes."""
        self._listeners.append(callback)

    def on_connect(self, callback: Callable[[], None]) -> None:
        """Call back whenever a connection for commands was made, before anything is sent on it: what answers there may
        not be what answered before. The callback must not raise."""
        self._greeters.append(callback)

    def _connected(self) -> None:
        for callback in self._greeters:
            callback()

    def _tell(self, reason: str, *, available: bool) -> None:
        for callback in self._listeners:
            try:
                callback(available, reason)
            except Exception:  # guards the command that found out against a broken listener
                _log.exception("a listener of the store's availability failed")

    async def ping(self) -> None:
        """Raises StoreUnavailable unless the server answers."""
        await self.execute("PING")

    async def get(self, key: Key) -> bytes | None:
        """The value, or None. Raises StoreUnavailable."""
        value: bytes | None = await self.execute("GET", key)
        return value

    async def set(self, key: Key, value: str | bytes, ttl: float | None = None) -> None:
        """Store a value, for `ttl` seconds if given. Raises StoreUnavailable."""
        if ttl is None:
            await self.execute("SET", key, value)
        else:
            await self.execute("SET", key, value, "PX", max(1, round(ttl * 1000)))

    def script(self, source: bytes, name: str = "script") -> Script:
        """A Lua script that runs on this client."""
        return Script(self, name, source)

    def load_script(self, package: str, name: str) -> Script:
        """The script in `name`, a file among the resources of `package`: `("gateway.limits", "lua/reserve.lua")`."""
        return self.script(files(package).joinpath(name).read_bytes(), name)


async def dial(connection: AbstractConnection, seconds: float) -> AbstractConnection:
    """Connect it, the handshake included. Raises redis-py's errors, and TimeoutError."""
    try:
        async with asyncio.timeout(seconds):
            await connection.connect()  # type: ignore[no-untyped-call]
    except BaseException:  # nobody else knows of this connection
        await connection.disconnect(nowait=True)
        raise
    return connection


class Script:
    """One Lua script, named by its SHA-1; sent whole only to a server that does not have it."""

    def __init__(self, client: RedisClient, name: str, source: bytes) -> None:
        self._client = client
        self.name = name
        self.source = source
        self.sha = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()

    def __repr__(self) -> str:
        return f"<Script {self.name} {self.sha.decode()[:12]}>"

    async def run(self, keys: Sequence[Key], args: Sequence[Argument]) -> Any:
        """EVALSHA; on NOSCRIPT, EVAL once. All keys in one slot on a Cluster. Raises StoreUnavailable."""
        key = keys[0] if keys else None
        try:
            return await self._client.execute(b"EVALSHA", self.sha, len(keys), *keys, *args, key=key)
        except MissingScript:
            return await self._client.execute(b"EVAL", self.source, len(keys), *keys, *args, key=key)
