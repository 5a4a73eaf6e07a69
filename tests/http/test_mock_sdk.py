"""The scripted provider through the real OpenAI SDK: every shape parses into its types."""

from __future__ import annotations

import base64
import io
import json
import wave
from collections.abc import Iterator
from typing import Any, Literal

import openai
import pytest
from pydantic import BaseModel

from tests.support.scripted_server import ScriptedServer, scripted_server

USER: Any = [{"role": "user", "content": "Grüße 你好 🎈"}]


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ScriptedServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=10) as client:
        yield client


def tool(name: str) -> Any:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["c", "f"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "parameters": parameters, "strict": True}}


class Step(BaseModel):
    explanation: str
    output: float


class Solution(BaseModel):
    steps: list[Step]
    verdict: Literal["yes", "no"]


def test_chat(client: openai.OpenAI) -> None:
    """A whole answer, with logprobs on demand."""
    answer = client.chat.completions.create(model="mock-small", messages=USER, logprobs=True)
    assert answer.choices[0].message.content == "echo: Grüße 你好 🎈"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.choices[0].logprobs is not None
    assert "".join(one.token for one in answer.choices[0].logprobs.content or ()) == "echo: Grüße 你好 🎈"


@pytest.mark.parametrize("script", ["", "split-1", "crlf", "comments", "crlf;split-3", "pace-1ms"])
def test_chat_stream(client: openai.OpenAI, script: str) -> None:
    """A stream accumulates to the whole answer however its bytes are cut."""
    with client.chat.completions.stream(
        model="mock-small",
        messages=USER,
        stream_options={"include_usage": True},
        extra_headers={"x-mock-script": script},
    ) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "echo: Grüße 你好 🎈"
    assert final.usage is not None
    assert final.usage.completion_tokens == 4


def test_parallel_tools_in_a_stream(client: openai.OpenAI) -> None:
    """The SDK accumulates two calls, whose arguments satisfy their schema."""
    with client.chat.completions.stream(
        model="mock-fault/calls-2", messages=USER, tools=[tool("weather"), tool("time")]
    ) as stream:
        choice = stream.get_final_completion().choices[0]
    assert choice.finish_reason == "tool_calls"
    calls: Any = choice.message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "time"]
    assert all(json.loads(call.function.arguments) == {"city": "city", "unit": "c"} for call in calls)


def test_a_tool_round_trip(client: openai.OpenAI) -> None:
    """A required tool is called; its result is answered with text."""
    first = client.chat.completions.create(
        model="mock-small", messages=USER, tools=[tool("weather")], tool_choice="required"
    )
    calls: Any = first.choices[0].message.tool_calls
    result = {"role": "tool", "tool_call_id": calls[0].id, "content": "sunny"}
    messages: Any = [*USER, first.choices[0].message.model_dump(exclude_none=True), result]
    second = client.chat.completions.create(model="mock-small", messages=messages, tools=[tool("weather")])
    assert second.choices[0].message.content == "tool: sunny"


def test_structured_output(client: openai.OpenAI) -> None:
    """`parse` gets an instance of its model, in chat and in responses; `json_object` gets JSON."""
    parsed = client.chat.completions.parse(model="mock-small", messages=USER, response_format=Solution)
    assert isinstance(parsed.choices[0].message.parsed, Solution)
    responded = client.responses.parse(model="mock-small", input="x", text_format=Solution)
    assert isinstance(responded.output_parsed, Solution)
    plain = client.chat.completions.create(model="mock-small", messages=USER, response_format={"type": "json_object"})
    assert isinstance(json.loads(plain.choices[0].message.content or ""), dict)


