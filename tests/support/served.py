"""What is asserted of every provider that is translated, played against its mock by OpenAI's SDK."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.app import Gateway
from tests.support.gateway import Mock, mock_process
from tests.support.upstream import ScriptedUpstream

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("weather", "time")
]
PARTS = {"name", "arguments"}
"""Of a call's function, that go back to the provider."""
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_numbers = itertools.count()


@pytest.fixture(scope="module")
def up() -> Iterator[ScriptedUpstream]:
    """A provider that answers as a test says, for all tests of a module."""
    with ScriptedUpstream() as found:
        yield found
        assert not found.errors


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    """The scripted provider."""
    with mock_process() as mock:
        yield mock


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    """Of a module's own gateway; no retries, so that each call is one request."""
    with openai.OpenAI(base_url=f"http://127.0.0.1:{gateway.port}/v1", api_key="none", max_retries=0) as client:
        yield client


def ask(text: str) -> list[Any]:
    """A conversation of one message."""
    return [{"role": "user", "content": text}]


def chats(client: openai.OpenAI, model: str) -> None:
    """A whole answer, under the name that was asked for, with its counts."""
    reply = client.chat.completions.create(model=model, messages=ask("grüße 🎈"))
    assert reply.choices[0].message.content == "echo: grüße 🎈"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.model == model
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (2, 4)


def streams(client: openai.OpenAI, model: str) -> None:
    """Text in pieces, usage when asked for."""
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model=model, messages=ask("hello"), stream=True, stream_options=options)
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "echo: hello"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3


def calls_tools(client: openai.OpenAI, model: str) -> str:
    """The SDK's own accumulator puts parallel calls together; their results go back and are answered: with this."""
    messages = ask("call:weather call:time")
    with client.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as stream:
        final = stream.get_final_completion().choices[0]
    assert final.finish_reason == "tool_calls"
    calls = final.message.tool_calls or []
    assert [call.function.name for call in calls] == ["weather", "time"]
    assert all(set(json.loads(call.function.arguments)) == {"city"} for call in calls)
    turn: Any = {
        "role": "assistant",
        "tool_calls": [
            call.model_dump(include={"id": True, "type": True, "extra_content": True, "function": PARTS})
            for call in calls
        ],
    }
    results: list[Any] = [
        {"role": "tool", "tool_call_id": call.id, "content": f"result {at}"} for at, call in enumerate(calls)
    ]
    reply = client.chat.completions.create(model=model, messages=[*messages, turn, *results], tools=TOOLS)
    # What is answered is the last result, or all of them: that differs between the mock's surfaces.
    answer = reply.choices[0].message.content or ""
    assert answer.startswith("tool: result")
    return answer


def gives_json(client: openai.OpenAI, model: str) -> None:
    """A JSON Schema is the provider's own structured output."""
    form: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    reply = client.chat.completions.create(model=model, messages=ask("where?"), response_format=form)
    assert set(json.loads(reply.choices[0].message.content or "")) == {"city"}


def fails(gateway: Gateway, lab: str, script: str, wanted: tuple[int, str]) -> None:
    """A failure has the status and code that clients of OpenAI know, streamed or not."""
    for stream in (False, True):
        # A model of its own each time: one whose account was refused is left alone for a while.
        reply = gateway.chat(f"{lab}/mock-fault/{script}+tokens-{8 + stream}", stream=stream)
        assert (reply.status, reply.error["code"]) == wanted


def breaks(gateway: Gateway, lab: str, *scripts: str) -> None:
    """A stream that breaks ends with an error frame and `[DONE]`, whether it says so, is cut or is garbled."""
    for script in scripts:
        reply = gateway.chat(f"{lab}/mock-fault/{script}+tokens-20", stream=True)
        assert reply.status == 200
        assert "error" in reply.events[-2]
        assert reply.events[-1] == "[DONE]"
        assert not any(chunk["choices"][0]["finish_reason"] for chunk in reply.events[:-2])


def falls_over(gateway: Gateway) -> None:
    """A failure before the first word leaves room for another deployment (the route `rescued`), streamed or not."""
    for stream in (False, True):
        assert gateway.chat("rescued", stream=stream).status == 200


def costs(gateway: Gateway, mock: Mock, models: tuple[str, str], *, stream: bool) -> None:
    """The same prices and counts give the same cost as at a provider that speaks OpenAI's API (the second model), and
    what is booked is the provider's bill."""
    lines = []
    for model in models:
        number = f"cost-{next(_numbers)}"
        assert gateway.chat(model, (("x-request-id", number),), stream=stream).status == 200
        lines.append(gateway.line(number))
    one, plain = lines
    for name in ("input_tokens", "output_tokens", "token_source", "cost_nano_usd"):
        assert one[name] == plain[name]
    row = mock.rows(model=models[0])[-1]
    assert (row["input_tokens"], row["output_tokens"]) == (one["input_tokens"], one["output_tokens"])
