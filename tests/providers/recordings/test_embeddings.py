"""Vectors that Google really sent, at the Gemini API and Vertex AI: asked for in the same words, number by number."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.providers import discover
from gateway.types import Call, Service
from tests.providers.recordings.exchanges import Exchange, exchanges, present
from tests.providers.recordings.test_recordings import ASKED, deployment_of, model_of

pytestmark = present
RECORDED = {
    exchange.name: (name, exchange) for name in ("gemini", "vertex") for exchange in exchanges(name, "embeddings")
}
_TASKS = {"RETRIEVAL_QUERY": "search_query"}


def call_of(exchange: Exchange) -> Call:
    asked = json.dumps({"model": ASKED, **_asked(exchange.request or {})}).encode()
    return Call("c", "r", Service.EMBEDDINGS, "/embeddings", ASKED, asked, 0.0, encoding_format="float")


def _asked(body: dict[str, Any]) -> dict[str, Any]:
    """An OpenAI request that means the same."""
    if "instances" in body:
        return {"input": [one["content"] for one in body["instances"]]}
    first = body["requests"][0]
    return {
        "input": [request["content"]["parts"][0]["text"] for request in body["requests"]],
        "dimensions": first.get("outputDimensionality"),
        "input_type": _TASKS.get(first.get("taskType", "")),
    }


@pytest.mark.parametrize("key", list(RECORDED), ids=list(RECORDED))
def test_embeddings(key: str) -> None:
    """The body is the recorded one, and every number of every vector arrives."""
    name, exchange = RECORDED[key]
    dialect, deployment, call = discover()[name], deployment_of(name, model_of(exchange)), call_of(exchange)
    parts = dialect.body(call, deployment)
    assert isinstance(parts, list | tuple)
    assert json.loads(b"".join(parts)) == exchange.request
    reply = dialect.decode(call, deployment, exchange.headers, exchange.body)
    told = json.loads(exchange.body)
    vectors = [one["embeddings"]["values"] for one in told.get("predictions", ())]
    vectors += [one["values"] for one in told.get("embeddings", ())]
    assert [item["embedding"] for item in json.loads(reply.body)["data"]] == vectors
    counts = [one["embeddings"]["statistics"]["token_count"] for one in told.get("predictions", ())]
    tokens = sum(counts) or told.get("usageMetadata", {}).get("promptTokenCount", 0)
    assert (reply.usage.input_tokens if reply.usage else 0) == tokens