def test_completions(client: openai.OpenAI) -> None:
    """Prompts times `n` choices, whole and streamed."""
    answer = client.completions.create(model="mock-small", prompt=["a", "b"], n=2)
    assert [choice.text for choice in answer.choices] == ["echo: a", "echo[1]: a", "echo: b", "echo[1]: b"]
    chunks = list(client.completions.create(model="mock-small", prompt="hello", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "echo: hello"


def test_embeddings(client: openai.OpenAI) -> None:
    """The SDK's base64 default and explicit floats give the same vectors."""
    default = client.embeddings.create(model="mock-embed", input=["a", "b"], dimensions=8)
    floats = client.embeddings.create(model="mock-embed", input=["a", "b"], dimensions=8, encoding_format="float")
    assert [one.embedding for one in default.data] == [pytest.approx(one.embedding) for one in floats.data]
    assert {len(one.embedding) for one in default.data} == {8}


def test_responses(client: openai.OpenAI) -> None:
    """Text, usage and tool calls of a whole response."""
    answer = client.responses.create(model="mock-small", input="hello", instructions="be brief")
    assert answer.output_text == "echo: hello"
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (2 + 2, 3)
    flat: Any = {"type": "function", **tool("weather")["function"]}
    called = client.responses.create(model="mock-small", input="x", tools=[flat], tool_choice="required")
    assert [item.type for item in called.output] == ["function_call"]


def test_responses_stream(client: openai.OpenAI) -> None:
    """The SDK's accumulator takes every event and ends with the whole response."""
    flat: Any = {"type": "function", **tool("weather")["function"]}
    with client.responses.stream(model="mock-fault/reasoning-4", input="hello") as stream:
        seen = {event.type for event in stream}
        final = stream.get_final_response()
    assert final.output_text == "echo: hello"
    assert {"response.created", "response.output_text.delta", "response.reasoning_summary_text.delta"} <= seen
    with client.responses.stream(model="mock-small", input="call:weather", tools=[flat]) as stream:
        names = [event.type for event in stream]
    assert "response.function_call_arguments.done" in names


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_audio(client: openai.OpenAI) -> None:
    """Speech is a playable WAV file; transcriptions come in every format and as a stream."""
    sound = client.audio.speech.create(model="mock-audio", voice="alloy", input="hello", response_format="wav").content
    with wave.open(io.BytesIO(sound)) as file:
        assert (file.getnchannels(), file.getnframes()) == (1, 5 * 80)
    upload = ("a.wav", sound)
    heard: Any = client.audio.transcriptions.create(model="mock-audio", file=upload)
    assert heard.text.startswith(f"transcript of a.wav: {len(sound)} bytes")
    assert heard.usage.type == "tokens"
    verbose: Any = client.audio.transcriptions.create(
        model="mock-audio", file=upload, response_format="verbose_json", timestamp_granularities=["segment"]
    )
    assert verbose.segments[0].text == heard.text
    plain: dict[str, Any] = {
        form: client.audio.transcriptions.create(model="mock-audio", file=upload, response_format=form)
        for form in ("text", "srt", "vtt")
    }
    assert plain["text"].strip() == heard.text
    assert plain["srt"].startswith("1\n00:00:00,000 --> ")
    assert plain["vtt"].startswith("WEBVTT")
    events = list(client.audio.transcriptions.create(model="mock-audio", file=upload, stream=True))
    assert events[-1].type == "transcript.text.done"
    assert "".join(event.delta for event in events if event.type == "transcript.text.delta") == heard.text
    assert client.audio.translations.create(model="mock-audio", file=upload).text == heard.text


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_images(client: openai.OpenAI) -> None:
    """Generated and edited images are PNG files."""
    made = client.images.generate(model="mock-image", prompt="a cat", n=2)
    edited = client.images.edit(model="mock-image", image=("a.png", b"bytes"), prompt="a dog")
    varied = client.images.create_variation(image=("a.png", b"bytes"))
    images = [*(made.data or ()), *(edited.data or ()), *(varied.data or ())]
    assert len(images) == 4
    assert all(base64.b64decode(one.b64_json or "").startswith(b"\x89PNG") for one in images)
    streamed = list(client.images.generate(model="mock-image", prompt="a cat", stream=True))
    assert [event.type for event in streamed] == ["image_generation.completed"]


def test_moderations(client: openai.OpenAI) -> None:
    """Flags follow the text, one result per input."""
    results = client.moderations.create(input=["violence!", "flowers"]).results
    assert [one.flagged for one in results] == [True, False]
    assert results[0].categories.violence


def test_models(client: openai.OpenAI) -> None:
    """The list and its members; unknown ones are a 404, fault models with a slash exist."""
    assert next(client.models.retrieve(one.id).id for one in client.models.list()) == "mock-small"
    assert client.models.retrieve("mock-fault/hang").id == "mock-fault/hang"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-nothing")


def test_errors_raise_the_sdks_classes(client: openai.OpenAI) -> None:
    """Statuses and error events become the exceptions applications catch."""
    with pytest.raises(openai.RateLimitError) as limited:
        client.chat.completions.create(model="mock-fault/insufficient-quota", messages=USER)
    assert limited.value.code == "insufficient_quota"
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="mock-fault/status-503", messages=USER)
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="mock-fault/error-after-2", messages=USER, stream=True))
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="mock-fault/context-length", messages=USER)
