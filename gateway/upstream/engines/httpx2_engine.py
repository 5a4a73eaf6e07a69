"""The second engine: httpx2's transport, for what the first one does not do and for everything off the hot path."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import httpcore2
import httpx2

from gateway.errors import (
    UpstreamBadResponse,
    UpstreamConnectTimeout,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamPoolExhausted,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from gateway.upstream.addresses import checked, first_to_answer
from gateway.upstream.lookups import resolve

from .body import present_parts
from .connection import IDLE_SECONDS
from .failures import connect_failure, root_cause
from .parsing import MAX_HEAD_BYTES, MAX_HEADERS
from .response import Response
from .tls import ssl_context
from .wire import header_lines, serialise_head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from gateway.ports import Deadlines, Endpoint, UpstreamRequest
    from gateway.types import Body, Headers
    from gateway.upstream.addresses import Resolver

_SERVER_GONE = "Server disconnected"
"""How httpcore2 says that a connection ended before an answer; its other protocol errors are about what was sent."""


class Httpx2Engine:
    """Implements `gateway.ports.Engine`. `send` raises ValueError for a head that cannot be put on the wire.

    It works on httpx2's transport, below the client: no default headers, cookies, redirects, proxies or environment.
    Each exchange runs in a task of its own, so that a cancelled caller never interrupts the library in the middle of
    a read. What breaks on a reused connection is not sent again: this library does not tell whether a byte came back.
    """

    def __init__(self, resolver: Resolver = resolve) -> None:
        self._resolver = resolver
        self._transports: dict[Endpoint, httpx2.AsyncHTTPTransport] = {}
        self._exchanges: set[_Exchange] = set()
        self._closed = False

    def __repr__(self) -> str:
        return f"<Httpx2Engine endpoints={len(self._transports)} exchanges={len(self._exchanges)}>"

    async def send(self, request: UpstreamRequest, deadlines: Deadlines) -> Response:
        """See `gateway.ports.Engine.send`. The body's own exceptions pass through."""
        if not request.head.wire:
            serialise_head(request.head)
        header_lines(request.extra)
        if self._closed:
            raise UpstreamUnreachable
        if deadlines.at is not None and deadlines.at <= asyncio.get_running_loop().time():
            raise UpstreamTimeout
        exchange = _Exchange(self._transport(request.head.endpoint), request, deadlines)
        self._exchanges.add(exchange)
        exchange.task.add_done_callback(lambda _: self._exchanges.discard(exchange))
        try:
            await exchange.response.head()
        except BaseException:  # whatever ended it, its connection is in no known state
            exchange.response.abort()
            raise
        return exchange.response

    async def close(self) -> None:
        """See `gateway.ports.Engine.close`."""
        self._closed = True
        tasks = [exchange.task for exchange in self._exchanges]
        for exchange in list(self._exchanges):
            exchange.break_off()
        await asyncio.gather(*tasks, return_exceptions=True)
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()

    def _transport(self, endpoint: Endpoint) -> httpx2.AsyncHTTPTransport:
        transport = self._transports.get(endpoint)
        if transport is None:
            transport = self._transports[endpoint] = _GuardedTransport(endpoint, self._resolver)
        return transport


class _GuardedTransport(httpx2.AsyncHTTPTransport):
    """The library's transport over a pool whose connections are made by `_GuardedNetwork`; the transport itself does
    not take one."""

    def __init__(self, endpoint: Endpoint, resolver: Resolver) -> None:
        # Without TLS any context does; the default one is not asked for, since it reads the system's authorities.
        context = ssl_context(endpoint.ca_file)
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=endpoint.max_connections,
            max_keepalive_connections=endpoint.max_connections,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=_GuardedNetwork(endpoint, resolver),
        )


