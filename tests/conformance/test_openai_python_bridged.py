"""OpenAI's Python SDK where the API that it speaks is not the provider's: applications must not notice."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from .conftest import RESPONDERS, Lab, Sdk, fault

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TIME: Any = {**WEATHER, "name": "time"}
FUNCTIONS: Any = [
    {"type": "function", "function": {key: tool[key] for key in ("name", "description", "parameters")}}
    for tool in (WEATHER, TIME)
]
PRO = "pro/any"
USER: Any = [{"role": "user", "content": "hello"}]


class Place(BaseModel):
    city: str


def broken(stream: Any) -> list[Any]:
    """What came of a stream before the error in which it ends."""
    got: list[Any] = []
    with pytest.raises(openai.APIError):
        got.extend(iter_into(stream, got))
    return got


def iter_into(stream: Any, got: list[Any]) -> list[Any]:
    """Keeps each event at once: what came before a failure must not be lost with it."""
    for event in stream:
        got.append(event)  # noqa: PERF402 - a copy of a list that never is whole
    return []


@pytest.fixture(params=RESPONDERS)
def model(request: pytest.FixtureRequest) -> str:
    return f"{request.param}/any"


def test_responses(sdk: Sdk, model: str) -> None:
    """Text, usage and the model's name; a default call stores nothing, and says so."""
    answer = sdk.call(lambda c: c.responses.create(model=model, input="grüße 🎈", instructions="be brief"))
    assert answer.output_text == "echo: grüße 🎈"
    assert (answer.model, answer.status, answer.store, answer.instructions) == (model, "completed", False, "be brief")
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0


