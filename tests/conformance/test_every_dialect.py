"""openai-python, openai-node and the Vercel AI SDK against every provider type that can chat.

The types are found by discovery, each serves any model of the scripted provider: a new type is tested by existing, or
fails here until it is said how one is set up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.everyone import MODELS, TYPES, provider_of
from tests.support.gateway import GatewayProcess, mock_process

from .applications import Application, needs_node
from .conftest import KEY, Lab, Sdk
from .test_openai_python import SAID, USER, tool

SIGNED = ("gemini/any", "vertex/gemini-3-flash-preview")
"""Whose calls have to come back with their signature."""
ALIKE = ("deepseek", "groq", "huggingface", "meta", "ollama", "openrouter", "together", "vllm", "xai")
"""They differ in data alone: their turn is in `make endurance`."""
every_model = pytest.mark.parametrize(
    "model",
    [pytest.param(one, marks=[pytest.mark.endurance] * (one.partition("/")[0] in ALIKE)) for one in MODELS],
)
RUNS = pytest.mark.xdist_group("every-dialect")
NODE = [RUNS, *needs_node[1:]]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with mock_process() as mock:
        providers = {name: provider_of(name, mock.url) for name in TYPES}
        config = {"version": 1, "providers": providers, "keys": [{"name": "all", "secret": KEY}]}
        with GatewayProcess(json.dumps(config), tmp_path_factory.mktemp("every")) as gateway:
            yield Lab(gateway, mock)


@pytest.fixture(scope="module", params=["blocking", "asyncio"])
def sdk(request: pytest.FixtureRequest, lab: Lab, runner: asyncio.Runner) -> Iterator[Sdk]:
    options: dict[str, Any] = {"base_url": lab.gateway.api, "api_key": KEY, "max_retries": 0, "timeout": 10}
    client, aclient = openai.OpenAI(**options), openai.AsyncOpenAI(**options)
    yield Sdk(client if request.param == "blocking" else None, aclient, runner)
    client.close()
    runner.run(aclient.close())


# ---- openai-python


class TestPython:
    """Blocking and asyncio."""

    pytestmark = RUNS

    @every_model
    def test_chat(self, sdk: Sdk, model: str) -> None:
        """A whole answer under the name the caller used, with its usage."""
        answer = sdk.call(lambda c: c.chat.completions.create(model=model, messages=USER))
        assert answer.model == model
        assert answer.choices[0].message.content == SAID
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0

    @every_model
    def test_stream(self, sdk: Sdk, model: str) -> None:
        """Deltas join to the answer under one id; the usage that was asked for is in the last chunk."""
        ask = {"model": model, "messages": USER, "stream": True, "stream_options": {"include_usage": True}}
        chunks = sdk.events(lambda c: c.chat.completions.create(**ask))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
        assert len({(chunk.id, chunk.created, chunk.object, chunk.model) for chunk in chunks}) == 1
        assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
        assert chunks[-1].usage.total_tokens > 0

    @every_model
    def test_streamed_tools(self, sdk: Sdk, model: str) -> None:
        """Two parallel calls in a stream; what the SDK joined goes back as it is, and the results are answered."""
        asked: list[Any] = [{"role": "user", "content": "call:one call:two"}]
        tools = [tool("one"), tool("two")]
        ask = {"model": model, "messages": asked, "tools": tools, "stream": True}
        joined = calls_of(sdk.events(lambda c: c.chat.completions.create(**ask)))
        assert [call["function"]["name"] for call in joined] == ["one", "two"]
        assert all(set(json.loads(call["function"]["arguments"])) == {"city", "unit"} for call in joined)
        if model in SIGNED:
            assert joined[0]["extra_content"]["google"]["thought_signature"]
        turn = {"role": "assistant", "content": None, "tool_calls": joined}
        results = [{"role": "tool", "tool_call_id": call["id"], "content": "done"} for call in joined]
        after = sdk.call(
            lambda c: c.chat.completions.create(model=model, messages=[*asked, turn, *results], tools=tools)
        )
        # The mock answers all results, or the last one, as the surface has it.
        assert after.choices[0].message.content in ("tool: donedone", "tool: done")


def calls_of(chunks: list[Any]) -> list[dict[str, Any]]:
    """The calls of a stream, joined as an application does that trusts the indexes."""
    joined: dict[int, dict[str, Any]] = {}
    for part in (part for chunk in chunks for choice in chunk.choices for part in choice.delta.tool_calls or ()):
        if part.index not in joined:
            joined[part.index] = part.model_dump(exclude={"index"}, exclude_none=True)
        else:
            joined[part.index]["function"]["arguments"] += part.function.arguments or ""
    assert list(joined) == list(range(len(joined)))
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    return list(joined.values())


# ---- openai-node


class TestNode:
    """openai-node."""

    pytestmark = NODE

    @every_model
    def test_stream(self, node: Application, model: str) -> None:
        """A stream adds up, without usage that nobody asked for."""
        assert node.play("stream", model=model) == {"text": SAID, "usages": 0, "ids": 1, "finish": "stop"}

    @every_model
    def test_streamed_tools(self, node: Application, model: str) -> None:
        """Two parallel calls, in fragments or whole, add up to both."""
        seen = node.play("tools", model=model, content="call:weather call:time")
        assert seen["calls"] == [["weather", {"city": "city"}], ["time", {"city": "city"}]]
        assert seen["finish"] == "tool_calls"

    @every_model
    def test_tool_runner(self, node: Application, model: str) -> None:
        """The SDK's loop calls the function and gets an answer to its result."""
        assert node.play("runTools", model=model)["text"] == "tool: sunny in city"


# ---- Vercel AI SDK


class TestVercel:
    """The Vercel AI SDK."""

    pytestmark = NODE

    @every_model
    def test_text(self, ai: Application, model: str) -> None:
        """Whole and streamed, with usage."""
        whole = ai.play("generateText", model=model)
        assert (whole["text"], whole["finishReason"]) == ("echo: hello", "stop")
        streamed = ai.play("streamText", model=model)
        assert (streamed["text"], streamed["finishReason"]) == ("echo: hello", "stop")
        assert whole["output"] == streamed["output"] > 0

    @every_model
    def test_tools(self, ai: Application, model: str) -> None:
        """A tool is called, run, and its result answered; whole and streamed."""
        seen = ai.play("tools", model=model)
        assert seen == {"text": "tool: sunny in city", "calls": [["weather", {"city": "city"}]]}
        streamed = ai.play("streamTools", model=model)
        assert streamed["text"] == "tool: sunny in city"
        assert {"tool-call", "tool-result", "text-delta", "finish"} <= set(streamed["seen"])
        assert "error" not in streamed["seen"]
