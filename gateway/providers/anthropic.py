"""Anthropic: chat by its own Messages API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from gateway.errors import UpstreamError
from gateway.ports import DecodedReply, RequestHead, StreamDecoder
from gateway.providers.chat.dialect import ChatDialect
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.replies import ChatReply
from gateway.providers.chat.request import ChatRequest
from gateway.providers.chat.stream import NativeStream
from gateway.providers.messages.errors import error_of
from gateway.providers.messages.passing import (
    COUNT_TOKENS,
    MESSAGES,
    NATIVE,
    PassedStream,
    passed,
    read_count,
    read_passed,
)
from gateway.providers.messages.reply import read_reply
from gateway.providers.messages.request import SPOKEN, body_of
from gateway.providers.messages.stream import MessageStream
from gateway.providers.wire.head import HeaderPairs, head_of
from gateway.providers.wire.models import model_names
from gateway.types import Body, Call, Deployment, Headers, Provider, Surface

VERSION = "2023-06-01"
"""The version of the API that these translations are for; later ones refuse sampling even where models take it."""
_SURFACES = frozenset({Surface.CHAT, Surface.MESSAGES})
_CLIENTS = (b"anthropic-version",)


class AnthropicDialect(ChatDialect):
    """See `ChatDialect`."""

    spoken = SPOKEN

    def surfaces(self, deployment: Deployment) -> frozenset[Surface]:
        """See `gateway.ports.SurfaceDialect`."""
        return _SURFACES

    def counts(self, deployment: Deployment) -> bool:
        """See `gateway.ports.CountingDialect`."""
        return True

    def names_tier(self, call: Call, deployment: Deployment) -> bool:
        """See `gateway.ports.TierDialect`: of chats the word is left out."""
        return call.path in NATIVE

    def head(self, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """See `ChatDialect`. Clients of this API name its version themselves."""
        head = super().head(call, deployment, credential)
        if call.path not in NATIVE:
            return head
        own = {name.lower().encode() for name, _ in deployment.provider.headers}
        kept = tuple(pair for pair in head.headers if pair[0] not in _CLIENTS or pair[0] in own)
        return replace(head, headers=kept)

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """See `ChatDialect`."""
        return passed(call, deployment) if call.path in NATIVE else super().body(call, deployment)

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """See `ChatDialect`."""
        if call.path == COUNT_TOKENS:
            return read_count(body)
        if call.path == MESSAGES:
            return read_passed(body, call, headers)
        return super().decode(call, deployment, headers, body)

    def stream(self, call: Call, deployment: Deployment) -> StreamDecoder:
        """See `ChatDialect`."""
        return PassedStream(call.model) if call.path == MESSAGES else super().stream(call, deployment)

    def path(self, call: Call, deployment: Deployment) -> str:
        """The version segment is part of the base URL."""
        return call.path if call.path in NATIVE else MESSAGES

    def headers(self, provider: Provider, credential: str | None) -> HeaderPairs:
        """The key, and the version of the API."""
        version = str(provider.options.get("anthropic_version") or VERSION)
        key = [(b"x-api-key", credential.encode())] if credential else []
        return [*key, (b"anthropic-version", version.encode())]

    def request(self, chat: ChatRequest, call: Call, deployment: Deployment, losses: Losses) -> bytes:
        """See `ChatDialect`."""
        body = {"model": deployment.model, **body_of(chat, deployment, losses)}
        if call.stream:
            body["stream"] = True
        return msgspec.json.encode(body)

    def reply(self, body: bytes, call: Call) -> ChatReply:
        """See `ChatDialect`."""
        return read_reply(body)

    def native(self, call: Call) -> NativeStream:
        """See `ChatDialect`."""
        return MessageStream()

    def models_head(self, provider: Provider, credential: str | None) -> RequestHead:
        """The GET that asks for the list of models: all of them, which is no more than one page may hold."""
        return replace(head_of(provider, "/models?limit=1000", self.headers(provider, credential)), method=b"GET")

    def decode_models(self, body: bytes) -> tuple[str, ...]:
        """The names in a list of models, which has the shape of OpenAI's."""
        return model_names(body)

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """See `gateway.ports.Dialect`."""
        return error_of(status, headers, body)


DIALECT = AnthropicDialect("anthropic")
