"""`:batchEmbedContents` of the Gemini API: a request per text, a vector per request."""

from __future__ import annotations

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.providers.generate.embeddings import Ask
from gateway.providers.generate.errors import error_in_reply
from gateway.providers.generate.reply import WireUsage
from gateway.providers.services.embeddings import reply_of
from gateway.types import Call


class _Vector(msgspec.Struct, gc=False):
    values: msgspec.Raw


class _Reply(msgspec.Struct, gc=False, rename="camel"):
    embeddings: list[_Vector] | None = None
    usage_metadata: WireUsage | None = None
    error: object = None


_REPLY = msgspec.json.Decoder(_Reply)


def batch_of(ask: Ask, model: str) -> bytes:
    """The body; each request names the model again."""
    common = {
        "model": model if model.startswith("models/") else f"models/{model}",
        **({"outputDimensionality": ask.dimensions} if ask.dimensions is not None else {}),
        **({"taskType": ask.task} if ask.task else {}),
    }
    requests = [{**common, "content": {"parts": [{"text": text}]}} for text in ask.texts]
    return msgspec.json.encode({"requests": requests})


def read_batch(body: bytes, call: Call) -> DecodedReply:
    """Raises UpstreamError, or what decoding raises."""
    reply = _REPLY.decode(body)
    if reply.error:
        raise error_in_reply(reply.error)
    if not reply.embeddings:
        raise UpstreamBadResponse
    usage = reply.usage_metadata.counted() if reply.usage_metadata is not None else None
    return reply_of([vector.values for vector in reply.embeddings], usage, call)
