"""Small calls of the gateway's own: which models a provider has, and whether a deployment answers at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import msgspec

from gateway.bridges.speakers import Speakers
from gateway.errors import CredentialsUnavailable
from gateway.ports import (
    Deadlines,
    Dialect,
    Engine,
    ListsModels,
    RequestHead,
    SigningDialect,
    TokenDialect,
    UpstreamRequest,
    UpstreamResponse,
)
from gateway.types import Call, Deployment, Provider, Service, Surface
from gateway.upstream.choice import engine_choice
from gateway.upstream.refusal import error_body
from gateway.upstream.tokens import Tokens

LIST_SECONDS = 10.0
"""Until a list must have begun; twice as long until it is here."""
LEAST_RESPONSE = 16
"""Tokens: OpenAI's Responses API takes no lower limit."""
MAX_LIST_BYTES = 4 * 1024 * 1024
MAX_REPLY_BYTES = 1024 * 1024
_HAS_NO_LIST = frozenset({404, 405, 501})

EngineOf = Callable[[str], Engine]


class Asker:
    """Asks providers. Holds no state of what they said; every failure is an UpstreamError."""

    def __init__(self, engine_of: EngineOf, dialects: Mapping[str, Dialect]) -> None:
        self._engine_for = engine_choice(engine_of, dialects)
        self._dialects = dialects
        self._speakers = Speakers(dialects)
        self._tokens = Tokens(lambda provider: engine_of(provider.engine))

    def lists(self, provider: Provider) -> bool:
        """Whether its dialect knows how to ask for its models."""
        return isinstance(self._dialects.get(provider.type), ListsModels)

    async def models(self, provider: Provider) -> tuple[str, ...] | None:
        """The names of its models; None for a provider that has no such list.

        Raises UpstreamError: UpstreamBadResponse for rubbish, UpstreamTooLarge for more than MAX_LIST_BYTES.
        """
        dialect = self._dialects.get(provider.type)
        lister: object = dialect
        if dialect is None or not isinstance(lister, ListsModels):
            return None
        head = lister.models_head(provider, await self._credential(dialect, provider))
        response = await self._send(provider, head, (), min(provider.timeouts.first_byte, LIST_SECONDS))
        try:
            if response.status in _HAS_NO_LIST:
                return None
            if not 200 <= response.status < 300:
                raise dialect.error(response.status, response.headers, await error_body(response))
            return lister.decode_models(await response.read(MAX_LIST_BYTES))
        finally:
            response.abort()

    async def get(self, provider: Provider, path: str) -> None:
        """Ask for this path below its base URL, as its list of models is asked for. Raises UpstreamError, and
        LookupError for a provider that has no such list."""
        dialect = self._dialects[provider.type]
        lister: object = dialect
        if not isinstance(lister, ListsModels):
            raise LookupError(provider.type)
        head = lister.models_head(provider, await self._credential(dialect, provider))
        target = (urlsplit(provider.base_url).path.rstrip("/") + path).encode()
        asked = replace(head, target=target, wire=b"")
        response = await self._send(provider, asked, (), min(provider.timeouts.first_byte, LIST_SECONDS))
        try:
            if not 200 <= response.status < 300:
                raise dialect.error(response.status, response.headers, await error_body(response))
            await response.read(MAX_LIST_BYTES)
        finally:
            response.abort()

    async def call(self, deployment: Deployment) -> None:
        """One answer of one token, or one short vector. Raises UpstreamError, and what the dialect says to a bad
        call."""
        provider = deployment.provider
        call = smallest_call(deployment)
        if self._speakers.asked(call, deployment) is Surface.RESPONSES:
            call.output_cap = LEAST_RESPONSE
        own = self._dialects[provider.type]
        dialect = self._speakers.find(call.service, call.path, deployment) or own
        head = dialect.head(call, deployment, await self._credential(own, provider))
        parts = dialect.body(call, deployment)
        assert isinstance(parts, list | tuple), "a call that is all here has a body that is all here"
        response = await self._send(provider, head, parts, provider.timeouts.first_byte)
        try:
            if not 200 <= response.status < 300:
                raise dialect.error(response.status, response.headers, await error_body(response))
            reply = await response.read(MAX_REPLY_BYTES)
            dialect.decode(call, deployment, response.headers, reply)
        finally:
            response.abort()

    async def _credential(self, dialect: object, provider: Provider) -> str | None:
        if provider.unusable:
            raise CredentialsUnavailable
        token = await self._tokens.get(dialect, provider) if isinstance(dialect, TokenDialect) else None
        return token or (provider.api_keys[0] if provider.api_keys else None)

    async def _send(
        self, provider: Provider, head: RequestHead, parts: Sequence[bytes], first_byte: float
    ) -> UpstreamResponse:
        engine = self._engine_for(provider)
        signer: object = self._dialects[provider.type]
        extra = [(b"content-type", b"application/json")] if parts else []
        if isinstance(signer, SigningDialect):
            extra += signer.sign(head, parts, provider, time.time())
        at = asyncio.get_running_loop().time() + 2 * first_byte
        deadlines = Deadlines(min(provider.timeouts.connect, LIST_SECONDS), first_byte, first_byte, at)
        return await engine.send(UpstreamRequest(head, parts, extra), deadlines)


def smallest_call(deployment: Deployment) -> Call:
    """What costs least of what the deployment can do; embeddings where it says that it can do only those."""
    able = deployment.capabilities
    fields: dict[str, object] = {"messages": [{"role": "user", "content": "Hi"}]}
    service, path = Service.CHAT, "/chat/completions"
    if "embeddings" in able and "chat" not in able:
        service, path, fields = Service.EMBEDDINGS, "/embeddings", {"input": "a"}
    raw = msgspec.json.encode({"model": deployment.model, **fields})
    start = raw.index(b'"model":') + len(b'"model":')
    span = (start, start + len(msgspec.json.encode(deployment.model)))
    return Call("probe", "probe", service, path, deployment.model, raw, 0.0, output_cap=1, model_span=span)
