"""`/v2/rerank`: texts alone, and scores by their index; sold by the search."""

from __future__ import annotations

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.providers.chat.losses import Losses
from gateway.providers.services.rerank import Ranked, Ranking, ranking_of, read_rerank
from gateway.types import Call, Deployment

OWN = frozenset({"max_tokens_per_doc", "priority"})


class _Result(msgspec.Struct, gc=False):
    index: int
    relevance_score: float


class _Reply(msgspec.Struct, gc=False):
    id: str = ""
    results: list[_Result] | None = None
    meta: msgspec.Raw = msgspec.Raw()
    """As it came: the ledger reads the searches in it, and so may the client."""


_REPLY = msgspec.json.Decoder(_Reply)


def body_of(call: Call, deployment: Deployment, losses: Losses) -> bytes:
    """Raises InvalidRequest."""
    ask = read_rerank(call, deployment, losses, OWN)
    body = {"model": deployment.model, "query": ask.query, "documents": ask.texts, **ask.own}
    if ask.top_n is not None:
        body["top_n"] = ask.top_n
    return msgspec.json.encode(body)


def read(body: bytes, call: Call, deployment: Deployment) -> DecodedReply:
    """Raises UpstreamBadResponse, or what decoding raises."""
    reply = _REPLY.decode(body)
    if reply.results is None:
        raise UpstreamBadResponse
    results = [Ranked(result.index, result.relevance_score) for result in reply.results]
    meta = reply.meta if bytes(reply.meta) else None
    return ranking_of(Ranking(results, None, reply.id, meta), call, deployment)
