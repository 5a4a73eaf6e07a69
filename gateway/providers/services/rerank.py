"""Rerank: what clients of Cohere's, Jina's and vLLM's shape ask, and a provider's scores as they read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.errors import InvalidRequest, UpstreamBadResponse
from gateway.ports import DecodedReply
from gateway.providers.chat.losses import Losses
from gateway.providers.services.fields import Json, count_of, flag_of, read_fields
from gateway.types import Call, Deployment, Usage

_KNOWN = frozenset({"model", "query", "documents", "top_n", "return_documents", "user"})


class RerankAsk(msgspec.Struct):
    """What is to be ordered by what. Which documents come back, and how many, `ranking_of` sees to."""

    query: str
    texts: list[str]
    """Of each document, in order."""
    top_n: int | None = None
    """How many results are wanted; a provider that is asked for fewer may charge less."""
    own: Json = {}
    """Fields that the dialect alone knows, such as `max_tokens_per_doc`."""


class Ranked(msgspec.Struct, gc=False):
    """One document's place: its index in the request, and how relevant it is (more is better)."""

    index: int
    score: float


class Ranking(msgspec.Struct):
    """What a provider answered, in any order; `meta` is Cohere's object where there is one (`billed_units`)."""

    results: list[Ranked]
    usage: Usage | None = None
    id: str = ""
    meta: Any = None


class _Asked(msgspec.Struct, gc=False):
    documents: list[msgspec.Raw] = []
    top_n: int | None = None
    return_documents: bool | None = None


_ASKED = msgspec.json.Decoder(_Asked)
_REPLY = msgspec.json.Decoder(dict[str, Any])


def read_rerank(call: Call, deployment: Deployment, losses: Losses, own: frozenset[str] = frozenset()) -> RerankAsk:
    """The whole request; `own` are fields beyond the common ones that the dialect carries over. Raises
    InvalidRequest."""
    given = read_fields(call, deployment, losses, _KNOWN | own)
    query = given.get("query")
    if not isinstance(query, str) or not query:
        raise InvalidRequest("`query` must be text.", param="query")
    flag_of(given, "return_documents")
    kept = {name: given[name] for name in own if name in given}
    return RerankAsk(query, _texts(given.get("documents")), count_of(given, "top_n"), kept)


def _texts(documents: Any) -> list[str]:
    if not isinstance(documents, list) or not documents:
        raise InvalidRequest("`documents` must be a list of texts, or of objects with a `text`.", param="documents")
    return [_text(document, at) for at, document in enumerate(documents)]


def _text(document: Any, at: int) -> str:
    text = document.get("text") if isinstance(document, dict) else document
    if not isinstance(text, str):
        raise InvalidRequest("A document is text, or an object with a `text`.", param=f"documents[{at}]")
    return text


def ranking_of(ranking: Ranking, call: Call, deployment: Deployment) -> DecodedReply:
    """As `/rerank` answers: the best first, no more than were wanted, with their documents where the caller wants them
    back. Raises UpstreamBadResponse for a document that nobody sent."""
    asked = _asked(call, deployment)
    ordered = sorted(ranking.results, key=lambda ranked: -ranked.score)[: asked.top_n]
    body: Json = {
        "id": ranking.id or f"rerank-{call.id}",
        "model": call.model,
        "results": [_result(ranked, asked) for ranked in ordered],
    }
    if ranking.meta is not None:
        body["meta"] = ranking.meta
    if ranking.usage is not None and ranking.usage.total:
        tokens = ranking.usage.input_tokens
        body["usage"] = {"prompt_tokens": tokens, "total_tokens": ranking.usage.total}
    return DecodedReply(msgspec.json.encode(body), b"application/json", ranking.usage)


def merged_rankings(bodies: Sequence[bytes], call: Call, deployment: Deployment, size: int) -> bytes:
    """One reply out of those for consecutive slices of `size` documents: indexes as in the whole list, the best of all
    first, usage summed. Raises what decoding raises."""
    replies = [_REPLY.decode(body) for body in bodies]
    results = [
        {**result, "index": result["index"] + number * size}
        for number, reply in enumerate(replies)
        for result in reply["results"]
    ]
    results.sort(key=lambda result: -result["relevance_score"])
    whole: Json = {**replies[0], "results": results[: _asked(call, deployment).top_n]}
    usages = [reply["usage"] for reply in replies if "usage" in reply]
    if usages:
        whole["usage"] = {name: sum(usage[name] for usage in usages) for name in usages[0]}
    return msgspec.json.encode(whole)


def _asked(call: Call, deployment: Deployment) -> _Asked:
    """What of the request shapes its answer: it was checked when it was sent."""
    asked = _ASKED.decode(call.raw)
    if asked.top_n is None:
        asked.top_n = deployment.parameters.get("top_n")
    if asked.return_documents is None:
        asked.return_documents = bool(deployment.parameters.get("return_documents"))
    return asked


def _result(ranked: Ranked, asked: _Asked) -> Json:
    if not 0 <= ranked.index < len(asked.documents):
        raise UpstreamBadResponse
    result: Json = {"index": ranked.index, "relevance_score": ranked.score}
    if asked.return_documents:
        document = asked.documents[ranked.index]
        text = bytes(document)[:1] == b'"'
        result["document"] = {"text": document} if text else document
    return result
