"""Sending a call to the deployments of its plan, one after the other, until one commits.

Commit means: a complete reply is here, or the first event of a stream is. Up to then a failed attempt is followed by
another (`retry.py` decides); after it there is no second try.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Protocol

import msgspec

from gateway.errors import ClientError, ClientGone, DeploymentsFull, GatewayError, UpstreamBadResponse, UpstreamError
from gateway.ports import (
    Clock,
    Deadlines,
    Dialect,
    Engine,
    Observer,
    SigningDialect,
    TokenDialect,
    UpstreamRequest,
    UpstreamResponse,
)
from gateway.providers.wire.head import EVENT_STREAM
from gateway.types import Attempt, Call, Deployment, Headers, Plan, Service, Usage
from gateway.upstream.batches import send_in_batches
from gateway.upstream.heads import Heads
from gateway.upstream.relay import Relay
from gateway.upstream.retry import Failure, next_try
from gateway.upstream.secrecy import without_secrets
from gateway.upstream.tokens import Tokens

MAX_REPLY_BYTES = 32 * 1024 * 1024
MAX_ERROR_BYTES = 256 * 1024
STREAM_SECONDS = 1800.0
PASSED_HEADERS = frozenset({b"openai-processing-ms", b"openai-version", b"content-disposition"})
"""What clients may read of a provider's headers; everything else stays here."""
_WHOLE_OR_STREAMED = (Service.CHAT, Service.COMPLETIONS, Service.RESPONSES)
"""Services whose `stream` field alone decides which of the two an answer is."""


class Answer(msgspec.Struct, eq=False):
    """What a committed attempt gives the client: a whole body, or a relay."""

    deployment: Deployment
    content_type: bytes
    body: bytes | None = None
    relay: Relay | None = None
    usage: Usage | None = None
    headers: Headers = ()


class Progress(msgspec.Struct, eq=False):
    """How far one call has come; its owner reads it whatever happens."""

    attempts: int = 0
    waited: float = 0.0
    """Seconds spent waiting for providers and in backoff."""
    deployment: Deployment | None = None
    """The one tried last."""
    began: float = 0.0
    failures: list[Failure] = []
    full_for: float | None = None
    """Seconds until the first of the deployments that were full takes calls again."""
    sent: bool = False
    """A request went out and its fate is open: a provider may charge for it."""


EngineOf = Callable[[str], Engine]


class Attempts(Protocol):
    """Who admits and books the attempts of one call."""

    def limited(self, deployment: Deployment) -> bool:
        """Whether the next attempt has to be asked for."""
        ...

    async def begin(self, deployment: Deployment) -> None:
        """Raises DeploymentsFull when this deployment takes no more at the moment."""
        ...

    def failed(self, failure: Failure, seconds: float) -> None:
        """The attempt that was begun last is over, without an answer."""
        ...


class Unbooked:
    """Attempts that nobody limits or books."""

    def limited(self, deployment: Deployment) -> bool:
        """No."""
        del deployment
        return False

    async def begin(self, deployment: Deployment) -> None:
        """Never called."""

    def failed(self, failure: Failure, seconds: float) -> None:
        """Nothing."""


UNBOOKED = Unbooked()


