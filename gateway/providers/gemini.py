"""Gemini: chat and embeddings by Google's own API, with a key."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from gateway.errors import UpstreamBadResponse, UpstreamError
from gateway.ports import DecodedReply
from gateway.providers.chat.dialect import ODD, ChatDialect
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.replies import ChatReply
from gateway.providers.chat.request import ChatRequest
from gateway.providers.chat.stream import NativeStream
from gateway.providers.generate.batch import batch_of, read_batch
from gateway.providers.generate.embeddings import read_ask
from gateway.providers.generate.errors import error_of
from gateway.providers.generate.reply import read_reply
from gateway.providers.generate.request import SPOKEN, body_of
from gateway.providers.generate.stream import ContentStream
from gateway.providers.wire.head import HeaderPairs
from gateway.types import Body, Call, Deployment, Headers, Provider, Service

MOST_INPUTS = 100
"""Texts of one `:batchEmbedContents`."""
_COLLECTIONS = ("models/", "tunedModels/")


class GeminiDialect(ChatDialect):
    """See `ChatDialect`."""

    spoken = SPOKEN

    def path(self, call: Call, deployment: Deployment) -> str:
        """The version segment is part of the base URL."""
        return f"{resource_of(deployment.model)}:{method_of(call)}"

    def headers(self, provider: Provider, credential: str | None) -> HeaderPairs:
        """The key."""
        return [(b"x-goog-api-key", credential.encode())] if credential else []

    def request(self, chat: ChatRequest, call: Call, deployment: Deployment, losses: Losses) -> bytes:
        """See `ChatDialect`."""
        return msgspec.json.encode(body_of(chat, deployment, losses))

    def reply(self, body: bytes, call: Call) -> ChatReply:
        """See `ChatDialect`."""
        return read_reply(body)

    def native(self, call: Call) -> NativeStream:
        """See `ChatDialect`."""
        return ContentStream()

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """See `gateway.ports.Dialect`."""
        if call.service is not Service.EMBEDDINGS:
            return super().body(call, deployment)
        return (batch_of(read_ask(call, deployment, Losses(deployment.provider)), deployment.model),)

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """See `gateway.ports.Dialect`."""
        if call.service is not Service.EMBEDDINGS:
            return super().decode(call, deployment, headers, body)
        try:
            return read_batch(body, call)
        except ODD:
            raise UpstreamBadResponse from None

    def most_inputs(self, deployment: Deployment) -> int:
        """See `gateway.ports.BatchingDialect`."""
        return MOST_INPUTS

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """See `gateway.ports.Dialect`."""
        return error_of(status, headers, body)


def resource_of(model: str) -> str:
    """The path of a model, which may be named in full (`tunedModels/mine`)."""
    return "/" + (quote(model) if model.startswith(_COLLECTIONS) else f"models/{quote(model, safe='')}")


def method_of(call: Call) -> str:
    """What is asked of the model."""
    if call.service is Service.EMBEDDINGS:
        return "batchEmbedContents"
    return "streamGenerateContent?alt=sse" if call.stream else "generateContent"


DIALECT = GeminiDialect("gemini", frozenset({Service.CHAT, Service.EMBEDDINGS}))
