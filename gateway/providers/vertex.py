"""Vertex AI: Google's models and Anthropic's, with an account of Google Cloud."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from gateway.errors import UpstreamBadResponse, UpstreamError
from gateway.ports import DecodedReply, StreamDecoder, Token, TokenRequest
from gateway.providers.chat.dialect import ODD
from gateway.providers.chat.losses import Losses
from gateway.providers.generate.counting import bare_question
from gateway.providers.generate.dialect import GenerateDialect, chat_method
from gateway.providers.generate.embeddings import read_ask
from gateway.providers.messages.errors import error_of as claude_error
from gateway.providers.messages.passing import COUNT_TOKENS
from gateway.providers.vertexai import account, embeddings
from gateway.providers.vertexai.claude import COUNTER, ClaudeOnVertex, is_claude
from gateway.providers.wire.head import HeaderPairs, bearer
from gateway.types import Body, Call, Deployment, Headers, Provider, Service, Surface

_CLAUDE = ClaudeOnVertex("vertex")
_SURFACES = frozenset({Surface.CHAT})
_ANTHROPIC = re.compile(rb'"type"\s*:\s*"error"')
_COLLECTIONS = ("publishers/", "endpoints/")


class VertexDialect(GenerateDialect):
    """See `ChatDialect`. Implements `gateway.ports.TokenDialect`, `CountingDialect` and `ChatCountingDialect`."""

    def surfaces(self, deployment: Deployment) -> frozenset[Surface]:
        """See `gateway.ports.SurfaceDialect`."""
        return _CLAUDE.surfaces(deployment) if is_claude(deployment.model) else _SURFACES

    def counts(self, deployment: Deployment) -> bool:
        """See `gateway.ports.CountingDialect`: those of Anthropic."""
        return is_claude(deployment.model)

    def counts_chats(self, deployment: Deployment) -> bool:
        """See `gateway.ports.ChatCountingDialect`: those of Google."""
        return not is_claude(deployment.model)

    def question(self, body: dict[str, Any], deployment: Deployment) -> dict[str, Any]:
        """See `GenerateDialect`."""
        return bare_question(body)

    def path(self, call: Call, deployment: Deployment) -> str:
        """The version segment is part of the base URL."""
        options, model = deployment.provider.options, deployment.model
        place = f"/projects/{quote(str(options.get('project', '')))}/locations/{options.get('location', '')}"
        if call.path == COUNT_TOKENS:
            return f"{place}/{COUNTER}"
        return f"{place}/{_resource(model)}:{_method(call, model)}"

    def headers(self, provider: Provider, credential: str | None) -> HeaderPairs:
        """The token that was exchanged, or the one that was configured."""
        return bearer(provider, credential or provider.options.get("access_token"))

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """See `gateway.ports.Dialect`."""
        model, losses = deployment.model, Losses(deployment.provider)
        if call.service is Service.EMBEDDINGS:
            if is_claude(model):
                raise losses.content("model", "texts to embed for Claude")
            return (embeddings.body_of(read_ask(call, deployment, losses), model),)
        return _CLAUDE.body(call, deployment) if is_claude(model) else super().body(call, deployment)

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """See `gateway.ports.Dialect`."""
        if is_claude(deployment.model):
            return _CLAUDE.decode(call, deployment, headers, body)
        if call.service is not Service.EMBEDDINGS:
            return super().decode(call, deployment, headers, body)
        try:
            return embeddings.read(body, deployment.model, call)
        except ODD:
            raise UpstreamBadResponse from None

    def stream(self, call: Call, deployment: Deployment) -> StreamDecoder:
        """See `gateway.ports.Dialect`."""
        if is_claude(deployment.model):
            return _CLAUDE.stream(call, deployment)
        return super().stream(call, deployment)

    def most_inputs(self, deployment: Deployment) -> int:
        """See `gateway.ports.BatchingDialect`."""
        return embeddings.most_inputs(deployment.model)

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """In Google's words, or in Anthropic's, which say that they are an error."""
        if _ANTHROPIC.search(body):
            return claude_error(status, headers, body)
        return super().error(status, headers, body)

    # -- gateway.ports.TokenDialect

    def token_request(self, provider: Provider, now: float) -> TokenRequest | None:
        """See `gateway.ports.TokenDialect`. Raises ProviderAuthFailed for an account that cannot be used.

        The file is read each time, about once an hour: one that was replaced is taken up without a reload.
        """
        path = provider.options.get("credentials_file")
        if provider.options.get("access_token") or not path:
            return None
        return account.token_request_of(account.read_account(str(path)), provider, now)

    def read_token(self, status: int, body: bytes, now: float) -> Token:
        """See `gateway.ports.TokenDialect`."""
        return account.read_token(status, body, now)


def _resource(model: str) -> str:
    """The path of a model below its location, which may be named in full."""
    if model.startswith(_COLLECTIONS):
        return quote(model, safe="/@")
    return f"publishers/{'anthropic' if is_claude(model) else 'google'}/models/{quote(model, safe='@')}"


def _method(call: Call, model: str) -> str:
    if is_claude(model):
        return "streamRawPredict" if call.stream else "rawPredict"
    if call.service is Service.EMBEDDINGS:
        return "embedContent" if embeddings.one_at_a_time(model) else "predict"
    return chat_method(call)


DIALECT = VertexDialect("vertex", frozenset({Service.CHAT, Service.EMBEDDINGS}))
