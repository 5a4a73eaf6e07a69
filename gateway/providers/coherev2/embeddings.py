"""`/v2/embed`: texts with what they are for, vectors in the order of the texts."""

from __future__ import annotations

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.providers.chat.losses import Losses
from gateway.providers.coherev2.usage import Meta
from gateway.providers.services.embeddings import read_ask, reply_of
from gateway.types import Call, Deployment

MOST_INPUTS = 96
"""Texts of one call: https://docs.cohere.com/reference/embed"""
PURPOSE = "search_document"
"""`input_type` where the caller does not say: Cohere wants one, and documents are what most vectors are made of."""
OWN = frozenset({"truncate", "max_tokens", "priority"})


class _Embeddings(msgspec.Struct, gc=False):
    float: list[msgspec.Raw] | None = None


class _Reply(msgspec.Struct, gc=False):
    embeddings: _Embeddings | None = None
    meta: Meta | None = None


_REPLY = msgspec.json.Decoder(_Reply)


def body_of(call: Call, deployment: Deployment, losses: Losses) -> bytes:
    """Always for numbers: which encoding the client wants is settled here. Raises InvalidRequest."""
    ask = read_ask(call, deployment, losses, OWN)
    body = {
        "model": deployment.model,
        "input_type": ask.input_type or PURPOSE,
        "embedding_types": ["float"],
        "texts": ask.texts,
        **ask.own,
    }
    if ask.dimensions is not None:
        body["output_dimension"] = ask.dimensions
    return msgspec.json.encode(body)


def read(body: bytes, call: Call) -> DecodedReply:
    """Raises UpstreamBadResponse, or what decoding raises."""
    reply = _REPLY.decode(body)
    if reply.embeddings is None or not reply.embeddings.float:
        raise UpstreamBadResponse
    return reply_of(reply.embeddings.float, reply.meta.counted() if reply.meta is not None else None, call)