def test_events(sdk: Sdk, model: str) -> None:
    """Events are numbered without a gap, their deltas join, and the last one holds the whole response."""
    events = sdk.events(lambda c: c.responses.create(model=model, input="hello", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "echo: hello"
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert events[-1].response.output_text == "echo: hello"
    assert events[-1].response.usage.output_tokens == 3


def test_a_loop_of_tools(client: openai.OpenAI, model: str) -> None:
    """The SDK's accumulator puts parallel calls together; sent back as they came, with their results, they are
    answered."""
    items: list[Any] = [{"role": "user", "content": "call:weather call:time"}]
    with client.responses.stream(model=model, input=items, tools=[WEATHER, TIME]) as stream:
        final = stream.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["weather", "time"]
    assert all(set(json.loads(call.arguments)) == {"city"} for call in calls)
    items += final.output
    items += [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"result {at}"}
        for at, call in enumerate(calls)
    ]
    answer = client.responses.create(model=model, input=items, tools=[WEATHER, TIME])
    assert answer.output_text.startswith("tool: ")
    assert "result 1" in answer.output_text


def test_structured_output(sdk: Sdk, model: str) -> None:
    """`parse` gives an instance of the caller's class."""
    parsed = sdk.call(lambda c: c.responses.parse(model=model, input="where?", text_format=Place))
    assert isinstance(parsed.output_parsed, Place)


def test_structured_output_in_a_stream(client: openai.OpenAI, model: str) -> None:
    """The stream helper does too."""
    with client.responses.stream(model=model, input="where?", text_format=Place) as stream:
        final = stream.get_final_response()
    assert isinstance(final.output_parsed, Place)


def test_an_answer_cut_short(sdk: Sdk, model: str) -> None:
    """The limit of the caller's ends a response as `incomplete`, whole and streamed."""
    answer = sdk.call(lambda c: c.responses.create(model=model, input="one two three four", max_output_tokens=2))
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    events = sdk.events(
        lambda c: c.responses.create(model=model, input="one two three four", max_output_tokens=2, stream=True)
    )
    assert events[-1].type == "response.incomplete"


@pytest.mark.parametrize("provider", RESPONDERS)
def test_reasoning(client: openai.OpenAI, lab: Lab, provider: str) -> None:
    """Reasoning is shown as a summary, and what its provider wants back returns with the conversation."""
    model = fault("reasoning-8", provider)
    with client.responses.stream(model=model, input="hm") as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert "response.reasoning_summary_text.delta" in kinds
    assert final.output[0].type == "reasoning"
    assert final.output[0].summary[0].text.startswith("thinking about it")
    assert final.usage is not None
    assert final.usage.output_tokens_details.reasoning_tokens == 8
    items: list[Any] = [{"role": "user", "content": "hm"}, *final.output, {"role": "user", "content": "and?"}]
    assert client.responses.create(model=f"{provider}/any", input=items).output_text == "echo: and?"
    sent = lab.mock.seen()[-1].body
    assert ("signature" in sent) == (provider == "claude")


@pytest.mark.parametrize("script", ["cut-after-2500", "end-after-5", "malformed-after-5", "error-after-5"])
@pytest.mark.parametrize("provider", RESPONDERS)
def test_broken_streams(client: openai.OpenAI, script: str, provider: str) -> None:
    """What came before is delivered, then an APIError is raised: a stream never just ends."""
    stream = client.responses.create(model=fault(f"{script}+tokens-50", provider), input="x", stream=True)
    kinds = [event.type for event in broken(stream)]
    assert "response.output_text.delta" in kinds
    assert "response.completed" not in kinds


def test_failing_over_to_another_api(client: openai.OpenAI, lab: Lab) -> None:
    """One plan leads from a provider that has the Responses API to one that has not, and on refusals both ways."""
    answer = client.responses.with_raw_response.create(model="saved", input="hello")
    assert (answer.headers["x-gateway-provider"], answer.headers["x-gateway-attempts"]) == ("claude", "2")
    assert answer.parse().output_text == "echo: hello"
    native = client.responses.with_raw_response.create(model="either", input="hello")
    assert native.headers["x-gateway-provider"] == "named"


@pytest.mark.parametrize("provider", RESPONDERS)
def test_what_needs_a_state(client: openai.OpenAI, provider: str) -> None:
    """What cannot be had is refused by name, with what to do instead."""
    asks: list[tuple[str, dict[str, Any]]] = [
        ("previous_response_id", {"previous_response_id": "resp_1"}),
        ("background", {"background": True}),
        ("tools[0].type", {"tools": [{"type": "web_search"}]}),
    ]
    for param, more in asks:
        with pytest.raises(openai.BadRequestError) as refused:
            client.responses.create(model=f"{provider}/any", input="x", **more)
        assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")


def test_over_two_bridges(client: openai.OpenAI) -> None:
    """Anthropic's Messages API, asked of a model that has only the Responses API."""
    body = {"model": PRO, "max_tokens": 50, "messages": USER}
    reply: Any = client.post("/messages", cast_to=object, body=body)
    assert (reply["type"], reply["content"], reply["stop_reason"]) == (
        "message",
        [{"type": "text", "text": "echo: hello"}],
        "end_turn",
    )
    assert reply["usage"]["output_tokens"] == 3


# ---- chat, where there is only the Responses API ---------------------------------------------------------------------


def test_chat(sdk: Sdk) -> None:
    """A whole answer with its counts, and a stream with usage at its end."""
    reply = sdk.call(lambda c: c.chat.completions.create(model=PRO, messages=USER))
    assert reply.choices[0].message.content == "echo: hello"
    assert (reply.model, reply.choices[0].finish_reason, reply.usage.completion_tokens) == (PRO, "stop", 3)
    chunks = sdk.events(
        lambda c: c.chat.completions.create(
            model=PRO, messages=USER, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "echo: hello"
    assert chunks[-1].usage.completion_tokens == 3


def test_chat_with_tools(client: openai.OpenAI) -> None:
    """Parallel calls in a stream, and their results."""
    messages: list[Any] = [{"role": "user", "content": "call:weather call:time"}]
    with client.chat.completions.stream(model=PRO, messages=messages, tools=FUNCTIONS) as stream:
        message = stream.get_final_completion().choices[0].message
    assert [call.function.name for call in message.tool_calls or ()] == ["weather", "time"]
    messages.append(message.model_dump(exclude_none=True, exclude={"parsed"}))
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": f"result {at}"}
        for at, call in enumerate(message.tool_calls or ())
    ]
    reply = client.chat.completions.create(model=PRO, messages=messages, tools=FUNCTIONS)
    assert (reply.choices[0].message.content or "").startswith("tool: ")


def test_chat_parses(sdk: Sdk) -> None:
    """Structured output, whole and streamed."""
    parsed = sdk.call(lambda c: c.chat.completions.parse(model=PRO, messages=USER, response_format=Place))
    assert isinstance(parsed.choices[0].message.parsed, Place)


@pytest.mark.parametrize("script", ["cut-after-2500", "end-after-5", "malformed-after-5", "error-after-5"])
def test_broken_chats(client: openai.OpenAI, script: str) -> None:
    """A stream that breaks raises, after what came before."""
    stream = client.chat.completions.create(model=fault(f"{script}+tokens-50", "pro"), messages=USER, stream=True)
    assert len(broken(stream)) > 1
