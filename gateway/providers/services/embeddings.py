"""Embeddings: what OpenAI's clients ask, and a provider's vectors as they read them."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import InvalidRequest
from gateway.ports import DecodedReply
from gateway.providers.chat.losses import Losses
from gateway.providers.services.fields import Json, count_of, read_fields, word_of
from gateway.providers.wire.embeddings import in_format
from gateway.types import Call, Deployment, Usage

_KNOWN = frozenset({"model", "input", "dimensions", "encoding_format", "user", "input_type"})


class Ask(msgspec.Struct):
    """What is to be embedded."""

    texts: list[str]
    dimensions: int | None = None
    input_type: str | None = None
    """What the vectors are for, as the caller calls it: an extension, in the words of Cohere's API."""
    own: Json = {}
    """Fields that the dialect alone knows."""


def read_ask(call: Call, deployment: Deployment, losses: Losses, own: frozenset[str] = frozenset()) -> Ask:
    """The whole request; `own` are fields beyond OpenAI's that the dialect carries over. Raises InvalidRequest."""
    given = read_fields(call, deployment, losses, _KNOWN | own)
    kept = {name: given[name] for name in own if name in given}
    texts = _texts(given.get("input"), losses)
    return Ask(texts, count_of(given, "dimensions"), word_of(given, "input_type"), kept)


def _texts(given: Any, losses: Losses) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise InvalidRequest("`input` must be text, or a list of texts.", param="input")
    if not all(isinstance(text, str) for text in texts):
        raise losses.content("input", "tokens as input", "Send text.")
    return texts


def reply_of(vectors: list[msgspec.Raw], usage: Usage | None, call: Call) -> DecodedReply:
    """As `/embeddings` answers, in the encoding that the client wants. Where the provider counts nothing, the client
    reads our estimate. Raises UpstreamBadResponse."""
    tokens = usage.input_tokens if usage is not None else call.input_tokens
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)],
        "model": call.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    encoded = in_format(msgspec.json.encode(body), call.encoding_format or "float")
    return DecodedReply(encoded, b"application/json", usage)
