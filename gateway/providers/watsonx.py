"""IBM watsonx.ai: chat, embeddings and rerank, with a token of IBM Cloud in exchange for a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from gateway.errors import UpstreamBadResponse, UpstreamError
from gateway.ports import DecodedReply, RequestHead, Token, TokenRequest
from gateway.providers.chat.dialect import ODD, ChatDialect
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.replies import ChatReply
from gateway.providers.chat.request import ChatRequest
from gateway.providers.chat.stream import NativeStream
from gateway.providers.watsonxai import services
from gateway.providers.watsonxai.errors import error_of
from gateway.providers.watsonxai.places import path_of, token_request_of, versioned
from gateway.providers.watsonxai.reply import read_reply
from gateway.providers.watsonxai.request import SPOKEN, body_of
from gateway.providers.watsonxai.stream import ChunkReader
from gateway.providers.wire.head import HeaderPairs, bearer, head_of
from gateway.providers.wire.models import MOST
from gateway.providers.wire.tokens import granted
from gateway.types import Body, Call, Deployment, Headers, Provider, Service

MOST_MODELS = 200
"""Models of one page of the list, the most that the API gives."""


class _Model(msgspec.Struct, gc=False):
    model_id: str


class _Models(msgspec.Struct, gc=False):
    resources: list[_Model]


_MODELS = msgspec.json.Decoder(_Models)


class WatsonxDialect(ChatDialect):
    """See `ChatDialect`. Implements `gateway.ports.TokenDialect`, `BatchingDialect` and `ListsModels`."""

    spoken = SPOKEN

    def path(self, call: Call, deployment: Deployment) -> str:
        """See `ChatDialect`."""
        return path_of(call, deployment)

    def headers(self, provider: Provider, credential: str | None) -> HeaderPairs:
        """The token."""
        return bearer(provider, credential)

    def request(self, chat: ChatRequest, call: Call, deployment: Deployment, losses: Losses) -> bytes:
        """See `ChatDialect`. Whether it is a stream is told by the path."""
        return msgspec.json.encode(body_of(chat, deployment, losses))

    def reply(self, body: bytes, call: Call) -> ChatReply:
        """See `ChatDialect`."""
        return read_reply(body)

    def native(self, call: Call) -> NativeStream:
        """See `ChatDialect`."""
        return ChunkReader()

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """See `gateway.ports.Dialect`."""
        services.FAMILIES.check(deployment.model, call.service)
        if call.service is Service.CHAT:
            return super().body(call, deployment)
        losses = Losses(deployment.provider)
        if call.service is Service.EMBEDDINGS:
            return (services.embeddings_of(call, deployment, losses),)
        return (services.rerank_of(call, deployment, losses),)

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """See `gateway.ports.Dialect`."""
        if call.service is Service.CHAT:
            return super().decode(call, deployment, headers, body)
        try:
            if call.service is Service.EMBEDDINGS:
                return services.read_embeddings(body, call)
            return services.read_ranking(body, call, deployment)
        except ODD:
            raise UpstreamBadResponse from None

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """See `gateway.ports.Dialect`."""
        return error_of(status, headers, body)

    def most_inputs(self, deployment: Deployment) -> int:
        """See `gateway.ports.BatchingDialect`."""
        return services.MOST_INPUTS

    # -- gateway.ports.TokenDialect

    def token_request(self, provider: Provider, now: float) -> TokenRequest | None:
        """See `gateway.ports.TokenDialect`. Raises ProviderAuthFailed without a key."""
        return token_request_of(provider)

    def read_token(self, status: int, body: bytes, now: float) -> Token:
        """See `gateway.ports.TokenDialect`."""
        return granted(status, body, now)

    # -- gateway.ports.ListsModels

    def models_head(self, provider: Provider, credential: str | None) -> RequestHead:
        """The GET that asks for the list of models."""
        path = versioned(provider, f"/ml/v1/foundation_model_specs?limit={MOST_MODELS}")
        return replace(head_of(provider, path, self.headers(provider, credential)), method=b"GET")

    def decode_models(self, body: bytes) -> tuple[str, ...]:
        """The names in a list of models."""
        try:
            models = _MODELS.decode(body).resources
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UpstreamBadResponse from None
        return tuple(dict.fromkeys(model.model_id for model in models[:MOST] if model.model_id))


DIALECT = WatsonxDialect("watsonx", frozenset({Service.CHAT, Service.EMBEDDINGS, Service.RERANK}))
