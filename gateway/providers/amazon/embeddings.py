"""Embeddings: each vendor's model is invoked with a body of its own. Titan's and Nova's take one text at a time."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.providers.amazon.counts import counted
from gateway.providers.chat.losses import Losses
from gateway.providers.services.embeddings import Ask, read_ask, reply_of
from gateway.types import Call, Deployment, Headers

Json = dict[str, Any]

MOST_TEXTS = 96
"""Of one call to Cohere's."""
PURPOSE = "search_document"
"""`input_type` where the caller does not say: Cohere's and Nova's want one, and documents are what most vectors are
made of."""
OWN = frozenset({"truncate", "normalize"})
_NOVAS = {
    "search_document": "GENERIC_INDEX",
    "search_query": "GENERIC_RETRIEVAL",
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
"""Nova's words for what vectors are for; its own pass too."""


class _Typed(msgspec.Struct, gc=False):
    float: list[msgspec.Raw] | None = None


class _Reply(msgspec.Struct, gc=False):
    """`embedding` is Titan's; `embeddings` Cohere's, plain or by type, and Nova's."""

    embedding: msgspec.Raw = msgspec.Raw()
    embeddings: msgspec.Raw = msgspec.Raw()


class _Nova(msgspec.Struct, gc=False):
    embedding: msgspec.Raw


_REPLY = msgspec.json.Decoder(_Reply)
_TYPED = msgspec.json.Decoder(_Typed)
_PLAIN = msgspec.json.Decoder(list[msgspec.Raw])
_NOVA = msgspec.json.Decoder(list[_Nova])


def most_texts(model: str) -> int:
    """Of one call."""
    return MOST_TEXTS if "cohere." in model else 1


def body_of(call: Call, deployment: Deployment, losses: Losses) -> bytes:
    """Raises InvalidRequest."""
    model, ask = deployment.model, read_ask(call, deployment, losses, OWN)
    if "cohere." in model:
        body = _cohere(model, ask, losses)
    elif "nova-" in model:
        body = _nova(ask)
    else:
        body = _titan(model, ask, losses)
    for name in ask.own:
        if name not in body and not (name == "truncate" and "nova-" in model):
            losses.parameter(name)
    return msgspec.json.encode(body)


def read(headers: Headers, body: bytes, call: Call) -> DecodedReply:
    """Raises UpstreamBadResponse, or what decoding raises."""
    reply = _REPLY.decode(body)
    vectors = [reply.embedding] if bytes(reply.embedding) else _vectors(reply.embeddings)
    if not vectors:
        raise UpstreamBadResponse
    return reply_of(vectors, counted(headers), call)


def _vectors(given: msgspec.Raw) -> list[msgspec.Raw]:
    raw = bytes(given)
    if raw[:1] == b"{":
        return _TYPED.decode(raw).float or []
    found = _PLAIN.decode(raw) if raw else []
    if found and bytes(found[0])[:1] == b"{":
        return [one.embedding for one in _NOVA.decode(raw)]
    return found


def _cohere(model: str, ask: Ask, losses: Losses) -> Json:
    body: Json = {"texts": ask.texts, "input_type": ask.input_type or PURPOSE}
    if "truncate" in ask.own:
        body["truncate"] = ask.own["truncate"]
    if ask.dimensions is not None:
        if "embed-v4" in model:
            body["output_dimension"] = ask.dimensions
        else:
            losses.parameter("dimensions", "This model's vectors have one size.")
    return body


def _nova(ask: Ask) -> Json:
    purpose = ask.input_type or PURPOSE
    given: Json = {
        "embeddingPurpose": _NOVAS.get(purpose, purpose.upper()),
        "text": {"value": ask.texts[0], "truncationMode": ask.own.get("truncate", "NONE")},
    }
    if ask.dimensions is not None:
        given["embeddingDimension"] = ask.dimensions
    return {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": given}


def _titan(model: str, ask: Ask, losses: Losses) -> Json:
    """What vectors are for it does not ask. Its first generation has vectors of one size."""
    body: Json = {"inputText": ask.texts[0]}
    newer = "embed-text-v2" in model
    if ask.dimensions is not None:
        if newer:
            body["dimensions"] = ask.dimensions
        elif "embed-image" in model:
            body["embeddingConfig"] = {"outputEmbeddingLength": ask.dimensions}
        else:
            losses.parameter("dimensions", "This model's vectors have one size.")
    if newer and "normalize" in ask.own:
        body["normalize"] = ask.own["normalize"]
    return body
