"""Cohere: chat, embeddings, rerank and transcriptions by its own API, version 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from gateway.errors import UpstreamBadResponse, UpstreamError
from gateway.ports import DecodedReply, RequestHead
from gateway.providers.chat.dialect import ODD, ChatDialect
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.replies import ChatReply
from gateway.providers.chat.request import ChatRequest
from gateway.providers.chat.stream import NativeStream
from gateway.providers.coherev2 import embeddings, rerank, transcription
from gateway.providers.coherev2.errors import error_of
from gateway.providers.coherev2.models import FAMILIES, reasons
from gateway.providers.coherev2.reply import read_reply
from gateway.providers.coherev2.request import SPOKEN, body_of
from gateway.providers.coherev2.stream import ChatStream
from gateway.providers.wire.head import HeaderPairs, bearer, head_of
from gateway.providers.wire.models import model_names
from gateway.types import Body, Call, Deployment, Headers, Provider, Service

_PATHS = {
    Service.CHAT: "/chat",
    Service.EMBEDDINGS: "/embed",
    Service.RERANK: "/rerank",
    Service.TRANSCRIPTION: transcription.PATH,
}


class CohereDialect(ChatDialect):
    """See `ChatDialect`. Implements `gateway.ports.BatchingDialect`, `Discerning` and `ListsModels`."""

    spoken = SPOKEN

    def path(self, call: Call, deployment: Deployment) -> str:
        """The version segment is part of the base URL."""
        return _PATHS[call.service]

    def headers(self, provider: Provider, credential: str | None) -> HeaderPairs:
        """The key."""
        return bearer(provider, credential)

    def request(self, chat: ChatRequest, call: Call, deployment: Deployment, losses: Losses) -> bytes:
        """See `ChatDialect`."""
        body = body_of(chat, deployment, losses)
        if call.stream:
            body["stream"] = True
        return msgspec.json.encode(body)

    def reply(self, body: bytes, call: Call) -> ChatReply:
        """See `ChatDialect`."""
        return read_reply(body)

    def native(self, call: Call) -> NativeStream:
        """See `ChatDialect`."""
        return ChatStream()

    def understood(self, deployment: Deployment) -> frozenset[str]:
        """See `gateway.ports.Discerning`: models that do not reason refuse to be asked for it."""
        knows = reasons(deployment.model) or "reasoning" in deployment.capabilities
        return self.extensions if knows else self.extensions - {"thinking"}

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """See `gateway.ports.Dialect`."""
        FAMILIES.check(deployment.model, call.service)
        if call.service is Service.CHAT:
            return super().body(call, deployment)
        losses = Losses(deployment.provider)
        if call.service is Service.EMBEDDINGS:
            return (embeddings.body_of(call, deployment, losses),)
        if call.service is Service.TRANSCRIPTION:
            return transcription.form_of(call, deployment, losses)
        return (rerank.body_of(call, deployment, losses),)

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """See `gateway.ports.Dialect`."""
        if call.service is Service.CHAT:
            return super().decode(call, deployment, headers, body)
        try:
            if call.service is Service.EMBEDDINGS:
                return embeddings.read(body, call)
            if call.service is Service.TRANSCRIPTION:
                return transcription.read(body)
            return rerank.read(body, call, deployment)
        except ODD:
            raise UpstreamBadResponse from None

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """See `gateway.ports.Dialect`."""
        return error_of(status, headers, body)

    def most_inputs(self, deployment: Deployment) -> int:
        """See `gateway.ports.BatchingDialect`."""
        return embeddings.MOST_INPUTS

    def models_head(self, provider: Provider, credential: str | None) -> RequestHead:
        """The GET that asks for the list of models, which only the first version of the API has."""
        head = head_of(provider, "/models?page_size=1000", self.headers(provider, credential))
        return replace(head, method=b"GET", target=head.target.replace(b"/v2/models?", b"/v1/models?"))

    def decode_models(self, body: bytes) -> tuple[str, ...]:
        """The names in a list of models."""
        return model_names(body)


DIALECT = CohereDialect("cohere", frozenset(_PATHS))
