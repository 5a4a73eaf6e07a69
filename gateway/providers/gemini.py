"""Gemini: chat and embeddings by Google's own API, with a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from gateway.errors import UpstreamBadResponse
from gateway.ports import DecodedReply, RequestHead
from gateway.providers.chat.dialect import ODD
from gateway.providers.chat.losses import Losses
from gateway.providers.generate.batch import batch_of, read_batch
from gateway.providers.generate.counting import whole_question
from gateway.providers.generate.dialect import GenerateDialect, chat_method
from gateway.providers.generate.embeddings import read_ask
from gateway.providers.wire.head import HeaderPairs, head_of
from gateway.providers.wire.models import model_names
from gateway.types import Body, Call, Deployment, Headers, Provider, Service

MOST_INPUTS = 100
"""Texts of one `:batchEmbedContents`."""
_COLLECTIONS = ("models/", "tunedModels/")


class GeminiDialect(GenerateDialect):
    """See `ChatDialect`."""

    def path(self, call: Call, deployment: Deployment) -> str:
        """The version segment is part of the base URL."""
        method = "batchEmbedContents" if call.service is Service.EMBEDDINGS else chat_method(call)
        return f"/{_resource(deployment.model)}:{method}"

    def question(self, body: dict[str, Any], deployment: Deployment) -> dict[str, Any]:
        """See `GenerateDialect`."""
        return whole_question(body, _named(deployment.model))

    def headers(self, provider: Provider, credential: str | None) -> HeaderPairs:
        """The key."""
        return [(b"x-goog-api-key", credential.encode())] if credential else []

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

    def models_head(self, provider: Provider, credential: str | None) -> RequestHead:
        """The GET that asks for the list of models, in pages of the largest size: there are fewer."""
        return replace(head_of(provider, "/models?pageSize=1000", self.headers(provider, credential)), method=b"GET")

    def decode_models(self, body: bytes) -> tuple[str, ...]:
        """The names in a list of models, without the name of their collection."""
        return tuple(name.removeprefix("models/") for name in model_names(body))


def _resource(model: str) -> str:
    """The path of a model, which may be named in full (`tunedModels/mine`)."""
    return quote(model) if model.startswith(_COLLECTIONS) else f"models/{quote(model, safe='')}"


def _named(model: str) -> str:
    return model if model.startswith(_COLLECTIONS) else f"models/{model}"


DIALECT = GeminiDialect("gemini", frozenset({Service.CHAT, Service.EMBEDDINGS}))
