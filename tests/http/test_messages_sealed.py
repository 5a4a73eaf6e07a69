"""Anthropic's clients at models that have only the Responses API: what its provider sealed comes back to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.support.app import Gateway, running
from tests.support.served import up
from tests.support.steps import json_reply, sse
from tests.support.upstream import ScriptedUpstream

__all__ = ["up"]
CONFIG = """
version: 1
providers:
  pro: {{type: openai, base_url: "{up}/v1", api_key: k, retry_attempts: 0, breaker: false, api: responses,
         models: [gpt-5-pro]}}
  plain: {{type: deepseek, base_url: "{up}/v1", api_key: k, retry_attempts: 0, breaker: false, models: [other]}}
  claude: {{type: anthropic, base_url: "{up}/v1", api_key: k, retry_attempts: 0, breaker: false, models: [claude-x]}}
"""
USER: list[Any] = [{"role": "user", "content": "What is the weather?"}]
TOOLS: list[Any] = [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}]
SHOWN: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Look."}, {"type": "summary_text", "text": "Ask."}],
    "encrypted_content": "gAAAA-shown",
}
HIDDEN: dict[str, Any] = {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "gAAAA-hidden"}
CALLED: dict[str, Any] = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": "{}"}
USAGE = {"input_tokens": 9, "output_tokens": 5, "total_tokens": 14}


@pytest.fixture(scope="module")
def gateway(up: ScriptedUpstream) -> Iterator[Gateway]:
    with running(CONFIG.format(up=up.base_url)) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"http://127.0.0.1:{gateway.port}", api_key="none", max_retries=0) as client:
        yield client


def response(*output: dict[str, Any]) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": "completed", "output": list(output), "usage": USAGE}


def events(*output: dict[str, Any]) -> list[dict[str, Any]]:
    """The same as OpenAI streams it."""
    told: list[dict[str, Any]] = [{"type": "response.created", "response": {**response(), "status": "in_progress"}}]
    for index, item in enumerate(output):
        at = {"output_index": index}
        begun = {**item, "summary": [], "encrypted_content": ""} if item["type"] == "reasoning" else item
        told.append({"type": "response.output_item.added", **at, "item": begun})
        for number, part in enumerate(item.get("summary") or ()):
            place = {**at, "summary_index": number}
            told.append({"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}})
            told.append({"type": "response.reasoning_summary_text.delta", **place, "delta": part["text"]})
        told.append({"type": "response.output_item.done", **at, "item": item})
    return [*told, {"type": "response.completed", "response": response(*output)}]


def first_turn(client: anthropic.Anthropic, up: ScriptedUpstream, *, stream: bool) -> list[Any]:
    """What the model says first, as a client keeps it."""
    said = (SHOWN, HIDDEN, CALLED)
    up.then(sse(events(*said)) if stream else json_reply(response(*said)))
    asked: dict[str, Any] = {"model": "gpt-5-pro", "max_tokens": 99, "messages": USER, "tools": TOOLS}
    if stream:
        with client.messages.stream(**asked) as told:
            content = told.get_final_message().content
    else:
        content = client.messages.create(**asked).content
    assert [block.type for block in content] == ["thinking", "redacted_thinking", "tool_use"]
    assert getattr(content[0], "thinking", None) == "Look.\n\nAsk."
    return [block.model_dump(exclude_none=True) for block in content]


def second_turn(client: anthropic.Anthropic, up: ScriptedUpstream, said: list[Any], model: str) -> dict[str, Any]:
    """What the provider is asked when the turn goes back with the tool's result."""
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "rain"}
    talk: list[Any] = [*USER, {"role": "assistant", "content": said}, {"role": "user", "content": [result]}]
    client.messages.create(model=model, max_tokens=99, messages=talk, tools=TOOLS)
    body: dict[str, Any] = json.loads(up.received[-1].body)
    return body


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_it_goes_back_to_its_provider(client: anthropic.Anthropic, up: ScriptedUpstream, *, stream: bool) -> None:
    """Shown or not, sealed reasoning is asked for and returns before the call that it led to."""
    content = first_turn(client, up, stream=stream)
    assert json.loads(up.received[-1].body)["include"] == ["reasoning.encrypted_content"]
    words = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Rain."}]}
    up.then(json_reply(response(words)))
    returned = second_turn(client, up, content, "gpt-5-pro")["input"]
    assert returned[1:3] == [SHOWN, HIDDEN]
    assert [item.get("type") for item in returned[3:]] == ["function_call", "function_call_output"]


def test_nobody_else_hears_of_it(client: anthropic.Anthropic, up: ScriptedUpstream) -> None:
    """A talk that moves to another provider leaves it behind."""
    content = first_turn(client, up, stream=False)
    chat = {"index": 0, "message": {"role": "assistant", "content": "Rain."}, "finish_reason": "stop"}
    counts = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    up.then(json_reply({"object": "chat.completion", "choices": [chat], "usage": counts}))
    turn = second_turn(client, up, content, "other")["messages"][1]
    assert set(turn) - {"content"} == {"role", "tool_calls"}
    said = {"content": [{"type": "text", "text": "Rain."}], "stop_reason": "end_turn"}
    usage = {"input_tokens": 9, "output_tokens": 1}
    up.then(
        json_reply({"id": "m", "type": "message", "role": "assistant", "model": "claude-x", **said, "usage": usage})
    )
    turn = second_turn(client, up, content, "claude-x")["messages"][1]
    assert [block["type"] for block in turn["content"]] == ["tool_use"]
