"""OpenAI's API: read, serve, answer. What the path is worth is decided elsewhere."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress

from gateway.corking import flush
from gateway.errors import BodyTooLarge, ClientGone, Draining, GatewayError, KeyRevoked, MalformedRequest, SlowUpload
from gateway.http.answers import about, answer_error, counted
from gateway.http.body import Arrival, present_call, read_call
from gateway.http.cors import Cors
from gateway.http.cycle import Cycle
from gateway.http.models import Listing, anthropic_models, openai_models
from gateway.http.openmode import refuse_foreign
from gateway.http.routes import COUNT_TOKENS, Destination, locate
from gateway.http.shapes import ANTHROPIC, shape_of
from gateway.http.watch import DRAINED, GONE, MALFORMED, REVOKED, Watch, Watched
from gateway.pipeline import Exchange, Pipeline
from gateway.ports import Observer
from gateway.types import Call
from gateway.upstream.forward import Answer
from gateway.upstream.relay import Relay

LINGER_SECONDS = 5.0
"""How long a body that is too large is still read, unused."""
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")
_JSON = (b"content-type", b"application/json")
_VERDICTS: dict[str, Callable[[], GatewayError]] = {
    "slow_upload": SlowUpload,
    MALFORMED: MalformedRequest,
    REVOKED: KeyRevoked,
    DRAINED: lambda: Draining(retry_after=1.0),
}
"""Why the watch ended a request whose client is still there."""
_SAID_AT_THE_END = (REVOKED, DRAINED)
"""Those that a stream is told of in its last event."""
_STREAM_LINES = b"cache-control: no-cache\r\nx-accel-buffering: no\r\n"


class OpenAIApi:
    """Serves every path of the API."""

    def __init__(
        self, pipeline: Pipeline, watch: Watch, observer: Observer, max_body: int, cors: Cors | None = None
    ) -> None:
        self._pipeline = pipeline
        self._watch = watch
        self._observer = observer
        self._max_body = max_body
        self._cors = Cors() if cors is None else cors

    async def __call__(self, cycle: Cycle) -> None:
        """Serve one request."""
        pipeline = self._pipeline
        started = pipeline.clock()
        headers = cycle.headers
        call_id = pipeline.call_ids()
        given = headers.get(b"x-request-id")
        request_id = given.decode() if given is not None and _SANE_ID.fullmatch(given) else f"req-{call_id}"
        origin = headers.get(b"origin")
        try:
            if origin is not None and self._cors.heed(cycle, origin, open_mode=pipeline.open_mode):
                return
            destination = locate(cycle.method, cycle.path)
            if pipeline.open_mode:
                refuse_foreign(headers)
            principal = pipeline.identify(headers)
            if principal is None:
                principal = await pipeline.find_out(headers)
            exchange = pipeline.open(request_id, principal, started)
        except GatewayError as error:
            pipeline.refused(request_id, error, started, shape_of(cycle.path, headers).status(error))
            answer_error(cycle, error, request_id, pipeline.planner.snapshot.revision)
            return
        if destination.endpoint is None:
            self._models(exchange, destination, cycle)
            return
        watched = self._watch.add(cycle, principal.digest)
        try:
            await self._serve(Arrival(call_id, exchange, destination, headers, cycle), watched)
        finally:
            self._watch.remove(watched)
            if not exchange.closed and not exchange.read_on:
                pipeline.close(exchange, 499, ClientGone())

    def _models(self, exchange: Exchange, destination: Destination, cycle: Cycle) -> None:
        shape = shape_of(cycle.path, cycle.headers)
        try:
            snapshot, pipeline = exchange.planner.snapshot, self._pipeline
            listing = Listing(snapshot, exchange.principal, pipeline.price_of, destination.pinned)
            if shape is ANTHROPIC:
                body = anthropic_models(listing, destination, cycle.target[2])
            else:
                body = openai_models(listing, destination)
        except GatewayError as error:
            self._refuse(exchange, error, cycle)
            return
        self._pipeline.close(exchange, 200)
        own = [(b"x-request-id", exchange.request_id.encode()), (b"x-gateway-revision", exchange.revision.encode())]
        cycle.reply(200, [_JSON, *own, *shape.headers(exchange.request_id, ())], body)

    async def _serve(self, arrival: Arrival, watched: Watched) -> None:
        exchange, cycle = arrival.exchange, arrival.cycle
        try:
            call = present_call(arrival, self._max_body) or await read_call(arrival, self._max_body)
            if call.path == COUNT_TOKENS:
                await self._count(exchange, call, cycle)
                return
            answer = await self._pipeline.serve(exchange, call)
        except GatewayError as error:
            self._refuse(exchange, error, cycle)
            if isinstance(error, BodyTooLarge):
                await _linger(cycle)
        except asyncio.CancelledError:
            self._cancelled(exchange, watched, cycle)
        except Exception as bug:  # the last guard: a fault of ours becomes a 500 with its traceback in the log
            self._observer.failed(bug, exchange.request_id)
            self._refuse(exchange, GatewayError(), cycle)
        else:
            if answer.body is None:
                await self._relay(exchange, answer, watched, cycle)
                return
            lines, pairs = about(exchange, answer)
            self._pipeline.close(exchange, 200)
            cycle.reply(200, pairs, answer.body, lines)

    async def _count(self, exchange: Exchange, call: Call, cycle: Cycle) -> None:
        """Answer how many tokens a request has. Raises GatewayError."""
        answer, expected = await self._pipeline.count(exchange, call)
        lines, pairs, body = counted(exchange, answer, expected)
        self._pipeline.close(exchange, 200)
        cycle.reply(200, pairs, body, lines)

    def _refuse(self, exchange: Exchange, error: GatewayError, cycle: Cycle) -> None:
        self._pipeline.close(exchange, shape_of(cycle.path, cycle.headers).status(error), error)
        answer_error(cycle, error, exchange.request_id, exchange.revision, exchange)

    def _cancelled(self, exchange: Exchange, watched: Watched, cycle: Cycle) -> None:
        """Our own watch ended this request, or the server does, as at the end of a drain: that goes on upward.

        Nothing ends without a word: an error frame where events flow, the error itself where nothing was sent yet.
        """
        verdict = watched.verdict or DRAINED
        if watched.verdict is not None:
            watched.task.uncancel()
        if verdict == GONE and self._pipeline.read_on(exchange):
            return
        error = _VERDICTS.get(verdict, ClientGone)()
        framed = cycle.begun and verdict in _SAID_AT_THE_END
        status = 200 if framed else shape_of(cycle.path, cycle.headers).status(error)
        self._pipeline.close(exchange, status, error)
        if framed:
            self._frame(exchange, error, cycle)
        elif verdict in _VERDICTS and not cycle.begun:
            answer_error(cycle, error, exchange.request_id, exchange.revision, exchange)
        if watched.verdict is None:
            raise  # noqa: PLE0704 - called while the cancellation is being handled

    def _frame(self, exchange: Exchange, error: GatewayError, cycle: Cycle) -> None:
        """The end of an event stream that we break off."""
        answer, call = exchange.answer, exchange.call
        if call is not None and answer is not None and answer.relay is not None and answer.relay.events:
            shape = shape_of(cycle.path, cycle.headers)
            cycle.end(shape.frame(error, call.service, exchange.request_id, answer.relay.told))

    async def _relay(self, exchange: Exchange, answer: Answer, watched: Watched, cycle: Cycle) -> None:
        assert answer.relay is not None
        lines, pairs = about(exchange, answer)
        if answer.relay.events:
            lines += _STREAM_LINES
        cycle.begin(200, pairs, lines)
        try:
            await self._stream(exchange, answer.relay, cycle)
        except asyncio.CancelledError:
            try:
                self._cancelled(exchange, watched, cycle)
            finally:
                if not exchange.read_on:
                    answer.relay.abort()
        except BaseException:  # whatever ended it, the provider is not read any further
            answer.relay.abort()
            raise

    async def _stream(self, exchange: Exchange, relay: Relay, cycle: Cycle) -> None:
        """Relay until the answer is over. An event stream that breaks ends in an error frame, other bytes just break
        off."""
        while True:
            data = await relay.pump(cycle)
            if relay.over:
                break
            if cycle.paused:
                await cycle.drain()
            cycle.push(data)
        error = relay.failure
        if error is not None and relay.events and not relay.failure_told:
            assert exchange.call is not None
            shape = shape_of(cycle.path, cycle.headers)
            data += shape.frame(error, exchange.call.service, exchange.request_id, relay.told)
        self._pipeline.close(exchange, 200, error)
        if error is None or relay.events:
            cycle.end(data)
        elif data:
            cycle.push(data)
            flush()


async def _linger(cycle: Cycle) -> None:
    """Read on after the answer: closing under unread bytes resets the connection, and the answer is lost with it."""
    with suppress(TimeoutError, ClientGone):
        async with asyncio.timeout(LINGER_SECONDS):
            while await cycle.piece():
                pass
    cycle.end()
