"""Embeddings: what OpenAI's clients ask, and Google's vectors as they read them."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import InvalidJson, InvalidRequest
from gateway.ports import DecodedReply
from gateway.providers.chat.losses import Losses
from gateway.providers.wire.embeddings import in_format
from gateway.types import Call, Deployment, Usage

Json = dict[str, Any]

_TASKS = {
    "search_document": "RETRIEVAL_DOCUMENT",
    "search_query": "RETRIEVAL_QUERY",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
"""`input_type` as Cohere's API has it, a word that several providers know; Google's own words pass too."""
_KNOWN = frozenset({"model", "input", "dimensions", "encoding_format", "user", "input_type"})


class Ask(msgspec.Struct):
    """What is to be embedded."""

    texts: list[str]
    dimensions: int | None = None
    task: str | None = None


def read_ask(call: Call, deployment: Deployment, losses: Losses) -> Ask:
    """Raises InvalidRequest."""
    try:
        fields = msgspec.json.decode(call.raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidJson from None
    if not isinstance(fields, dict):
        raise InvalidJson
    given = {name: value for name, value in fields.items() if value is not None}
    given = {**deployment.parameters, **given}
    for name in given:
        if name not in _KNOWN:
            losses.parameter(name[:64])
    dimensions = given.get("dimensions")
    if dimensions is not None and (isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1):
        raise InvalidRequest("`dimensions` must be a whole number of at least 1.", param="dimensions")
    task = given.get("input_type")
    if task is not None and not isinstance(task, str):
        raise InvalidRequest("`input_type` must be text.", param="input_type")
    return Ask(_texts(given.get("input"), losses), dimensions, _TASKS.get(task, task.upper()) if task else None)


def _texts(given: Any, losses: Losses) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise InvalidRequest("`input` must be text, or a list of texts.", param="input")
    if not all(isinstance(text, str) for text in texts):
        raise losses.content("input", "tokens as input", "Send text.")
    return texts


def reply_of(vectors: list[msgspec.Raw], usage: Usage | None, call: Call) -> DecodedReply:
    """As `/embeddings` answers, in the encoding that the client wants. Where Google counts nothing, the client reads
    our estimate. Raises UpstreamBadResponse."""
    tokens = usage.input_tokens if usage is not None else call.input_tokens
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)],
        "model": call.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
    encoded = in_format(msgspec.json.encode(body), call.encoding_format or "float")
    return DecodedReply(encoded, b"application/json", usage)
