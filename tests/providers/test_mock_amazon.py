"""The scripted provider's Bedrock surface: it answers in Bedrock's words, and refuses what Bedrock refuses."""

from __future__ import annotations

import base64
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
        (
            {
                "messages": [HI],
                "toolConfig": {**TOOLS, "toolChoice": {"any": {}}},
                "additionalModelRequestFields": {"tool_choice": {"type": "any"}},
            },
            "conflicts",
        ),
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


def test_claude() -> None:
    """Anthropic's API, whole, in frames, and counted; what Bedrock does not take in a body is refused."""
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    assert json.loads(asked("invoke", body)[1])["content"] == [{"type": "text", "text": "echo: hi"}]
    frames = messages(asked("invoke-with-response-stream", body)[1])
    assert {headers[":event-type"] for headers, _ in frames} == {"chunk"}
    inner = base64.b64encode(json.dumps(body).encode()).decode()
    assert asked("count-tokens", {"input": {"invokeModel": {"body": inner}}})[0] == 400
    status, counted = asked("count-tokens", {"input": {"invokeModel": {"body": inner}}}, "anthropic.claude")
    assert (status, json.loads(counted)) == (200, {"inputTokens": 1})
    for odd in ({"model": "x"}, {"stream": True}, {"anthropic_beta": ["claude-code-20250219"]}):
        assert asked("invoke", {**body, **odd})[0] == 400
