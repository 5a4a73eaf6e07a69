"""What the models at Bedrock are for, as their names tell. One whose name tells nothing may do anything, its vectors as
Titan makes them and its rankings as Cohere does."""

from __future__ import annotations

import re

from gateway.errors import InvalidRequest
from gateway.providers.converse.models import abilities_of
from gateway.types import Service

_EMBEDS = re.compile(r"(?:^|[./:])(?:amazon\.titan-embed|amazon\.nova-\d-multimodal-embed|cohere\.embed-)")
_RERANKS = re.compile(r"(?:^|[./:])(?:amazon|cohere)\.rerank-")
_EXAMPLES = {
    Service.CHAT: "one that chats, such as `eu.amazon.nova-lite-v1:0`",
    Service.EMBEDDINGS: "one of Titan's, Nova's or Cohere's for embeddings, such as `amazon.titan-embed-text-v2:0`",
    Service.RERANK: "one for rerank, such as `cohere.rerank-v3-5:0`",
}


def purpose_of(model: str) -> Service | None:
    """By its name; None where that tells nothing."""
    if _EMBEDS.search(model):
        return Service.EMBEDDINGS
    if _RERANKS.search(model):
        return Service.RERANK
    return Service.CHAT if abilities_of(model).vendor else None


def check_purpose(model: str, service: Service) -> None:
    """Raises InvalidRequest for a model that is for something else: Bedrock's own 400 would not say what to use."""
    if purpose_of(model) not in (None, service):
        raise InvalidRequest(f"This model is not for {service}: use {_EXAMPLES[service]}.", param="model")
