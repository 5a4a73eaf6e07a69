"""openai-python against the gateway: text in every form that applications ask for, blocking and asyncio."""

from __future__ import annotations

import json
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

from tests.support.gateway import eventually

from .conftest import CHATS, LABS, Lab, Sdk, fault

USER: Any = [{"role": "user", "content": "Grüße 你好 🎈"}]
SAID = "echo: Grüße 你好 🎈"


def function(name: str) -> Any:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    }
    return {"name": name, "parameters": parameters, "strict": True}


def tool(name: str) -> Any:
    return {"type": "function", "function": function(name)}


class Step(BaseModel):
    explanation: str
    output: float


class Solution(BaseModel):
    steps: list[Step]
    verdict: Literal["yes", "no"]


def test_chat(sdk: Sdk) -> None:
    """A whole answer under the name the caller used, with its usage."""
    answer = sdk.call(lambda c: c.chat.completions.create(model="gpt-4o", messages=USER))
    assert answer.object == "chat.completion"
    assert answer.model == "gpt-4o"
    assert answer.choices[0].message.content == SAID
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@pytest.mark.parametrize("model", ["fast", "rescued", "named/gpt-4o", "org/model-7b", "lab/anything"])
def test_the_caller_sees_the_name_it_asked_for(sdk: Sdk, model: str) -> None:
    """Routes, aliases, fallbacks and prefixed names come back as they were written, whole and streamed."""
    assert sdk.call(lambda c: c.chat.completions.create(model=model, messages=USER)).model == model
    chunks = sdk.events(lambda c: c.chat.completions.create(model=model, messages=USER, stream=True))
    assert {chunk.model for chunk in chunks} == {model}