class _GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to nothing else: no Unix sockets either."""

    def __init__(self, endpoint: Endpoint, resolver: Resolver) -> None:
        self._endpoint = endpoint
        self._resolver = resolver
        self._network = httpcore2.AnyIOBackend()
        self._closing: set[asyncio.Task[None]] = set()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        del host  # the endpoint's, or stands for its pinned address

        async def connect(address: str, _: Callable[[], None]) -> httpcore2.AsyncNetworkStream:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError as error:
                raise root_cause(error) from error

        try:
            async with asyncio.timeout(timeout):
                return await first_to_answer(await checked(self._endpoint, self._resolver), connect, self._drop)
        except (OSError, UnicodeError) as error:
            raise connect_failure(error) from error

    def _drop(self, stream: httpcore2.AsyncNetworkStream) -> None:
        task = asyncio.get_running_loop().create_task(stream.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


class _Exchange:
    """One request and its answer, driven by a task; the carrier of its response."""

    def __init__(self, transport: httpx2.AsyncHTTPTransport, request: UpstreamRequest, deadlines: Deadlines) -> None:
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._transport = transport
        self._endpoint = request.head.endpoint
        self._deadlines = deadlines
        self._phase = ""
        self._unsecured: Any = None
        """The TCP stream of a handshake under way: the library does not close it when the handshake is interrupted."""
        self._body_error: BaseException | None = None
        self._room = asyncio.Event()
        self.response = Response(loop, self, deadlines)
        self.task = loop.create_task(self._run(request))

    def resume(self) -> None:
        """The reader drained its buffer."""
        self._room.set()

    def discard(self) -> None:
        """Stop; the library closes the connection of an interrupted exchange."""
        self.task.cancel()

    def break_off(self) -> None:
        """The engine closes: an answer still open fails."""
        self.task.cancel()
        self.response.fail(UpstreamTruncated() if self.response.status else UpstreamDisconnected())

    async def _run(self, request: UpstreamRequest) -> None:
        try:
            reply = await self._head(self._build(request))
        except Exception as error:  # the border: whatever it is, it is mapped and raised in `send`
            self.response.fail(self._sending_failure(error))
            return
        try:
            await self._relay(reply)
        finally:
            await reply.aclose()

    def _build(self, request: UpstreamRequest) -> httpx2.Request:
        head, endpoint = request.head, self._endpoint
        host = endpoint.host
        scheme = "https" if endpoint.tls else "http"
        authority = f"[{host}]" if ":" in host else host
        headers = [*head.headers, *request.extra]
        body = request.body
        parts = present_parts(body)
        content: bytes | AsyncIterator[bytes]
        if parts is None:
            assert not isinstance(body, Sequence)
            if body.size is not None:
                headers.append((b"content-length", b"%d" % body.size))
            content = self._arriving(body)
        else:
            content = b"".join(parts)
        extensions: dict[str, Any] = {
            "timeout": {"connect": self._deadlines.connect, "pool": self._deadlines.pool},
            "trace": self._trace,
            "target": head.target,
        }
        if endpoint.tls:
            extensions["sni_hostname"] = endpoint.host
        url = f"{scheme}://{authority}:{endpoint.port}"
        return httpx2.Request(head.method.decode(), url, headers=headers, content=content, extensions=extensions)

    async def _arriving(self, body: Body) -> AsyncIterator[bytes]:
        try:
            async for part in body.stream():
                if part:
                    yield part
        except Exception as error:  # the client's body failed: its library wraps that, and we tell it apart
            self._body_error = error
            raise

    async def _trace(self, event: str, info: Any) -> None:
        self._phase = event
        if event == "connection.connect_tcp.complete":
            self._unsecured = info["return_value"]
        elif event == "connection.start_tls.complete" or not event.startswith("connection."):
            self._unsecured = None

    async def _head(self, request: httpx2.Request) -> httpx2.Response:
        give_up = self._loop.time() + self._deadlines.first_byte
        if self._deadlines.at is not None:
            give_up = min(give_up, self._deadlines.at)
        try:
            async with asyncio.timeout_at(give_up):
                return await self._transport.handle_async_request(request)
        finally:
            if self._unsecured is not None:
                await self._unsecured.aclose()

    def _sending_failure(self, error: Exception) -> BaseException:
        if self._body_error is not None:
            return self._body_error
        failure = self._classify(error)
        failure.__cause__ = error
        return failure

    def _classify(self, error: Exception) -> UpstreamError:
        if isinstance(error, UpstreamError):
            return error
        if isinstance(error, httpx2.ConnectTimeout):
            return UpstreamConnectTimeout()
        if isinstance(error, httpx2.ConnectError):
            return connect_failure(root_cause(error))
        if isinstance(error, TimeoutError | httpx2.TimeoutException):
            if not self._phase:
                return UpstreamPoolExhausted()
            return UpstreamConnectTimeout() if self._phase.startswith("connection.") else UpstreamTimeout()
        if isinstance(error, httpx2.RemoteProtocolError) and not str(error).startswith(_SERVER_GONE):
            return UpstreamBadResponse()
        if isinstance(error, httpx2.InvalidURL | UnicodeError):
            return UpstreamUnreachable()
        return UpstreamDisconnected()

    async def _relay(self, reply: httpx2.Response) -> None:
        """Head and body into the response, no faster than the reader takes them."""
        response = self.response
        headers = [(name.lower(), value) for name, value in reply.headers.raw]
        if not _acceptable(reply.status_code, headers):
            response.fail(UpstreamBadResponse())
            return
        length = reply.headers.get("content-length", "")
        response.length = int(length) if length.isdigit() else None
        response.status, response.headers = reply.status_code, headers
        try:
            await self._body(reply)
            if not _used_up(reply):
                await reply.extensions["network_stream"].aclose()
            await reply.aclose()  # before the reader hears of the end, so that its next request finds the connection
        except UpstreamError as error:
            response.fail(error)
        except Exception as error:  # the border: a body that breaks in any way is truncated
            failure = UpstreamTruncated()
            failure.__cause__ = error
            response.fail(failure)
        else:
            response.finish()
            response.wake()

    async def _body(self, reply: httpx2.Response) -> None:
        response = self.response
        stream = reply.stream.__aiter__()  # type: ignore[union-attr]  # an async transport gives an async stream
        response.wake()
        while (data := await self._next(stream)) is not None:
            if data:
                response.parts.append(data)
                response.buffered += len(data)
                response.wake()
            await self._room_for_more()

    async def _room_for_more(self) -> None:
        """Wait while the reader is behind. Only the deadline of all counts then."""
        try:
            async with asyncio.timeout_at(self._deadlines.at):
                while self.response.buffered > self.response.high_water:
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError:
            raise UpstreamTimeout from None

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes | None:
        at = self._deadlines.at
        idle = self._loop.time() + self._deadlines.idle
        try:
            async with asyncio.timeout_at(idle if at is None else min(idle, at)):
                return await anext(stream, None)
        except TimeoutError:
            raise (UpstreamTimeout if at is not None and at < idle else UpstreamStalled) from None


def _used_up(reply: httpx2.Response) -> bool:
    """Nothing came after the end of this answer. The library would take such bytes for the next request's answer.

    There is no public way to ask. Were the private one gone, every connection would serve once only; a test sees that.
    """
    node: Any = reply.stream
    for name in ("_httpcore_stream", "_stream", "_connection", "_h11_state"):
        node = getattr(node, name, None)
    left, _ = getattr(node, "trailing_data", (b"unknown", False))
    return not left


def _acceptable(status: int, headers: Headers) -> bool:
    """The same rules as the first engine's parser, as far as the library did not apply them."""
    names = [name for name, _ in headers]
    size = sum(len(name) + len(value) + 4 for name, value in headers)
    encodings = {value.strip().lower() for name, value in headers if name == b"content-encoding"}
    lengths = names.count(b"content-length")
    return (
        200 <= status <= 999
        and len(names) <= MAX_HEADERS
        and size <= MAX_HEAD_BYTES
        and (encodings <= {b"", b"identity"} or status >= 400)
        and lengths <= 1
        and not (lengths and b"transfer-encoding" in names)
    )
