"""The default engine: HTTP/1.1 over asyncio transports, made for the hot path. Works on uvloop and on plain asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from gateway.errors import (
    UpstreamDisconnected,
    UpstreamPoolExhausted,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.upstream.addresses import checked, first_to_answer
from gateway.upstream.lookups import resolve, resolve_for_clients

from .body import present_parts, send_present, start_sending
from .connection import Connection
from .failures import connect_failure
from .pool import Pool
from .tls import ssl_context
from .wire import header_lines, serialise_head

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gateway.ports import Deadlines, Endpoint, UpstreamRequest
    from gateway.types import Body
    from gateway.upstream.addresses import Resolver

    from .response import Response


MAX_NEAREST = 1024
IDLE_RACE_SECONDS = 0.25
"""A connection that was closed while it was idle breaks within a round trip of what is sent on it; one that breaks
later may break with our request in work."""
_NONE: tuple[None, None] = (None, None)


class HttptoolsEngine:
    """Implements `gateway.ports.Engine`. Belongs to the loop that first uses it.

    Besides what that Protocol lists, `send` raises ValueError for a head that cannot be put on the wire.
    """

    def __init__(self, resolver: Resolver = resolve) -> None:
        self._resolver = resolver
        self._pools: dict[Endpoint, Pool[Connection]] = {}
        self._nearest: dict[int, tuple[Endpoint, Pool[Connection]]] = {}
        """The same by the identity of their keys."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<HttptoolsEngine {' '.join(map(repr, self._pools.values())) or 'no connections'}>"

    async def send(self, request: UpstreamRequest, deadlines: Deadlines) -> Response:
        """See `gateway.ports.Engine.send`. The body's own exceptions pass through."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        head = request.head.wire or serialise_head(request.head)
        if request.extra:
            head += header_lines(request.extra)
        now = loop.time()
        give_up = now + deadlines.first_byte
        if deadlines.at is not None and deadlines.at < give_up:
            give_up = deadlines.at
            if give_up <= now:
                raise UpstreamTimeout
        endpoint = request.head.endpoint
        # An endpoint's hash is made of all its fields; the one that comes again is mostly the very same.
        known, pool = self._nearest.get(id(endpoint), _NONE)
        if known is not endpoint or pool is None:
            pool = self._pool(endpoint)
        connection = pool.take()
        reused = connection is not None
        while True:
            if connection is None:
                connection, reused = await self._acquire(pool, endpoint, deadlines, give_up)
                now = loop.time()
            response = connection.start(deadlines, give_up, bodiless=request.head.method == b"HEAD")
            try:
                _transmit(loop, connection, head, request)
                await response.head()
            except UpstreamDisconnected:
                if not reused or response.got_bytes or loop.time() - now > IDLE_RACE_SECONDS:
                    raise
            except BaseException:  # whatever ended it, its connection is in no known state
                response.abort()
                raise
            else:
                return response
            # The server closed an idle connection just as we used it (RFC 9112, 9.3.1): once more, and on a new one,
            # since other idle ones may be as dead. Its own slot is free, unless others wait; then nothing is idle.
            connection, _ = await self._acquire(pool, endpoint, deadlines, give_up)
            reused = False

    async def close(self) -> None:
        """See `gateway.ports.Engine.close`."""
        self._closed = True
        for pool in list(self._pools.values()):
            for connection in pool.members():
                connection.break_off()
        self._pools.clear()
        self._nearest.clear()
        await asyncio.sleep(0)  # transports report their end in the next turn of the loop

    def _pool(self, endpoint: Endpoint) -> Pool[Connection]:
        pool = self._pools.get(endpoint)
        if pool is None:
            if self._closed:
                raise UpstreamUnreachable
            self._forget_unused()
            pool = self._pools[endpoint] = Pool(f"{endpoint.host}:{endpoint.port}", endpoint.max_connections)
        if len(self._nearest) >= MAX_NEAREST:
            self._nearest.clear()
        self._nearest[id(endpoint)] = endpoint, pool
        return pool

    def _forget_unused(self) -> None:
        """Endpoints come and go with the configuration; looked at only when a new one appears."""
        for endpoint in [endpoint for endpoint, pool in self._pools.items() if pool.unused]:
            del self._pools[endpoint]
        self._nearest.clear()

    # ---- getting a connection ----

    async def _acquire(
        self, pool: Pool[Connection], endpoint: Endpoint, deadlines: Deadlines, give_up: float
    ) -> tuple[Connection, bool]:
        """A new connection, or the next that becomes free; and whether it was used before."""
        waited = False
        until = give_up
        if deadlines.pool is not None:
            until = min(give_up, asyncio.get_running_loop().time() + deadlines.pool)
        while True:
            if pool.reserve():
                return await self._open(pool, endpoint, deadlines, give_up), False
            connection = await self._queue(pool, until, first=waited)
            if connection is None:
                return await self._open(pool, endpoint, deadlines, give_up), False
            if not connection.closed:
                return connection, True
            waited = True

    async def _queue(self, pool: Pool[Connection], until: float, *, first: bool) -> Connection | None:
        """Wait for a free connection, or None for the right to open one, which the caller then must use or return."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        timer = loop.call_at(until, _expire, waiter)
        pool.enqueue(waiter, first=first)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._return(pool, waiter.result())
            raise
        finally:
            timer.cancel()
            pool.leave(waiter)

    def _return(self, pool: Pool[Connection], served: Connection | None) -> None:
        """A cancelled waiter was served in the same turn: the next one gets it."""
        if served is None:
            pool.unreserve()
        else:
            pool.give_back(served)

    async def _open(
        self, pool: Pool[Connection], endpoint: Endpoint, deadlines: Deadlines, give_up: float
    ) -> Connection:
        """Fill a reserved slot. Raises what `send` raises about connecting."""
        loop = asyncio.get_running_loop()
        connection: Connection | None = None
        try:
            if self._closed:
                raise UpstreamUnreachable
            async with asyncio.timeout_at(min(loop.time() + deadlines.connect, give_up)):
                connection = await self._connected(pool, endpoint)
        except BaseException as error:  # the reserved slot goes back, whatever happened
            if connection is not None:
                connection.discard()
            pool.unreserve()
            if isinstance(error, Exception):
                raise connect_failure(error) from error
            raise
        if connection.closed or self._closed:
            connection.discard()
            pool.unreserve()
            raise UpstreamDisconnected
        pool.opened(connection)
        return connection

    async def _connected(self, pool: Pool[Connection], endpoint: Endpoint) -> Connection:
        context = ssl_context(endpoint.ca_file) if endpoint.tls else None
        if endpoint.path is not None:
            return await _connect(pool, endpoint)
        addresses = await checked(endpoint, self._resolver)

        async def connect(address: str, accepted: Callable[[], None]) -> Connection:
            if context is None:
                return await _connect(pool, endpoint, address)
            return await _connect_tls(pool, endpoint, address, context, accepted)

        return await first_to_answer(addresses, connect, Connection.discard)