@pytest.mark.parametrize("model", CHATS)
def test_stream(sdk: Sdk, model: str) -> None:
    """Deltas join to the answer; one id and date throughout; no usage unless it was asked for."""
    chunks = sdk.events(lambda c: c.chat.completions.create(model=model, messages=USER, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({(chunk.id, chunk.created, chunk.object) for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)
    assert not any("usage" in chunk.model_fields_set for chunk in chunks)


@pytest.mark.parametrize("options", [{}, {"include_usage": False}, {"include_obfuscation": False}])
def test_stream_options_without_usage(sdk: Sdk, options: Any) -> None:
    """Options that do not ask for usage give none, and every chunk has a choice."""
    chunks = sdk.events(
        lambda c: c.chat.completions.create(model="gpt-4o", messages=USER, stream=True, stream_options=options)
    )
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


def test_stream_options_with_usage(sdk: Sdk) -> None:
    """Usage comes once, last, in a chunk without choices, and equals that of the whole answer."""
    chunks = sdk.events(
        lambda c: c.chat.completions.create(
            model="gpt-4o", messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    whole = sdk.call(lambda c: c.chat.completions.create(model="gpt-4o", messages=USER))
    assert [bool(chunk.choices) for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].usage == whole.usage


@pytest.mark.parametrize("script", ["split-1", "crlf", "comments", "crlf+split-3", "pace-1ms", "no-done", "unicode"])
def test_streams_of_odd_providers(sdk: Sdk, script: str) -> None:
    """However a provider cuts and decorates its stream, the SDK reads the whole answer."""
    chunks = sdk.events(lambda c: c.chat.completions.create(model=fault(script), messages=USER, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.startswith(SAID)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_long_stream(sdk: Sdk) -> None:
    """A thousand tokens arrive as a thousand tokens."""
    chunks = sdk.events(
        lambda c: c.chat.completions.create(
            model=fault("tokens-1000"), messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].usage.completion_tokens == 1000
    assert len(chunks) > 1000


def test_stream_helper(client: openai.OpenAI) -> None:
    """The SDK's accumulator ends with the whole answer."""
    with client.chat.completions.stream(
        model="gpt-4o", messages=USER, stream_options={"include_usage": True}
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == SAID
    assert final.usage is not None


def test_leaving_a_stream_early(lab: Lab, client: openai.OpenAI) -> None:
    """Closing a stream after the first chunk calls the provider off, and leaves a client that works."""
    model = fault("tokens-2000+pace-5ms")
    with client.chat.completions.create(model=model, messages=USER, stream=True) as stream:
        assert next(iter(stream)).choices
    assert client.chat.completions.create(model="gpt-4o", messages=USER).choices[0].message.content == SAID
    assert lab.gateway.logged(requested_model=model)[0]["reason"] == "client_disconnected"
    rows = eventually(lambda: lab.mock.rows(model=model.partition("/")[2]), "the provider's bill")
    assert [row["outcome"] for row in rows] == ["cancelled"]


def test_a_large_question(sdk: Sdk) -> None:
    """Megabytes of messages pass, in characters of every length."""
    messages: Any = [{"role": "user", "content": "äß你🎈 " * 400_000}]
    answer = sdk.call(lambda c: c.chat.completions.create(model="gpt-4o", messages=messages, max_tokens=3))
    assert answer.usage.prompt_tokens == 500_000
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize("model", CHATS)
def test_one_tool(sdk: Sdk, model: str) -> None:
    """A required tool is called with arguments of its schema; its result is answered with text."""
    tools = [tool("weather")]
    first = sdk.call(
        lambda c: c.chat.completions.create(model=model, messages=USER, tools=tools, tool_choice="required")
    )
    choice = first.choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert json.loads(call.function.arguments) == {"city": "city", "unit": "c"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    messages = [*USER, choice.message.model_dump(exclude_none=True), result]
    second = sdk.call(lambda c: c.chat.completions.create(model=model, messages=messages, tools=tools))
    assert second.choices[0].message.content == "tool: sunny"


@pytest.mark.parametrize("model", CHATS)
def test_parallel_tools(sdk: Sdk, model: str) -> None:
    """Two calls in one answer; one when the caller forbids more."""
    ask: Any = {
        "model": model,
        "messages": [{"role": "user", "content": "call:weather call:time"}],
        "tools": [tool("weather"), tool("time")],
    }
    both = sdk.call(lambda c: c.chat.completions.create(**ask))
    assert [call.function.name for call in both.choices[0].message.tool_calls] == ["weather", "time"]
    one = sdk.call(lambda c: c.chat.completions.create(**ask, parallel_tool_calls=False))
    assert len(one.choices[0].message.tool_calls) == 1


@pytest.mark.parametrize("provider", LABS)
def test_streamed_tools(sdk: Sdk, provider: str) -> None:
    """Fragments carry index and id once, and their arguments join to JSON for each call."""
    chunks = sdk.events(
        lambda c: c.chat.completions.create(
            model=fault("calls-2", provider), messages=USER, tools=[tool("weather"), tool("time")], stream=True
        )
    )
    names, arguments = {}, {0: "", 1: ""}
    fragments = 0
    for chunk in chunks:
        for call in chunk.choices[0].delta.tool_calls or ():
            fragments += 1
            if call.id:
                assert call.index not in names
                names[call.index] = call.function.name
            arguments[call.index] += call.function.arguments or ""
    assert names == {0: "weather", 1: "time"}
    assert fragments > 4
    assert [json.loads(text) for text in arguments.values()] == [{"city": "city", "unit": "c"}] * 2
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_structured_output(sdk: Sdk) -> None:
    """`parse` gives an instance of the caller's class, in chat and in responses; `json_object` gives JSON."""
    parsed = sdk.call(lambda c: c.chat.completions.parse(model="gpt-4o", messages=USER, response_format=Solution))
    assert isinstance(parsed.choices[0].message.parsed, Solution)
    responded = sdk.call(lambda c: c.responses.parse(model="gpt-4o", input="x", text_format=Solution))
    assert isinstance(responded.output_parsed, Solution)
    plain = sdk.call(
        lambda c: c.chat.completions.create(model="gpt-4o", messages=USER, response_format={"type": "json_object"})
    )
    assert isinstance(json.loads(plain.choices[0].message.content), dict)


def test_structured_output_in_a_stream(client: openai.OpenAI) -> None:
    """The stream helper parses into the caller's class."""
    with client.chat.completions.stream(model="gpt-4o", messages=USER, response_format=Solution) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Solution)


def test_several_choices(sdk: Sdk) -> None:
    """`n` choices come with their index, whole and streamed."""
    answer = sdk.call(lambda c: c.chat.completions.create(model="gpt-4o", messages=USER, n=3))
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    texts = dict.fromkeys(range(3), "")
    for chunk in sdk.events(lambda c: c.chat.completions.create(model="gpt-4o", messages=USER, n=3, stream=True)):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {choice.index: choice.message.content for choice in answer.choices}


def test_logprobs(sdk: Sdk) -> None:
    """Log probabilities join to the text, whole and streamed."""
    answer = sdk.call(lambda c: c.chat.completions.create(model="gpt-4o", messages=USER, logprobs=True, top_logprobs=2))
    assert "".join(one.token for one in answer.choices[0].logprobs.content) == SAID
    chunks = sdk.events(lambda c: c.chat.completions.create(model="gpt-4o", messages=USER, logprobs=True, stream=True))
    seen = [one.token for chunk in chunks if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content]
    assert "".join(seen) == SAID


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("gpt-4o", {"max_tokens": 2}, "length"),
        ("gpt-4o", {"max_completion_tokens": 2}, "length"),
        ("gpt-4o", {"stop": ["你"]}, "stop"),
        ("lab/mock-fault/content-filter", {}, "content_filter"),
    ],
)
def test_finish_reasons(sdk: Sdk, model: str, options: Any, reason: str) -> None:
    """Why an answer ended is the provider's word, whole and streamed."""
    ask: Any = {"model": model, "messages": USER, **options}
    assert sdk.call(lambda c: c.chat.completions.create(**ask)).choices[0].finish_reason == reason
    assert sdk.events(lambda c: c.chat.completions.create(**ask, stream=True))[-1].choices[0].finish_reason == reason


def test_every_kind_of_content(sdk: Sdk, lab: Lab) -> None:
    """Images, files, developer messages and fields the SDK does not know reach the provider as they were sent."""
    parts: Any = [
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGk="}},
    ]
    messages: Any = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": parts}]
    model = fault("tokens-3")
    answer = sdk.call(
        lambda c: c.chat.completions.create(
            model=model, messages=messages, seed=7, reasoning_effort="low", extra_body={"top_k": 5}
        )
    )
    assert answer.choices[0].message.content
    name = model.partition("/")[2]
    (body,) = [json.loads(seen.body) for seen in lab.mock.seen() if f'"{name}"' in seen.body]
    assert body == {
        "model": name,
        "messages": messages,
        "seed": 7,
        "reasoning_effort": "low",
        "top_k": 5,
    }


def test_reasoning_and_cached_tokens(sdk: Sdk) -> None:
    """The details of usage arrive."""
    answer = sdk.call(
        lambda c: c.chat.completions.create(
            model=fault("reasoning-8+cached-2"), messages=[{"role": "user", "content": "a long enough question"}]
        )
    )
    assert answer.usage.completion_tokens_details.reasoning_tokens == 8
    assert answer.usage.prompt_tokens_details.cached_tokens == 2


def test_completions(sdk: Sdk) -> None:
    """Prompts times `n` choices, whole; one text, streamed; usage if asked for."""
    answer = sdk.call(lambda c: c.completions.create(model="gpt-4o", prompt=["a", "b"], n=2))
    assert [choice.text for choice in answer.choices] == ["echo: a", "echo[1]: a", "echo: b", "echo[1]: b"]
    chunks = sdk.events(lambda c: c.completions.create(model="gpt-4o", prompt="hello", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "echo: hello"
    counted = sdk.events(
        lambda c: c.completions.create(
            model="gpt-4o", prompt="hello", stream=True, stream_options={"include_usage": True}
        )
    )
    assert counted[-1].usage.completion_tokens == 3


def test_responses(sdk: Sdk) -> None:
    """Text, usage and the model's name of a whole response."""
    answer = sdk.call(lambda c: c.responses.create(model="gpt-4o", input="hello", instructions="be brief"))
    assert answer.output_text == "echo: hello"
    assert answer.model == "gpt-4o"
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_responses_stream(sdk: Sdk) -> None:
    """Events are numbered without a gap, their deltas join, and the last one holds the whole response."""
    events = sdk.events(lambda c: c.responses.create(model="gpt-4o", input="hello", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "echo: hello"
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert events[-1].response.output_text == "echo: hello"
    assert {event.response.model for event in events if hasattr(event, "response")} == {"gpt-4o"}


def test_responses_tools(sdk: Sdk) -> None:
    """A function call comes whole, and in fragments that join to its arguments."""
    tools: Any = [{"type": "function", **function("weather")}]
    answer = sdk.call(lambda c: c.responses.create(model="gpt-4o", input="x", tools=tools, tool_choice="required"))
    assert [item.type for item in answer.output] == ["function_call"]
    events = sdk.events(
        lambda c: c.responses.create(model="gpt-4o", input="x", tools=tools, tool_choice="required", stream=True)
    )
    joined = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
    assert json.loads(joined) == json.loads(answer.output[0].arguments) == {"city": "city", "unit": "c"}


def test_responses_stream_helper(client: openai.OpenAI) -> None:
    """The SDK's accumulator takes every event."""
    with client.responses.stream(model=fault("reasoning-4"), input="hello") as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert final.output_text == "echo: hello"
    assert "response.reasoning_summary_text.delta" in kinds