class Forwarder:
    """Sends calls. Holds no state of a call."""

    def __init__(
        self, engine_of: EngineOf, dialects: Mapping[str, Dialect], observer: Observer, clock: Clock, chance: Random
    ) -> None:
        self._engine_of = engine_of
        self._dialects = dialects
        self._observer = observer
        self._clock = clock
        self._chance = chance
        self._heads = Heads()
        self._tokens = Tokens(lambda provider: engine_of(provider.engine))
        self._exchanges = {name: one for name, one in dialects.items() if isinstance(one, TokenDialect)}
        self._signers = {name: one for name, one in dialects.items() if isinstance(one, SigningDialect)}

    async def forward(self, call: Call, plan: Plan, progress: Progress, attempts: Attempts = UNBOOKED) -> Answer:
        """The first answer that commits. Raises the last UpstreamError once no attempt is left, and DeploymentsFull
        when there was none because every deployment is at its own limit."""
        deployment, wait = plan.targets[0], 0.0
        limit = STREAM_SECONDS if call.stream else deployment.provider.timeouts.total
        deadline = call.started + limit
        while True:
            if wait:
                await asyncio.sleep(wait)
                progress.waited += wait
            try:
                if attempts.limited(deployment):
                    await attempts.begin(deployment)
                return await self._attempt(call, deployment, progress, deadline)
            except DeploymentsFull as full:
                plan, deployment, wait = _without(plan, deployment, full, progress)
            except UpstreamError as error:
                failure = Failure(deployment, error)
                progress.failures.append(failure)
                progress.sent = False
                self._finished(progress, error.outcome)
                attempts.failed(failure, self._clock() - progress.began)
                step = next_try(plan, progress.failures, deadline - self._clock(), self._chance)
                if step is None:
                    raise without_secrets(error, deployment.provider) from None
                if step.deployment is not deployment:
                    self._observer.fell_back(deployment, step.deployment, error)
                deployment, wait = step.deployment, step.wait

    def _finished(self, progress: Progress, outcome: str) -> None:
        assert progress.deployment is not None
        seconds = self._clock() - progress.began
        self._observer.attempt_finished(Attempt(progress.deployment, progress.attempts, outcome, seconds))

    def committed_attempt_ended(self, progress: Progress, outcome: str) -> None:
        """The committed attempt is over: `ok`, or what became of it after the commit."""
        self._finished(progress, outcome)

    async def _attempt(self, call: Call, deployment: Deployment, progress: Progress, deadline: float) -> Answer:
        progress.attempts += 1
        progress.deployment = deployment
        progress.began = began = self._clock()
        progress.sent = True
        try:
            if call.service is Service.EMBEDDINGS and call.inputs > deployment.provider.batch_size:
                return await send_in_batches(call, deployment, self._once(deadline, progress.attempts))
            return await self._send(call, deployment, deadline, progress.attempts)
        except UpstreamError:
            raise
        except BaseException as error:
            # The client left, or its own body is at fault: not the provider's failure, but an attempt that was begun.
            progress.sent = not isinstance(error, ClientError)
            known = error if isinstance(error, GatewayError) else None
            self._finished(
                progress, (known or (GatewayError() if isinstance(error, Exception) else ClientGone())).reason
            )
            raise
        finally:
            progress.waited += self._clock() - began

    def _once(self, deadline: float, number: int) -> Callable[[Call, Deployment], Awaitable[Answer]]:
        return lambda call, deployment: self._send(call, deployment, deadline, number)

    async def _send(self, call: Call, deployment: Deployment, deadline: float, number: int) -> Answer:
        provider = deployment.provider
        dialect = self._dialects[provider.type]
        engine = self._engine_of("mock" if provider.type == "mock" else provider.engine)
        exchange = self._exchanges.get(provider.type)
        token = None if exchange is None else await self._tokens.get(exchange, provider)
        timeouts = provider.timeouts
        deadlines = Deadlines(timeouts.connect, timeouts.first_byte, timeouts.idle, deadline)
        # By the third a provider's bill and our ledger can be compared, attempt by attempt.
        extra = [
            *call.forwarded,
            (b"content-type", call.content_type),
            (b"x-client-request-id", b"%s.%d" % (call.id.encode(), number)),
        ]
        response = await engine.send(self._request(call, deployment, extra, token), deadlines)
        if response.status == 401 and exchange is not None and token is not None:
            # It may have been withdrawn before its time: once more, with a fresh one.
            response.abort()
            token = await self._tokens.renewed(exchange, provider, token)
            response = await engine.send(self._request(call, deployment, extra, token), deadlines)
        committed = False
        try:
            if not 200 <= response.status < 300:
                raise dialect.error(response.status, response.headers, await response.read(MAX_ERROR_BYTES))
            answer = await self._answer(call, deployment, dialect, response)
            committed = True
            return answer
        finally:
            if not committed:
                response.abort()

    def _request(self, call: Call, deployment: Deployment, extra: Headers, token: str | None) -> UpstreamRequest:
        """The call in the provider's words, signed where its dialect signs. Raises InvalidRequest."""
        provider = deployment.provider
        dialect = self._dialects[provider.type]
        body = dialect.body(call, deployment)
        head = self._heads.get(dialect, call, deployment, token)
        signer = self._signers.get(provider.type)
        if signer is not None and isinstance(body, list | tuple):
            extra = [*extra, *signer.sign(head, body, provider, time.time())]
        return UpstreamRequest(head, body, extra)

    async def _answer(self, call: Call, deployment: Deployment, dialect: Dialect, response: UpstreamResponse) -> Answer:
        headers = response.headers
        named = dict(headers)
        content_type = named.get(b"content-type", b"application/json")
        passed: Headers = ()
        if not PASSED_HEADERS.isdisjoint(named):
            passed = [(name, named[name]) for name in PASSED_HEADERS if name in named]
        events = content_type.startswith(dialect.stream_type)
        if events or (call.service is Service.SPEECH and b"json" not in content_type):
            if not events and content_type.startswith(b"text/html"):
                raise UpstreamBadResponse
            if events and not call.stream and call.service in _WHOLE_OR_STREAMED:
                # Events where a whole reply was asked for: no SDK could read them.
                raise UpstreamBadResponse
            relay = Relay(response, dialect.stream(call, deployment) if events else None, deployment.provider)
            await relay.first()
            if events and dialect.stream_type != EVENT_STREAM:
                content_type = EVENT_STREAM
            return Answer(deployment, content_type, relay=relay, headers=passed)
        body = await response.read(MAX_REPLY_BYTES)
        reply = dialect.decode(call, deployment, headers, body)
        if call.stream and call.service in _WHOLE_OR_STREAMED:
            # A whole reply where events were asked for: no SDK could read it.
            raise UpstreamBadResponse
        return Answer(deployment, reply.content_type, body=reply.body, usage=reply.usage, headers=passed)


def _without(
    plan: Plan, full: Deployment, error: DeploymentsFull, progress: Progress
) -> tuple[Plan, Deployment, float]:
    """The plan without a deployment that is full, and what to try instead. Raises what there is to tell when nothing is
    left: the failure that came before; that all are full, with the shortest wait; or why waiting does not help."""
    waits = [wait for wait in (error.retry_after, progress.full_for) if wait is not None]
    progress.full_for = min(waits, default=None)
    rest = tuple(target for target in plan.targets if target is not full)
    tried = {failure.deployment.id for failure in progress.failures}
    following = next((target for target in rest if target.id not in tried), None)
    if following is None:
        if progress.failures:
            raise progress.failures[-1].error from None
        if progress.full_for is None and error.final is not None:
            raise error.final from None
        raise DeploymentsFull(retry_after=progress.full_for) from None
    return replace(plan, targets=rest), following, 0.0
