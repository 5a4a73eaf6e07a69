"""OpenAI's API as raw ASGI: read, serve, send. What the path is worth is decided elsewhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from gateway.corking import flush
from gateway.errors import (
    BodyTooLarge,
    ClientGone,
    Draining,
    GatewayError,
    KeyRevoked,
    SlowUpload,
)
from gateway.http.body import Arrival, read_call
from gateway.http.errors import error_body, error_frame, error_headers
from gateway.http.models import models_body
from gateway.http.openmode import refuse_foreign
from gateway.http.routes import Destination, locate
from gateway.http.server import Cycle
from gateway.http.sink import WatchedSink
from gateway.http.watch import DRAINED, REVOKED, Receive, Watch, Watched
from gateway.pipeline import Exchange, Pipeline
from gateway.ports import Observer
from gateway.upstream.forward import Answer
from gateway.upstream.relay import Relay

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

LINGER_SECONDS = 5.0
"""How long a body that is too large is still read, unused."""
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")
_JSON = (b"content-type", b"application/json")
_VERDICTS: dict[str, Callable[[], GatewayError]] = {
    "slow_upload": SlowUpload,
    REVOKED: KeyRevoked,
    DRAINED: lambda: Draining(retry_after=1.0),
}
"""Why the watch ended a request whose client is still there."""
_SAID_AT_THE_END = (REVOKED, DRAINED)
"""Those that a stream is told of in its last event."""
_STREAM_HEADERS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))


class OpenAIApi:
    """The ASGI application for every path of the API."""

    def __init__(self, pipeline: Pipeline, watch: Watch, observer: Observer, max_body: int) -> None:
        self._pipeline = pipeline
        self._watch = watch
        self._observer = observer
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        pipeline = self._pipeline
        started = pipeline.clock()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        call_id = pipeline.call_ids()
        given = headers.get(b"x-request-id")
        request_id = given.decode() if given is not None and _SANE_ID.fullmatch(given) else f"req-{call_id}"
        try:
            destination = locate(scope["method"], scope["path"])
            if pipeline.open_mode:
                refuse_foreign(headers)
            principal = pipeline.identify(headers)
            if principal is None:
                principal = await pipeline.find_out(headers)
            exchange = pipeline.open(request_id, principal, started)
        except GatewayError as error:
            pipeline.refused(request_id, error, started)
            await _send_error(send, error, request_id, pipeline.planner.snapshot.revision)
            return
        if destination.endpoint is None:
            await self._models(exchange, destination, send)
            return
        watched = self._watch.add(receive, principal.digest)
        try:
            await self._serve(Arrival(call_id, exchange, destination, headers, watched), send)
        finally:
            self._watch.remove(watched)
            if not exchange.closed:
                pipeline.close(exchange, 499, ClientGone())

    async def _models(self, exchange: Exchange, destination: Destination, send: Send) -> None:
        status, error = 200, None
        try:
            body = models_body(exchange.planner.snapshot, exchange.principal, destination)
            head = [_JSON, *_common(exchange), (b"content-length", b"%d" % len(body))]
        except GatewayError as failure:
            status, error = failure.public_status, failure
        self._pipeline.close(exchange, status, error)
        if error is not None:
            await _send_error(send, error, exchange.request_id, exchange.revision)
        else:
            await _send_whole(send, 200, head, body)

    async def _serve(self, arrival: Arrival, send: Send) -> None:
        exchange, watched = arrival.exchange, arrival.watched
        try:
            call = await read_call(arrival, self._max_body)
            answer = await self._pipeline.serve(exchange, call)
        except BodyTooLarge as error:
            await self._refuse(exchange, error, _lingering(send, watched.receive))
        except GatewayError as error:
            await self._refuse(exchange, error, send)
        except asyncio.CancelledError:
            await self._cancelled(exchange, watched, send, begun=False)
        except Exception as bug:  # the last guard: a fault of ours becomes a 500 with its traceback in the log
            self._observer.failed(bug, exchange.request_id)
            await self._refuse(exchange, GatewayError(), send)
        else:
            await self._reply(exchange, answer, watched, send)

    async def _refuse(self, exchange: Exchange, error: GatewayError, send: Send) -> None:
        self._pipeline.close(exchange, error.public_status, error)
        await _send_error(send, error, exchange.request_id, exchange.revision, exchange)

    async def _cancelled(self, exchange: Exchange, watched: Watched, send: Send, *, begun: bool) -> None:
        """Our own watch ended this request, or the server does, as at the end of a drain: that goes on upward.

        Nothing ends without a word: an error frame where events flow, the error itself where nothing was sent yet.
        """
        verdict = watched.verdict or DRAINED
        if watched.verdict is not None:
            watched.task.uncancel()
        error = _VERDICTS.get(verdict, ClientGone)()
        framed = begun and verdict in _SAID_AT_THE_END
        self._pipeline.close(exchange, 200 if framed else error.public_status, error)
        if framed:
            await self._frame(exchange, error, send)
        elif verdict in _VERDICTS and not begun:
            await _send_error(send, error, exchange.request_id, exchange.revision, exchange)
        if watched.verdict is None:
            raise  # noqa: PLE0704 - called while the cancellation is being handled

    async def _frame(self, exchange: Exchange, error: GatewayError, send: Send) -> None:
        """The end of an event stream that we break off."""
        answer, call = exchange.answer, exchange.call
        if call is not None and answer is not None and answer.relay is not None and answer.relay.events:
            await send({"type": "http.response.body", "body": error_frame(error, call.service)})

    async def _reply(self, exchange: Exchange, answer: Answer, watched: Watched, send: Send) -> None:
        head = _about(exchange, answer)
        if answer.body is not None:
            head.append((b"content-length", b"%d" % len(answer.body)))
            self._pipeline.close(exchange, 200)
            await _send_whole(send, 200, head, answer.body)
            return
        assert answer.relay is not None
        if answer.relay.events:
            head += _STREAM_HEADERS
        try:
            await self._stream(exchange, answer.relay, head, watched, send)
        except asyncio.CancelledError:
            answer.relay.abort()
            await self._cancelled(exchange, watched, send, begun=True)
        except BaseException:
            answer.relay.abort()
            raise

    async def _stream(self, exchange: Exchange, relay: Relay, head: HeaderList, watched: Watched, send: Send) -> None:
        """Relay until the answer is over. An event stream that breaks ends in an error frame, other bytes just break
        off."""
        await send({"type": "http.response.start", "status": 200, "headers": head})
        clock = self._pipeline.clock
        # uvicorn's `send` is a method of the cycle; under another server there is none and every part is awaited.
        cycle = getattr(send, "__self__", None)
        client = WatchedSink(cycle, watched, clock) if isinstance(cycle, Cycle) else None
        while True:
            data = await (relay.next() if client is None else relay.pump(client))
            if relay.over:
                break
            watched.sending_since = clock()
            await send({"type": "http.response.body", "body": data, "more_body": True})
            watched.sending_since = None
        watched.sending_since = None
        error = relay.failure
        if error is not None and relay.events:
            assert exchange.call is not None
            data += error_frame(error, exchange.call.service)
        self._pipeline.close(exchange, 200, error)
        if error is None or relay.events:
            await send({"type": "http.response.body", "body": data})
        elif data:
            await send({"type": "http.response.body", "body": data, "more_body": True})
            flush()


def _common(exchange: Exchange) -> HeaderList:
    return [(b"x-request-id", exchange.request_id.encode()), (b"x-gateway-revision", exchange.revision.encode())]


def _about(exchange: Exchange, answer: Answer) -> HeaderList:
    """How the answer came about."""
    deployment = answer.deployment
    headers: HeaderList = [
        (b"content-type", answer.content_type),
        (b"x-request-id", exchange.request_id.encode()),
        (b"x-gateway-revision", exchange.revision.encode()),
        (b"x-gateway-provider", deployment.provider.name.encode()),
        (b"x-gateway-model", deployment.model.encode()),
        (b"x-gateway-attempts", b"%d" % exchange.progress.attempts),
        (b"x-gateway-overhead-ms", b"%.2f" % ((exchange.overhead or 0.0) * 1000)),
    ]
    headers += answer.headers
    if exchange.reservation is not None:
        headers += exchange.reservation.headers
    return headers


async def _send_error(
    send: Send, error: GatewayError, request_id: str, revision: str, exchange: Exchange | None = None
) -> None:
    body = error_body(error)
    head = [
        _JSON,
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        (b"x-gateway-revision", revision.encode()),
        *error_headers(error),
    ]
    if exchange is not None:
        head.append((b"x-gateway-attempts", b"%d" % exchange.progress.attempts))
        if exchange.reservation is not None:
            head += exchange.reservation.headers
    if isinstance(error, BodyTooLarge | SlowUpload):
        # The rest of the body is not read.
        head.append((b"connection", b"close"))
    await _send_whole(send, error.public_status, head, body)


def _lingering(send: Send, receive: Receive) -> Send:
    """Reads on after the answer: closing under unread bytes resets the connection, and the answer is lost with it."""

    async def linger(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            return
        await send({**message, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body"})

    return linger


async def _send_whole(send: Send, status: int, head: HeaderList, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})
