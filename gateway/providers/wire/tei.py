"""Rerank as Text Embeddings Inference has it: `/rerank` at the server's root, texts in, a bare list of scores out."""

from __future__ import annotations

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.providers.chat.losses import Losses
from gateway.providers.services.rerank import Ranked, Ranking, ranking_of, read_rerank
from gateway.types import Call, Deployment

MOST_DOCUMENTS = 32
"""Texts that a server takes in one call unless it is started with a larger `--max-client-batch-size`."""
OWN = frozenset({"truncate", "truncation_direction", "raw_scores"})


class _Score(msgspec.Struct, gc=False):
    index: int
    score: float


_SCORES = msgspec.json.Decoder(list[_Score])


def body_of(call: Call, deployment: Deployment) -> bytes:
    """It serves one model, and names none. Raises InvalidRequest."""
    ask = read_rerank(call, deployment, Losses(deployment.provider), OWN)
    return msgspec.json.encode({"query": ask.query, "texts": ask.texts, **ask.own})


def read(body: bytes, call: Call, deployment: Deployment) -> DecodedReply:
    """Raises UpstreamBadResponse."""
    try:
        scores = _SCORES.decode(body)
        return ranking_of(Ranking([Ranked(one.index, one.score) for one in scores]), call, deployment)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise UpstreamBadResponse from None
