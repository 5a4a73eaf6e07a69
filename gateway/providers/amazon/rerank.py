"""Rerank: Amazon's and Cohere's models, invoked as the chatting ones are, with the same credentials.

The operation `Rerank` of Bedrock's agents does the same at another host, where API keys are not taken.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.providers.chat.losses import Losses
from gateway.providers.services.rerank import Ranked, Ranking, ranking_of, read_rerank
from gateway.types import Call, Deployment

VERSION = 2
"""Of Cohere's API, which its models want to be told."""
_COHERES = frozenset({"max_tokens_per_doc"})


class _Result(msgspec.Struct, gc=False):
    index: int
    relevance_score: float


class _Reply(msgspec.Struct, gc=False):
    results: list[_Result] | None = None


_REPLY = msgspec.json.Decoder(_Reply)


def body_of(call: Call, deployment: Deployment, losses: Losses) -> bytes:
    """Raises InvalidRequest."""
    coheres = "amazon." not in deployment.model
    ask = read_rerank(call, deployment, losses, _COHERES if coheres else frozenset())
    body: dict[str, Any] = {"query": ask.query, "documents": ask.texts, **ask.own}
    if coheres:
        body["api_version"] = VERSION
    if ask.top_n is not None:
        body["top_n"] = ask.top_n
    return msgspec.json.encode(body)


def read(body: bytes, call: Call, deployment: Deployment) -> DecodedReply:
    """Raises UpstreamBadResponse, or what decoding raises. Bedrock tells no searches: they are counted as asked."""
    reply = _REPLY.decode(body)
    if reply.results is None:
        raise UpstreamBadResponse
    results = [Ranked(result.index, result.relevance_score) for result in reply.results]
    return ranking_of(Ranking(results), call, deployment)
