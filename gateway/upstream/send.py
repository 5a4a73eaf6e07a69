"""One attempt on the wire: encode, send, decode, up to the commit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gateway.bridges.dialect import BridgedDialect
from gateway.bridges.speakers import Speakers
from gateway.errors import CredentialsUnavailable, ProviderAuthFailed, UpstreamBadResponse, UpstreamEmpty
from gateway.ports import (
    Clock,
    Deadlines,
    Dialect,
    Engine,
    SigningDialect,
    TokenDialect,
    UpstreamRequest,
    UpstreamResponse,
)
from gateway.providers.wire.head import EVENT_STREAM
from gateway.providers.wire.sizes import reply_limit
from gateway.types import Call, Deployment, Headers, Service
from gateway.upstream.batches import Batches, send_in_batches
from gateway.upstream.choice import engine_choice
from gateway.upstream.credentials import Credentials
from gateway.upstream.deadlines import first_byte_within
from gateway.upstream.headroom import headroom
from gateway.upstream.heads import Heads
from gateway.upstream.media import MediaFetcher
from gateway.upstream.progress import Answer, Progress
from gateway.upstream.refusal import error_body
from gateway.upstream.relay import Relay
from gateway.upstream.tokens import Tokens

PASSED_HEADERS = frozenset({b"openai-processing-ms", b"openai-version", b"content-disposition"})
"""What clients may read of a provider's headers; everything else stays here."""
_WHOLE_OR_STREAMED = (Service.CHAT, Service.COMPLETIONS, Service.RESPONSES)
"""Services whose `stream` field alone decides which of the two an answer is."""

EngineOf = Callable[[str], Engine]


