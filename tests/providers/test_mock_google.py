"""The scripted provider's Google surface: it answers in Google's words, and refuses what Google refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.providers.scripted import request_of, respond

HI: dict[str, Any] = {"role": "user", "parts": [{"text": "hi"}]}
CALL: dict[str, Any] = {"functionCall": {"name": "f", "args": {}}}
RESULT: dict[str, Any] = {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "x"}}}]}
SIGNED: dict[str, Any] = {"role": "model", "parts": [{**CALL, "thoughtSignature": "s"}]}


def asked(path: str, body: Any) -> tuple[int, Any]:
    scenario = respond(request_of("POST", path, (), json.dumps(body).encode()))
    return scenario.status, json.loads(scenario.body)


@pytest.mark.parametrize("version", ["", "/v1", "/v1beta", "/v1beta1"])
def test_chat(version: str) -> None:
    """Any version, any model."""
    status, reply = asked(f"{version}/models/gemini-x:generateContent", {"contents": [HI]})
    assert status == 200
    (candidate,) = reply["candidates"]
    assert candidate["content"]["parts"] == [{"text": "echo: hi"}]
    assert reply["modelVersion"] == "gemini-x"
    assert reply["usageMetadata"] == {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3}


def test_results() -> None:
    """Calls with their signatures and results are answered."""
    status, reply = asked("/models/m:generateContent", {"contents": [HI, SIGNED, RESULT]})
    assert status == 200
    assert reply["candidates"][0]["content"]["parts"] == [{"text": "tool: x"}]


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        ([], "contents is not specified"),
        ([{"role": "assistant", "parts": [{"text": "x"}]}], "valid role"),
        ([HI, {"role": "model", "parts": [CALL]}, RESULT], "thought_signature"),
        ([HI, SIGNED, HI], "number of function response parts"),
        ([HI, RESULT], "number of function response parts"),
    ],
)
def test_refusals(contents: list[Any], words: str) -> None:
    """What translators trip over is a 400 with Google's words."""
    status, reply = asked("/models/m:generateContent", {"contents": contents})
    assert (status, reply["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert words in reply["error"]["message"]


def test_too_many_texts() -> None:
    """A hundred texts at most are embedded at once."""
    request = {"model": "models/m", "content": {"parts": [{"text": "x"}]}, "outputDimensionality": 3}
    status, reply = asked("/models/m:batchEmbedContents", {"requests": [request] * 100})
    assert status == 200
    assert len(reply["embeddings"]) == 100
    assert asked("/models/m:batchEmbedContents", {"requests": [request] * 101})[0] == 400


def test_a_model_in_the_path_has_directives() -> None:
    """Faults are asked for by the model's name, wherever the API has it."""
    status, reply = asked("/v1/models/mock-fault%2Fstatus-429:generateContent", {"contents": [HI]})
    assert (status, reply["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
