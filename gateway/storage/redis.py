"""The Redis client of the hot path: few connections, one deadline per command, no retries, no reply ever crossed.

Sentinel and Cluster belong behind `connect`: each is another way to make the next connection (`Connector`).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.errors import OperatorError
from gateway.storage.deadline import Deadline
from gateway.storage.errors import Reason, StoreUnavailable

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

Argument = str | bytes | int | float
Connector = Callable[[], "AbstractConnection"]
OnCall = Callable[[float, str | None], None]


@dataclass(frozen=True, slots=True)
class RedisOptions:
    """Seconds. `timeout` bounds what a caller waits, connecting included; `connect_timeout`, the attempt."""

    timeout: float = 0.05
    connect_timeout: float = 2.0
    max_connections: int = 4
    client_name: str = "gateway"


def connect(url: str, options: RedisOptions = RedisOptions(), on_call: OnCall | None = None) -> RedisClient:
    """A client for `unix://`, `redis://` or `rediss://`; connects on first use. Raises OperatorError for others."""
    return RedisClient(_connector(url, options), options, on_call)


def _connector(url: str, options: RedisOptions) -> Connector:
    # The package costs 60 ms to import: commands that need no Redis do not pay it.
    from redis.asyncio.connection import Connection, parse_url  # noqa: PLC0415

    try:
        address: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        scheme = urlsplit(url).scheme
        raise OperatorError(
            f"REDIS_URL has the scheme {scheme!r}, or a value that cannot be read; use redis://, rediss:// or unix://."
        ) from error
    make = address.pop("connection_class", Connection)
    settings = {
        **address,
        # One deadline of ours spans connect, write and read; redis-py's own would cost a task per command.
        "socket_timeout": None,
        "socket_connect_timeout": options.connect_timeout,
        "client_name": options.client_name,
        "decode_responses": False,
        "driver_info": None,
        "protocol": 2,
    }

    def open_one() -> AbstractConnection:
        connection: AbstractConnection = make(**settings)
        return connection

    return open_one


class RedisClient:
    """A small pool of connections. Every failure is StoreUnavailable, and costs the connection it happened on."""

    def __init__(self, connector: Connector, options: RedisOptions, on_call: OnCall | None = None) -> None:
        self._connector = connector
        self._options = options
        self._on_call = on_call
        self._idle: list[AbstractConnection] = []
        self._opening: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(options.max_connections)
        self._closed = False

    async def execute(self, *command: Argument) -> Any:
        """One command, one reply. Raises StoreUnavailable, of which MissingScript is one kind."""
        started = time.perf_counter()
        failure: str | None = None
        try:
            return await self._execute(command)
        except MissingScript:
            raise
        except StoreUnavailable as error:
            failure = error.reason
            raise
        finally:
            if self._on_call is not None:
                self._on_call(time.perf_counter() - started, failure)

    async def ping(self) -> None:
        """Raises StoreUnavailable unless the server answers."""
        await self.execute("PING")

    async def get(self, key: str | bytes) -> bytes | None:
        """The value, or None. Raises StoreUnavailable."""
        value: bytes | None = await self.execute("GET", key)
        return value

    async def set(self, key: str | bytes, value: str | bytes, ttl: float | None = None) -> None:
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

    async def close(self) -> None:
        """Close the idle connections; those in use close when their command ends."""
        self._closed = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        while self._idle:
            await self._idle.pop().disconnect()

    async def _execute(self, command: Sequence[Argument]) -> Any:
        connection: AbstractConnection | None = None
        clean = False
        try:
            with Deadline(self._options.timeout):
                async with self._slots:
                    connection = await self._acquire()
                    await connection.send_command(*command, check_health=False)
                    reply = await connection.read_response()
            clean = True
        except Exception as error:  # the border: every failure becomes StoreUnavailable, which callers count
            failure = _classify(error)
            clean = isinstance(failure, MissingScript)
            raise failure from error
        else:
            return reply
        finally:
            if connection is not None:
                await self._release(connection, clean=clean)

    async def _acquire(self) -> AbstractConnection:
        while True:
            while self._idle:
                connection = self._idle.pop()
                if _alive(connection):
                    return connection
                await connection.disconnect(nowait=True)
            if self._opening is None:
                self._opening = asyncio.create_task(self._open())
                self._opening.add_done_callback(_retrieve)
            # Shielded: who cannot wait for a slow handshake leaves, and the next caller finds its connection.
            await asyncio.shield(self._opening)

    async def _open(self) -> None:
        connection = self._connector()
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        else:
            self._idle.append(connection)
        finally:
            self._opening = None

    async def _release(self, connection: AbstractConnection, *, clean: bool) -> None:
        if clean and not self._closed:
            self._idle.append(connection)
        else:
            await connection.disconnect(nowait=True)


class MissingScript(StoreUnavailable):
    """The server does not have this script: it was restarted, failed over, or flushed."""


class Script:
    """One Lua script, named by its SHA-1; sent whole only to a server that does not have it."""

    def __init__(self, client: RedisClient, name: str, source: bytes) -> None:
        self._client = client
        self.name = name
        self.source = source
        self.sha = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()

    def __repr__(self) -> str:
        return f"<Script {self.name} {self.sha.decode()[:12]}>"

    async def run(self, keys: Sequence[str | bytes], args: Sequence[Argument]) -> Any:
        """EVALSHA; on NOSCRIPT, EVAL once. Raises StoreUnavailable."""
        try:
            return await self._client.execute(b"EVALSHA", self.sha, len(keys), *keys, *args)
        except MissingScript:
            return await self._client.execute(b"EVAL", self.source, len(keys), *keys, *args)


def _alive(connection: AbstractConnection) -> bool:
    """Whether the server kept it open since its last use: a command sent to find out would have an unknown fate."""
    reader = connection._reader  # private, but the public can_read() reads, and costs a timer
    return reader is not None and not reader.at_eof()


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take note of a failed attempt nobody waits for any more, so that it is not reported as lost."""
    if not task.cancelled():
        task.exception()


_BY_CODE: dict[str, Reason] = {
    "READONLY": "readonly",
    "OOM": "oom",
    "LOADING": "loading",
    "MASTERDOWN": "down",
    "BUSY": "slow",
}


def _classify(error: Exception) -> StoreUnavailable:
    """Every failure of redis-py and of the socket, in our words."""
    from redis import exceptions  # noqa: PLC0415 - loaded by the connector already

    if isinstance(error, StoreUnavailable):
        return error
    if isinstance(error, exceptions.NoScriptError):
        return MissingScript("error", "NOSCRIPT")
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        return StoreUnavailable("slow")
    if isinstance(error, exceptions.BusyLoadingError):
        return StoreUnavailable("loading")
    if isinstance(error, exceptions.AuthenticationError | exceptions.AuthorizationError):
        return StoreUnavailable("error", "the server refused our credentials")
    if isinstance(error, OSError | exceptions.ConnectionError):
        return StoreUnavailable("down", str(error))
    if isinstance(error, exceptions.ReadOnlyError):
        return StoreUnavailable("readonly")
    if isinstance(error, exceptions.OutOfMemoryError):
        return StoreUnavailable("oom")
    return StoreUnavailable(_reason_in(str(error)), str(error))


def _reason_in(text: str) -> Reason:
    """Redis 6 wraps what a script's command met: `ERR Error running script …: -OOM command not allowed …`."""
    for code, reason in _BY_CODE.items():
        if text.startswith(f"{code} ") or f"-{code} " in text:
            return reason
    return "error"
