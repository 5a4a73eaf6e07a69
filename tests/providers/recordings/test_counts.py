"""What real providers counted: Anthropic's clients read the number, and the provider is asked as was recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.bridges.speakers import Speakers
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service, Usage
from tests.providers.recordings.exchanges import Exchange, exchanges, present

pytestmark = present
SPEAKERS = Speakers(discover())
PROVIDERS = {
    "anthropic": ("https://api.anthropic.com/v1", {}),
    "gemini": ("https://generativelanguage.googleapis.com/v1beta", {}),
    "vertex": ("https://vertex.invalid/v1beta1", {"project": "example-project", "location": "global"}),
}
COUNTED = {one.name: one for name in PROVIDERS for one in exchanges(name, "count_tokens")}


def deployment_of(exchange: Exchange) -> Deployment:
    url, options = PROVIDERS[exchange.provider]
    asked = exchange.request or {}
    model = asked.get("model") or exchange.path.rpartition("/models/")[2].partition(":")[0]
    return Deployment("p/m", Provider("p", exchange.provider, url, ("k",), options), model)


def call_of(exchange: Exchange) -> Call:
    """The same question, by a client of Anthropic's API."""
    native = exchange.request or {}
    asked = native if exchange.provider == "anthropic" else messages_of(native.get("generateContentRequest") or native)
    raw = json.dumps({**asked, "model": "asked"}, ensure_ascii=False).encode()
    start = raw.index(b'"asked"')
    path = "/messages/count_tokens"
    return Call("c", "r", Service.CHAT, path, "asked", raw, 0.0, model_span=(start, start + 7))


def messages_of(native: dict[str, Any]) -> dict[str, Any]:
    """Google's request as Anthropic has it, as far as the recordings go."""
    said = [
        {
            "role": {"model": "assistant"}.get(turn["role"], "user"),
            "content": [{"type": "text", "text": part["text"]} for part in turn["parts"]],
        }
        for turn in native["contents"]
    ]
    asked: dict[str, Any] = {"messages": said}
    if "systemInstruction" in native:
        asked["system"] = "".join(part["text"] for part in native["systemInstruction"]["parts"])
    if limit := (native.get("generationConfig") or {}).get("max_output_tokens"):
        asked["max_tokens"] = limit
    functions = [one for tool in native.get("tools") or () for one in tool["functionDeclarations"]]
    if functions:
        asked["tools"] = [
            {"name": one["name"], "description": one["description"], "input_schema": _lowered(one["parameters"])}
            for one in functions
        ]
    return asked


def _lowered(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: value.lower() if name == "type" else _lowered(value) for name, value in schema.items()}
    return schema


def same(native: dict[str, Any]) -> dict[str, Any]:
    """What is compared: JSON Schema's words where the recordings have Google's, no roles of instructions, no empty
    words; limits by their other name."""
    found = {**native}
    if "systemInstruction" in found:
        found["systemInstruction"] = [part["text"] for part in found["systemInstruction"]["parts"]]
    if "generationConfig" in found:
        found["generationConfig"] = sorted(found["generationConfig"].values())
    if "tools" in found:
        found["tools"] = [
            (
                one["name"],
                one.get("description", ""),
                _lowered(one.get("parameters") or one.get("parametersJsonSchema")),
            )
            for tool in found["tools"]
            for one in tool["functionDeclarations"]
        ]
    return found


@pytest.mark.parametrize("name", COUNTED)
def test_counts(name: str) -> None:
    """The number, as Anthropic's clients read it; it is free."""
    exchange = COUNTED[name]
    told = json.loads(exchange.body)
    call, deployment = call_of(exchange), deployment_of(exchange)
    assert SPEAKERS.counts(deployment)
    reply = SPEAKERS.of(call, deployment).decode(call, deployment, exchange.headers, exchange.body)
    assert json.loads(reply.body)["input_tokens"] == told.get("totalTokens", told.get("input_tokens"))
    assert reply.usage == Usage()


@pytest.mark.parametrize("name", COUNTED)
def test_questions(name: str) -> None:
    """The recorded request, from the same one in Anthropic's words: the same place, the same body."""
    exchange = COUNTED[name]
    call, deployment = call_of(exchange), deployment_of(exchange)
    speaker = SPEAKERS.of(call, deployment)
    assert speaker.head(call, deployment, "k").target.decode() == exchange.path.partition("?")[0]
    parts = speaker.body(call, deployment)
    assert isinstance(parts, list | tuple)
    sent, wanted = json.loads(b"".join(parts)), exchange.request or {}
    if exchange.provider == "gemini":
        sent, wanted = sent["generateContentRequest"], wanted["generateContentRequest"]
    assert sent == wanted if exchange.provider == "anthropic" else same(sent) == same(wanted)
