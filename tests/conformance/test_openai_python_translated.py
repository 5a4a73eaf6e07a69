"""openai-python against providers that are translated, blocking and asyncio: applications do not notice.

Not among `CHATS`: none can be kept from parallel calls, and Gemini sends them whole.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conftest import Sdk
from .test_openai_python import SAID, USER, tool

MODELS = pytest.mark.parametrize("model", ["gemini/any", "cohere/any", "watsonx/any"])


@MODELS
def test_chat(sdk: Sdk, model: str) -> None:
    """A whole answer under the name the caller used, with its usage."""
    answer = sdk.call(lambda c: c.chat.completions.create(model=model, messages=USER))
    assert answer.model == model
    assert answer.choices[0].message.content == SAID
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@MODELS
def test_stream(sdk: Sdk, model: str) -> None:
    """Deltas join to the answer; one id and date throughout; no usage unless it was asked for."""
    chunks = sdk.events(lambda c: c.chat.completions.create(model=model, messages=USER, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({(chunk.id, chunk.created, chunk.object) for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


@MODELS
def test_tools(sdk: Sdk, model: str) -> None:
    """Calls, their results, and the answer: what the SDK was given goes back as it is, signatures among it."""
    messages: list[Any] = [{"role": "user", "content": "call:one call:two"}]
    tools = [tool("one"), tool("two")]
    answer = sdk.call(lambda c: c.chat.completions.create(model=model, messages=messages, tools=tools))
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    assert [call.function.name for call in choice.message.tool_calls] == ["one", "two"]
    for call in choice.message.tool_calls:
        assert set(json.loads(call.function.arguments)) == {"city", "unit"}
    turn = choice.message.model_dump(exclude_none=True)
    if model.startswith("gemini"):
        assert turn["tool_calls"][0]["extra_content"]["google"]["thought_signature"]
    results = [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in choice.message.tool_calls]
    after = sdk.call(
        lambda c: c.chat.completions.create(model=model, messages=[*messages, turn, *results], tools=tools)
    )
    # The mock answers all results, or the last one, as the surface has it.
    assert after.choices[0].message.content in ("tool: donedone", "tool: done")