class Sender:
    """Sends attempts. Holds no state of a call."""

    def __init__(self, engine_of: EngineOf, dialects: Mapping[str, Dialect], clock: Clock) -> None:
        self._engine_for = engine_choice(engine_of, dialects)
        self._speakers = Speakers(dialects)
        self._clock = clock
        self._heads = Heads()
        self.credentials = Credentials(clock)
        self._tokens = Tokens(lambda provider: engine_of(provider.engine))
        self._media = MediaFetcher(lambda: engine_of("clients"))
        self._exchanges = {name: one for name, one in dialects.items() if isinstance(one, TokenDialect)}
        self._batches = Batches(dialects)
        self._signers = {name: one for name, one in dialects.items() if isinstance(one, SigningDialect)}

    def counts(self, deployment: Deployment) -> bool:
        """Whether its provider can be asked how many tokens a request has."""
        return self._speakers.counts(deployment)

    async def send(self, call: Call, deployment: Deployment, progress: Progress, number: int) -> Answer:
        """The answer of attempt `number`, committed. Raises UpstreamError, and what the client's body raises."""
        if call.inputs > 1 and call.inputs > (most := self._batches.most(call, deployment)):
            progress.requests = 0

            async def slice_of(part: Call, to: Deployment) -> Answer:
                progress.requests += 1
                return await self._one(part, to, progress, number, queue=None)

            return await send_in_batches(call, deployment, most, slice_of)
        return await self._one(call, deployment, progress, number, queue=deployment.provider.queue_timeout)

    async def _one(
        self, call: Call, deployment: Deployment, progress: Progress, number: int, *, queue: float | None
    ) -> Answer:
        """`queue`: seconds that it waits for a connection; slices of one call wait for each other without a bound."""
        provider = deployment.provider
        if provider.unusable:
            raise CredentialsUnavailable
        if provider.fetch_media:
            call = await self._media.inlined(call, progress.media)
        dialect = self._speakers.of(call, deployment)
        engine = self._engine_for(provider)
        # Whoever has nothing of its own configured has nothing to ask for a token with.
        exchange = self._exchanges.get(provider.type) if provider.options else None
        token = None if exchange is None else await self._tokens.get(exchange, provider)
        credential = self.credentials.next(provider) if token is None else token
        timeouts = provider.timeouts
        forwarded = call.forwarded
        if forwarded and isinstance(dialect, BridgedDialect):
            forwarded = dialect.forwarded(call)
        # By the third a provider's bill and our ledger can be compared, attempt by attempt.
        extra = [
            *forwarded,
            (b"content-type", call.content_type),
            (b"x-client-request-id", b"%s.%d" % (call.id.encode(), number)),
        ]
        first_byte = first_byte_within(deployment, progress, self._clock())
        deadlines = Deadlines(timeouts.connect, first_byte, timeouts.idle, progress.deadline, queue)
        response = await engine.send(self._request(call, deployment, dialect, extra, credential), deadlines)
        if response.status == 401 and exchange is not None and token is not None:
            # It may have been withdrawn before its time: once more, with a fresh one.
            response.abort()
            token = await self._tokens.renewed(exchange, provider, token)
            response = await engine.send(self._request(call, deployment, dialect, extra, token), deadlines)
        committed = False
        try:
            if not 200 <= response.status < 300:
                error = dialect.error(response.status, response.headers, await error_body(response))
                if isinstance(error, ProviderAuthFailed) and token is None and credential is not None:
                    self.credentials.refused(provider, credential)
                raise error
            if self.credentials.any_refused and token is None and credential is not None:
                self.credentials.accepted(provider, credential)
            answer = await self._answer(call, deployment, dialect, response)
            committed = True
            return answer
        finally:
            if not committed:
                response.abort()

    def _request(
        self, call: Call, deployment: Deployment, dialect: Dialect, extra: Headers, credential: str | None
    ) -> UpstreamRequest:
        """The call in the provider's words, signed where its dialect signs. Raises InvalidRequest."""
        provider = deployment.provider
        body = dialect.body(call, deployment)
        head = self._heads.get(dialect, call, deployment, credential)
        signer = self._signers.get(provider.type)
        if signer is not None and isinstance(body, list | tuple):
            extra = [*extra, *signer.sign(head, body, provider, time.time())]
        return UpstreamRequest(head, body, extra)

    async def _answer(self, call: Call, deployment: Deployment, dialect: Dialect, response: UpstreamResponse) -> Answer:
        headers = response.headers
        named = dict(headers)
        content_type = named.get(b"content-type", b"application/json")
        if not content_type.islower() and (kind := _folded(content_type)) != content_type:
            named[b"content-type"] = content_type = kind
            headers = list(named.items())
        passed: Headers = ()
        if not PASSED_HEADERS.isdisjoint(named):
            passed = [(name, named[name]) for name in PASSED_HEADERS if name in named]
        left = headroom(named)
        events = content_type.startswith(dialect.stream_type)
        if events or (call.service is Service.SPEECH and b"json" not in content_type):
            if not events and content_type.startswith(b"text/html"):
                raise UpstreamBadResponse
            if events and not call.stream and call.service in _WHOLE_OR_STREAMED:
                # Events where a whole reply was asked for: no SDK could read them.
                raise UpstreamBadResponse
            relay = Relay(response, dialect.stream(call, deployment) if events else None, deployment.provider)
            if call.allowed is not None:
                relay.allow(call.started + call.allowed, self._clock)
            await relay.first(deployment.provider.timeouts.first_byte, self._clock)
            if events and dialect.stream_type != EVENT_STREAM:
                content_type = EVENT_STREAM
            return Answer(deployment, content_type, relay=relay, headers=passed, headroom=left)
        body = await response.read(reply_limit(call))
        reply = dialect.decode(call, deployment, headers, body)
        if call.stream and call.service in _WHOLE_OR_STREAMED:
            # A whole reply where events were asked for: no SDK could read it.
            raise UpstreamBadResponse if body else UpstreamEmpty
        return Answer(deployment, reply.content_type, reply.body, None, reply.usage, passed, left)


def _folded(content_type: bytes) -> bytes:
    """A media type as everybody compares it: of its words case tells nothing (RFC 9110, 8.3.1), of its parameters it
    may."""
    kind, semicolon, parameters = content_type.partition(b";")
    return kind.lower() + semicolon + parameters
