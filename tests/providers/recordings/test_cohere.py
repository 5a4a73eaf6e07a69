"""Vectors and rankings that Cohere really sent: asked for in the same words, number by number."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.providers import discover
from gateway.types import Call, Service
from tests.providers.recordings.exchanges import Exchange, exchanges, present
from tests.providers.recordings.test_recordings import ASKED, deployment_of

pytestmark = present
EMBEDDED = {exchange.name: exchange for exchange in exchanges("cohere", "embeddings")}
RERANKED = {exchange.name: exchange for exchange in exchanges("cohere", "rerank")}
DIALECT = discover()["cohere"]


def answered(exchange: Exchange, service: Service, asked: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Our body for this request, and what the client reads of the recorded answer, with its usage."""
    raw = json.dumps({"model": ASKED, **asked}).encode()
    call = Call("c", "r", service, "/x", ASKED, raw, 0.0, encoding_format="float")
    deployment = deployment_of("cohere", (exchange.request or {}).get("model", "rerank-v3"))
    parts = DIALECT.body(call, deployment)
    assert isinstance(parts, list | tuple)
    reply = DIALECT.decode(call, deployment, exchange.headers, exchange.body)
    return json.loads(b"".join(parts)), json.loads(reply.body), reply.usage


@pytest.mark.parametrize("key", list(EMBEDDED), ids=list(EMBEDDED))
def test_embeddings(key: str) -> None:
    """The body is the recorded one (numbers are always asked for by name), and every number arrives and is counted."""
    exchange = EMBEDDED[key]
    recorded = {name: value for name, value in (exchange.request or {}).items() if value is not None}
    asked = {"input": recorded["texts"], "input_type": recorded["input_type"]}
    if "truncate" in recorded:
        asked["truncate"] = recorded["truncate"]
    ours, reply, usage = answered(exchange, Service.EMBEDDINGS, asked)
    assert ours == {"embedding_types": ["float"], **recorded}
    told = json.loads(exchange.body)
    assert [item["embedding"] for item in reply["data"]] == told["embeddings"]["float"]
    billed = told["meta"]["billed_units"]
    assert usage.input_tokens == billed["input_tokens"] + billed.get("image_tokens", 0)


@pytest.mark.parametrize("key", list(RERANKED), ids=list(RERANKED))
def test_rerank(key: str) -> None:
    """The body is the recorded one (of the first version's, the fields that the second one has), and every score and
    the searches arrive."""
    exchange = RERANKED[key]
    request = exchange.request or {}
    recorded = {name: value for name, value in request.items() if name not in ("model", "return_documents")}
    ours, reply, _ = answered(exchange, Service.RERANK, recorded)
    assert {name: value for name, value in ours.items() if name != "model"} == recorded
    told = json.loads(exchange.body)
    assert reply["results"] == told["results"]
    assert reply["meta"] == told["meta"]
