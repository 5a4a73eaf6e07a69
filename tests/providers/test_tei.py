"""Text Embeddings Inference: rerank at its root, in its own words; everything else as OpenAI has it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest, UnsupportedParameter, UpstreamBadResponse, UpstreamRejected
from gateway.ports import RankingDialect
from gateway.providers.services.rerank import Ranked, Ranking, merged_rankings, ranking_of
from gateway.types import Service, Usage
from tests.support.translated import Translated, call_of

TEI = Translated("openai_compatible", "http://tei.invalid:8080/v1", "bge", {"rerank": "tei"})
ASK: dict[str, Any] = {"query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": True}


@pytest.mark.parametrize(
    ("base_url", "service", "target"),
    [
        ("http://tei.invalid:8080/v1", Service.RERANK, b"/rerank"),
        ("http://tei.invalid:8080", Service.RERANK, b"/rerank"),
        ("http://tei.invalid:8080/models/x/v1", Service.RERANK, b"/models/x/rerank"),
        ("http://tei.invalid:8080/v1", Service.EMBEDDINGS, b"/v1/embeddings"),
    ],
)
def test_paths(base_url: str, service: Service, target: bytes) -> None:
    """Rerank is beside the version that OpenAI's paths are below."""
    tei = Translated("openai_compatible", base_url, "bge", {"rerank": "tei"})
    assert tei.head(call_of(service)).target == target
    plain = Translated("openai_compatible", base_url, "bge")
    assert plain.head(call_of(Service.RERANK)).target.endswith(b"/rerank")


def test_requests() -> None:
    """Texts alone, and what is its own; it has no model to name."""
    assert TEI.sent(call_of(Service.RERANK, **ASK)) == {"query": "q", "texts": ["a", "b"]}
    own = {"truncate": True, "raw_scores": True}
    assert TEI.sent(call_of(Service.RERANK, **ASK, **own)) == {"query": "q", "texts": ["a", "b"], **own}
    with pytest.raises(UnsupportedParameter) as error:
        TEI.sent(call_of(Service.RERANK, **ASK, max_tokens_per_doc=9))
    assert error.value.param == "max_tokens_per_doc"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"documents": ["a"]}, "query"),
        ({"query": "", "documents": ["a"]}, "query"),
        ({"query": "q"}, "documents"),
        ({"query": "q", "documents": []}, "documents"),
        ({"query": "q", "documents": "a"}, "documents"),
        ({"query": "q", "documents": ["a", {"title": "b"}]}, "documents[1]"),
        ({"query": "q", "documents": ["a"], "top_n": 0}, "top_n"),
        ({"query": "q", "documents": ["a"], "top_n": True}, "top_n"),
        ({"query": "q", "documents": ["a"], "return_documents": "yes"}, "return_documents"),
    ],
)
def test_requests_that_nobody_could_answer(fields: dict[str, Any], param: str) -> None:
    """Refused here, by the name of what is wrong, for every provider whose rerank is translated."""
    with pytest.raises(InvalidRequest) as error:
        TEI.sent(call_of(Service.RERANK, **fields))
    assert error.value.param == param


def test_defaults_of_a_deployment() -> None:
    """They are for callers who set none, in the request and in what is made of the answer."""
    body = [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}]
    defaults: dict[str, Any] = {"parameters": {"top_n": 1, "return_documents": True, "truncate": True}}
    call = call_of(Service.RERANK, query="q", documents=["a", "b"])
    assert TEI.sent(call, **defaults) == {"query": "q", "texts": ["a", "b"], "truncate": True}
    told = json.loads(TEI.decode(call, body, **defaults).body)
    assert told["results"] == [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}]
    own = call_of(Service.RERANK, query="q", documents=["a", "b"], top_n=2, return_documents=False)
    told = json.loads(TEI.decode(own, body, **defaults).body)
    assert [set(one) for one in told["results"]] == [{"index", "relevance_score"}] * 2


def test_answers() -> None:
    """A bare list becomes a ranking, the best first, as many as were wanted."""
    told = TEI.answered(call_of(Service.RERANK, **ASK), [{"index": 0, "score": 0.1}, {"index": 1, "score": 0.9}])
    assert told == {
        "id": "rerank-c1",
        "model": "asked",
        "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}],
    }
    for odd in (
        b"",
        b"{}",
        b"null",
        b'[{"index":0}]',
        b'[{"index":5,"score":1}]',
        b'[{"index":-1,"score":1}]',
        b"<html>",
    ):
        with pytest.raises(UpstreamBadResponse):
            TEI.decode(call_of(Service.RERANK, **ASK), odd)


def test_long_lists_are_split() -> None:
    """As few documents as a server takes by default; elsewhere as many as there are."""
    assert isinstance(TEI.dialect, RankingDialect)
    assert TEI.dialect.most_documents(TEI.deployment()) == 32
    assert TEI.dialect.most_documents(TEI.deployment(options={})) is None


@given(count=st.integers(1, 17), top_n=st.none() | st.integers(1, 30))
def test_merged_rankings(count: int, top_n: int | None) -> None:
    """Slices put together are the ranking of the whole list: indexes, order, what is left of it, usage."""
    documents = [f"d{number}" for number in range(count)]
    scores = {number: (number * 7 % 19) / 19 for number in range(count)}
    asked: dict[str, Any] = {"query": "q", "documents": documents, **({"top_n": top_n} if top_n else {})}
    call, bodies = call_of(Service.RERANK, **asked), []
    for start in range(0, count, 5):
        part = call_of(Service.RERANK, **{**asked, "documents": documents[start : start + 5]})
        own = [Ranked(at, scores[start + at]) for at in range(len(documents[start : start + 5]))]
        bodies.append(ranking_of(Ranking(own, Usage(3)), part, TEI.deployment()).body)
    told = json.loads(merged_rankings(bodies, call, TEI.deployment(), 5))
    wanted = sorted(scores, key=lambda number: -scores[number])[:top_n]
    assert [one["index"] for one in told["results"]] == wanted
    assert told["usage"]["total_tokens"] == 3 * len(bodies)


def test_refusals() -> None:
    """Its own words, where the request is at fault."""
    body = b'{"error":"batch size 100 > maximum allowed batch size 32","error_type":"Validation"}'
    error = TEI.dialect.error(422, [], body)
    assert isinstance(error, UpstreamRejected)
    assert "maximum allowed batch size" in error.public_message
