"""The scripted provider's Bedrock surface: it answers in Bedrock's words, and refuses what Bedrock refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.providers.scripted import request_of, respond
from tests.support.eventstream import messages

HI: dict[str, Any] = {"role": "user", "content": [{"text": "hi"}]}
USE: dict[str, Any] = {"toolUse": {"toolUseId": "t1", "name": "f", "input": {}}}
RESULT: dict[str, Any] = {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "x"}]}}]}
TOOLS: dict[str, Any] = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}
USED: dict[str, Any] = {"role": "assistant", "content": [USE]}


def asked(method: str, body: Any, model: str = "eu.x.y-v1%3A0") -> tuple[int, bytes]:
    scenario = respond(request_of("POST", f"/v1/model/{model}/{method}", (), json.dumps(body).encode()))
    return scenario.status, scenario.body


def test_chat() -> None:
    """Whole, and in events whose counts come last."""
    status, body = asked("converse", {"messages": [HI]})
    assert (status, json.loads(body)["output"]["message"]["content"]) == (200, [{"text": "echo: hi"}])
    status, body = asked("converse-stream", {"messages": [HI]})
    events = [headers[":event-type"] for headers, _ in messages(body)]
    assert (events[0], events[-2:]) == ("messageStart", ["messageStop", "metadata"])
    assert "contentBlockStart" not in events


def test_calls() -> None:
    """Calls have a start; their results are answered."""
    first = {"role": "user", "content": [{"text": "call:f"}]}
    _, body = asked("converse-stream", {"messages": [first], "toolConfig": TOOLS})
    assert "contentBlockStart" in [headers[":event-type"] for headers, _ in messages(body)]
    status, body = asked("converse", {"messages": [HI, USED, RESULT], "toolConfig": TOOLS})
    assert (status, json.loads(body)["output"]["message"]["content"]) == (200, [{"text": "tool: x"}])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": []}, "start with a user message"),
        ({"messages": [{"role": "assistant", "content": [{"text": "x"}]}]}, "start with a user message"),
        ({"messages": [HI, HI]}, "alternate"),
        ({"messages": [HI], "system": []}, "system prompt is blank"),
        ({"messages": [{"role": "user", "content": [{"text": ""}]}]}, "is blank"),
        ({"messages": [HI, USED, HI], "toolConfig": TOOLS}, "Expected toolResult"),
        ({"messages": [HI, USED, RESULT]}, "toolConfig field must be defined"),
        ({"messages": [HI], "toolConfig": {"tools": []}}, "greater than or equal to 1"),
        ({"messages": [{"role": "user", "content": [{"image": {"format": "jpg"}}]}]}, "image.format"),
        (
            {"messages": [HI, {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "a.b"}}]}]},
            "toolUse",
        ),
    ],
)
def test_refusals(body: dict[str, Any], words: str) -> None:
    """What translators trip over is a 400 with Bedrock's words."""
    status, answer = asked("converse", body)
    assert status == 400
    assert words in json.loads(answer)["message"]


def test_invoked_models() -> None:
    """Bodies of each vendor's, and what they refuse."""
    assert len(json.loads(asked("invoke", {"inputText": "a", "dimensions": 3})[1])["embedding"]) == 3
    text = {"embeddingPurpose": "GENERIC_INDEX", "text": {"value": "a"}, "embeddingDimension": 3}
    novas = json.loads(asked("invoke", {"taskType": "SINGLE_EMBEDDING", "singleEmbeddingParams": text})[1])
    assert len(novas["embeddings"][0]["embedding"]) == 3
    many = {"texts": ["x"] * 97, "input_type": "search_document"}
    assert asked("invoke", many)[0] == 400
    assert len(json.loads(asked("invoke", {**many, "texts": ["x"] * 96})[1])["embeddings"]) == 96
    query = {"query": "a", "documents": ["b", "a"]}
    assert asked("invoke", query, "cohere.rerank-v3-5%3A0")[0] == 400
    ranked = json.loads(asked("invoke", query, "amazon.rerank-v1%3A0")[1])
    assert [one["index"] for one in ranked["results"]] == [1, 0]
