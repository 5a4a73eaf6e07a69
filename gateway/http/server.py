"""The HTTP server's side of a connection: uvicorn's, with an answer's head and first bytes sent as one write.

uvicorn writes the head when it gets it and searches every header with two patterns; on the hot path that is a system
call and a dozen searches per answer too many. Here the head waits for the first body message, and is checked whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.corking import flush, write_soon

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport
    from collections.abc import Callable

    from uvicorn._types import ASGISendEvent

    from gateway.http.overload import Overload

JOIN_BELOW = 64 * 1024
"""Bytes up to which copying head and body together is cheaper than two writes."""


MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers, give or take one read."""
HEAD_SECONDS = 10.0
"""In which a head that has begun, or the first one of a connection, has to be complete."""


class Cycle(RequestResponseCycle):
    """One request and its answer. The head of the answer leaves together with the first body message."""

    _head: bytes = b""
    on_resume: Callable[[], None] | None = None
    """Called when the client reads again."""

    @property
    def paused(self) -> bool:
        """See `gateway.ports.ByteSink`."""
        return self.flow.write_paused and not self.disconnected

    def push(self, data: bytes) -> None:
        """A part of a begun answer without awaiting anything. See `gateway.ports.ByteSink`."""
        if not self.disconnected and not self.response_complete:
            self._body({"body": data, "more_body": True})

    async def send(self, message: ASGISendEvent) -> None:
        """See ASGI. Raises RuntimeError for messages out of order and for headers that would break the framing."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"Expected ASGI message 'http.response.start', but got '{kind}'.")
            self._start(cast("dict[str, Any]", message))
        elif not self.response_complete:
            if kind != "http.response.body":
                raise RuntimeError(f"Expected ASGI message 'http.response.body', but got '{kind}'.")
            self._body(cast("dict[str, Any]", message))
        else:
            raise RuntimeError(f"Unexpected ASGI message '{kind}' sent, after response already completed.")

    def _start(self, message: dict[str, Any]) -> None:
        self.response_started = True
        self.waiting_for_100_continue = False
        status: int = message["status"]
        headers = [*self.default_headers, *message.get("headers", ())]
        named = dict(headers)
        length = named.get(b"content-length")
        if length is not None:
            self.expected_content_length = int(length)
            self.chunked_encoding = False
        connection = named.get(b"connection")
        if connection is not None and b"close" in connection.lower():
            self.keep_alive = False
        elif not self.keep_alive:
            headers.append((b"connection", b"close"))
        if length is None and self.scope["method"] != "HEAD" and status not in (204, 304):
            self.chunked_encoding = True
            headers.append((b"transfer-encoding", b"chunked"))
        head = b"\r\n".join(map(b": ".join, headers)) + b"\r\n"
        if not head.count(b"\n") == head.count(b"\r") == len(headers) or b"\0" in head:
            raise RuntimeError("A header holds a line break or NUL.")
        self._head = b"%b%b\r\n" % (STATUS_LINE[status], head)

    def _body(self, message: dict[str, Any]) -> None:
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            body = b""
            self.expected_content_length = 0
        elif self.chunked_encoding:
            if body:
                body = b"%x\r\n%b\r\n" % (len(body), body)
            if not more:
                body += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("Response content longer than Content-Length")
        self._write(body)
        if more:
            return
        if self.expected_content_length:
            raise RuntimeError("Response content shorter than Content-Length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            flush()
            self.transport.close()
        self.on_response()

    def _write(self, body: bytes) -> None:
        head = self._head
        if head:
            self._head = b""
            if len(body) > JOIN_BELOW:
                write_soon(self.transport, head)
            else:
                body = head + body
        if body:
            write_soon(self.transport, body)


class _Nothing:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Nothing."""


class _Shed:
    """Stands for the cycle of a request that was refused before it became one: it is answered, what follows of its body
    is dropped by the protocol, and there is nobody to wake."""

    response_complete = True
    on_resume = None
    message_event = _Nothing()


_SHED: Any = _Shed()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with our answers, with bounds on a request's head, which uvicorn's has not, and with refusals
    that cost little when there is too much to do."""

    _head_size = 0
    _head_timer: TimerHandle | None = None
    _overload: Overload | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A new connection has to say something soon."""
        super().connection_made(transport)
        self._overload = getattr(self.app, "overload", None)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def shutdown(self) -> None:
        """The server stops: what was answered in this turn still goes out."""
        flush()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        super().connection_lost(exc)
        self._head_ended()
        self._resumed()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self._resumed()

    def _resumed(self) -> None:
        cycle: Any = self.cycle
        if cycle is not None and cycle.on_resume is not None:
            cycle.on_resume()

    def data_received(self, data: bytes) -> None:
        """A head that does not come in one read is counted and timed."""
        super().data_received(data)
        # uvicorn makes a new scope for each message and names its method once the headers are complete.
        scope: Any = self.scope
        if scope is None or "method" not in scope:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD and not self.transport.is_closing():
                self.send_400_response("The request's headers are too large.")
            elif self._head_timer is None:
                self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)
        elif self.cycle is _SHED and self.timeout_keep_alive_task is None:
            # More of a body that nobody reads: it has to end some time.
            self.timeout_keep_alive_task = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _head_ended(self) -> None:
        self._head_size = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def on_headers_complete(self) -> None:
        """A request's headers are here: its cycle becomes ours before its task first runs."""
        self._head_ended()
        overload = self._overload
        if overload is not None and overload.shedding and self._at_rest() and overload.refuses(self.url):
            self._shed(overload)
            return
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:
            self.cycle.__class__ = Cycle

    def _at_rest(self) -> bool:
        """Whether no answer is under way on this connection: answers go out in the order of the requests."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete is True

    def _shed(self, overload: Overload) -> None:
        scope: Any = self.scope
        scope["method"] = ""  # the head is complete, see `data_received`
        self.cycle = _SHED
        # Whoever waits for "100 Continue" may send the body or not: nobody can tell where the next request begins.
        close = self.expect_100_continue or not self.parser.should_keep_alive()
        write_soon(self.transport, overload.answer(self.headers, self.server_state.default_headers, close=close))
        if close:
            flush()
            self.transport.close()
        else:
            self.on_response_complete()
