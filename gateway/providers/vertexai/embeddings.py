"""Vertex AI's embeddings: `:predict` for its older models, `:embedContent` with one text for the newer ones."""

from __future__ import annotations

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.providers.generate.embeddings import Ask
from gateway.providers.generate.errors import error_in_reply
from gateway.providers.generate.reply import WireUsage
from gateway.providers.services.embeddings import reply_of
from gateway.types import Call, Usage

MOST_INPUTS = 250
"""Texts of one `:predict`."""


class _Statistics(msgspec.Struct, gc=False):
    token_count: float | None = None


class _Vector(msgspec.Struct, gc=False):
    values: msgspec.Raw
    statistics: _Statistics | None = None


class _Prediction(msgspec.Struct, gc=False):
    embeddings: _Vector


class _Predicted(msgspec.Struct, gc=False):
    predictions: list[_Prediction] | None = None
    error: object = None


class _Embedded(msgspec.Struct, gc=False, rename="camel"):
    embedding: _Vector | None = None
    usage_metadata: WireUsage | None = None
    error: object = None


_PREDICTED = msgspec.json.Decoder(_Predicted)
_EMBEDDED = msgspec.json.Decoder(_Embedded)


def one_at_a_time(model: str) -> bool:
    """It is asked by `:embedContent`."""
    return "gemini" in model and not model.endswith("gemini-embedding-001")


def most_inputs(model: str) -> int:
    """Texts of one call; the first of Gemini's models takes one, by `:predict` too."""
    return 1 if "gemini" in model else MOST_INPUTS


def body_of(ask: Ask, model: str) -> bytes:
    """Of either kind."""
    size = {"outputDimensionality": ask.dimensions} if ask.dimensions is not None else {}
    if one_at_a_time(model):
        task = {"taskType": ask.task} if ask.task else {}
        return msgspec.json.encode({"content": {"parts": [{"text": text} for text in ask.texts]}, **size, **task})
    task = {"task_type": ask.task} if ask.task else {}
    instances = [{"content": text, **task} for text in ask.texts]
    return msgspec.json.encode({"instances": instances, **({"parameters": size} if size else {})})


def read(body: bytes, model: str, call: Call) -> DecodedReply:
    """Raises UpstreamError, or what decoding raises."""
    return _embedded(body, call) if one_at_a_time(model) else _predicted(body, call)


def _predicted(body: bytes, call: Call) -> DecodedReply:
    reply = _PREDICTED.decode(body)
    if reply.error:
        raise error_in_reply(reply.error)
    if not reply.predictions:
        raise UpstreamBadResponse
    vectors = [prediction.embeddings for prediction in reply.predictions]
    counts = [vector.statistics.token_count or 0 for vector in vectors if vector.statistics is not None]
    usage = Usage(input_tokens=int(sum(counts))) if sum(counts) > 0 else None
    return reply_of([vector.values for vector in vectors], usage, call)


def _embedded(body: bytes, call: Call) -> DecodedReply:
    reply = _EMBEDDED.decode(body)
    if reply.error:
        raise error_in_reply(reply.error)
    if reply.embedding is None:
        raise UpstreamBadResponse
    usage = reply.usage_metadata.counted() if reply.usage_metadata is not None else None
    return reply_of([reply.embedding.values], usage, call)
