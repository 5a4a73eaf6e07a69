"""Anthropic: chat by its own Messages API."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from gateway.errors import UpstreamError
from gateway.ports import RequestHead
from gateway.providers.chat.dialect import ChatDialect
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.replies import ChatReply
from gateway.providers.chat.request import ChatRequest
from gateway.providers.chat.stream import NativeStream
from gateway.providers.messages.errors import error_of
from gateway.providers.messages.reply import read_reply
from gateway.providers.messages.request import SPOKEN, body_of
from gateway.providers.messages.stream import MessageStream
from gateway.providers.wire.head import HeaderPairs, head_of
from gateway.providers.wire.models import model_names
from gateway.types import Call, Deployment, Headers, Provider

VERSION = "2023-06-01"
"""The version of the API that these translations are for; later ones refuse sampling even where models take it."""


class AnthropicDialect(ChatDialect):
    """See `ChatDialect`."""

    spoken = SPOKEN

    def path(self, call: Call, deployment: Deployment) -> str:
        """The version segment is part of the base URL."""
        return "/messages"

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
