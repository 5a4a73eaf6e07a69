"""Embeddings and rerank of watsonx.ai: `/ml/v1/text/embeddings`, `/ml/v1/text/rerank`."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.providers.chat.losses import Losses
from gateway.providers.services.embeddings import read_ask, reply_of
from gateway.providers.services.families import Families
from gateway.providers.services.rerank import Ranked, Ranking, ranking_of, read_rerank
from gateway.providers.watsonxai.errors import error_in_stream
from gateway.providers.watsonxai.places import payer
from gateway.providers.wire.usage import MOST
from gateway.types import Call, Deployment, Service, Usage

MOST_INPUTS = 1000
"""Texts of one embeddings call, as IBM's own SDK splits them."""
OWN = frozenset({"truncate_input_tokens"})
FAMILIES = Families(
    {
        Service.CHAT: re.compile(r"granite-\d(?!.*(?:embed|rerank))|llama|mistral|mixtral|gpt-oss|pixtral"),
        Service.EMBEDDINGS: re.compile(r"embed|slate|/.*e5-|minilm-l6"),
        Service.RERANK: re.compile(r"rerank|ms-marco"),
    },
    {
        Service.CHAT: "ibm/granite-4-h-small",
        Service.EMBEDDINGS: "ibm/granite-embedding-278m-multilingual",
        Service.RERANK: "cross-encoder/ms-marco-minilm-l-12-v2",
    },
)


class _Vector(msgspec.Struct, gc=False):
    embedding: msgspec.Raw


class _Embedded(msgspec.Struct, gc=False):
    results: list[_Vector] | None = None
    input_token_count: float | None = None
    errors: Any = None


class _Score(msgspec.Struct, gc=False):
    index: int
    score: float


class _Ranked(msgspec.Struct, gc=False):
    results: list[_Score] | None = None
    input_token_count: float | None = None
    errors: Any = None


_EMBEDDED = msgspec.json.Decoder(_Embedded)
_RANKED = msgspec.json.Decoder(_Ranked)


def embeddings_of(call: Call, deployment: Deployment, losses: Losses) -> bytes:
    """Raises InvalidRequest."""
    ask = read_ask(call, deployment, losses, OWN)
    if ask.dimensions is not None:
        losses.parameter("dimensions")
    if ask.input_type is not None:
        losses.parameter("input_type")
    body = {**payer(deployment), "inputs": ask.texts}
    return msgspec.json.encode({**body, "parameters": ask.own} if ask.own else body)


def rerank_of(call: Call, deployment: Deployment, losses: Losses) -> bytes:
    """Raises InvalidRequest."""
    ask = read_rerank(call, deployment, losses, OWN)
    parameters = dict(ask.own)
    if ask.top_n is not None:
        parameters["return_options"] = {"top_n": ask.top_n}
    body = {**payer(deployment), "query": ask.query, "inputs": [{"text": text} for text in ask.texts]}
    return msgspec.json.encode({**body, "parameters": parameters} if parameters else body)


def read_embeddings(body: bytes, call: Call) -> DecodedReply:
    """Raises UpstreamError, or what decoding raises."""
    reply = _EMBEDDED.decode(body)
    if reply.errors:
        raise error_in_stream(body)
    if not reply.results:
        raise UpstreamBadResponse
    return reply_of([vector.embedding for vector in reply.results], _usage(reply.input_token_count), call)


def read_ranking(body: bytes, call: Call, deployment: Deployment) -> DecodedReply:
    """Raises UpstreamError, or what decoding raises."""
    reply = _RANKED.decode(body)
    if reply.errors:
        raise error_in_stream(body)
    if reply.results is None:
        raise UpstreamBadResponse
    results = [Ranked(result.index, result.score) for result in reply.results]
    return ranking_of(Ranking(results, _usage(reply.input_token_count)), call, deployment)


def _usage(tokens: float | None) -> Usage | None:
    return Usage(int(min(tokens, MOST))) if tokens is not None and tokens > 0 else None