def engine_for_clients() -> HttptoolsEngine:
    """One for addresses that clients chose."""
    return HttptoolsEngine(resolve_for_clients)


async def _connect(pool: Pool[Connection], endpoint: Endpoint, address: str = "") -> Connection:
    loop = asyncio.get_running_loop()
    connection = Connection(loop, pool)
    try:
        if endpoint.path is not None:
            await loop.create_unix_connection(lambda: connection, endpoint.path)
        else:
            await loop.create_connection(lambda: connection, address, endpoint.port)
    except BaseException:  # nobody else knows of this connection
        connection.discard()
        raise
    return connection


async def _connect_tls(
    pool: Pool[Connection], endpoint: Endpoint, address: str, context: ssl.SSLContext, accepted: Callable[[], None]
) -> Connection:
    """TCP, then TLS: in two steps, so that it can be told how far it came."""
    loop = asyncio.get_running_loop()
    bare, _ = await loop.create_connection(asyncio.Protocol, address, endpoint.port)
    connection = Connection(loop, pool)
    try:
        if bare.is_closing():
            raise ConnectionResetError
        accepted()
        secure = await loop.start_tls(bare, connection, context, server_hostname=endpoint.host)
        assert secure is not None
    except BaseException:  # nobody else knows of this connection
        connection.discard()
        bare.abort()
        raise
    connection.connection_made(secure)
    return connection


def _expire(waiter: asyncio.Future[Connection | None]) -> None:
    if not waiter.done():
        waiter.set_exception(UpstreamPoolExhausted())


def _transmit(loop: asyncio.AbstractEventLoop, connection: Connection, head: bytes, request: UpstreamRequest) -> None:
    body = request.body
    parts = body if isinstance(body, list | tuple) else present_parts(body)
    if parts is not None:
        send_present(connection, head, request.head.method, parts)
    else:
        start_sending(loop, connection, head, cast("Body", body))
