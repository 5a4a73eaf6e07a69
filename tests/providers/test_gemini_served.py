"""Gemini behind the gateway, over sockets: OpenAI's SDK does not notice, and what is booked is what was charged."""

from __future__ import annotations

import base64
import json
from array import array
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support import served
from tests.support.app import Gateway, running
from tests.support.gateway import Mock
from tests.support.served import client, mock

__all__ = ["client", "mock"]
CONFIG = """
version: 1
providers:
  gemini:
    type: gemini
    base_url: {mock}
    api_key: gemini-canary-7c41
    allow_private_network: true
    retry_attempts: 0
    models:
      gemini-3-flash-preview: {{price: {{input: 0.5, output: 3, cached_input: 0.05}}}}
      gemini-3-pro-image: {{parameters: {{modalities: [text, image]}}}}
      gemini-embedding-001: {{price: {{input: 0.15}}}}
  lab: {{type: gemini, base_url: "{mock}", api_key: k, allow_private_network: true, retry_attempts: 0}}
  plain:
    type: openai_compatible
    base_url: {mock}
    allow_private_network: true
    models: {{gpt: {{price: {{input: 0.5, output: 3, cached_input: 0.05}}}}}}
routes:
  - name: rescued
    match: {{model: rescued}}
    targets: [{{provider: lab, model: mock-fault/error-after-0}}, {{provider: plain, model: gpt}}]
"""
MODEL = "gemini-3-flash-preview"


@pytest.fixture(scope="module")
def gateway(mock: Mock) -> Iterator[Gateway]:
    with running(CONFIG.format(mock=mock.url)) as gateway:
        yield gateway


def test_chat(client: openai.OpenAI) -> None:
    """A whole answer, under the name that was asked for, with its counts."""
    served.chats(client, MODEL)


def test_stream(client: openai.OpenAI) -> None:
    """A stream: text in pieces, usage when asked for."""
    served.streams(client, MODEL)


@pytest.mark.parametrize("stream", [False, True])
def test_several_choices(client: openai.OpenAI, stream: bool) -> None:
    """`n` choices, each with its own text, calls and finish reason; one count for all of them."""
    if not stream:
        reply = client.chat.completions.create(model=MODEL, messages=served.ask("x"), n=2)
        assert [choice.message.content for choice in reply.choices] == ["echo: x", "echo[1]: x"]
        return
    with client.chat.completions.stream(
        model=MODEL, messages=served.ask("call:weather"), n=2, tools=served.TOOLS
    ) as events:
        choices = events.get_final_completion().choices
    assert [choice.finish_reason for choice in choices] == ["tool_calls", "tool_calls"]
    ids = {call.id for choice in choices for call in choice.message.tool_calls or ()}
    assert len(ids) == 2


def test_tools_in_a_stream(client: openai.OpenAI, mock: Mock) -> None:
    """The SDK's own accumulator puts parallel calls together; their results go back signed and are answered."""
    assert served.calls_tools(client, MODEL) == "tool: result 0result 1"
    sent = json.loads(mock.seen()[-1].body)["contents"]
    assert sent[1]["parts"][0]["thoughtSignature"] == "bW9jaw=="


def test_structured_output(client: openai.OpenAI) -> None:
    """A JSON Schema is the provider's own structured output."""
    served.gives_json(client, MODEL)


def test_bug_34_vectors_have_the_encoding_that_was_asked_for(client: openai.OpenAI) -> None:
    """The SDK asks for base64 when the caller names no format, and gets as many numbers as it wanted, all the same."""
    plain = client.embeddings.create(model="gemini-embedding-001", input="x", dimensions=12, encoding_format="float")
    packed = client.embeddings.create(model="gemini-embedding-001", input="x", dimensions=12)
    assert len(packed.data[0].embedding) == 12
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
    raw: Any = client.embeddings.create(
        model="gemini-embedding-001", input="x", dimensions=12, encoding_format="base64"
    )
    assert len(array("f", base64.b64decode(raw.data[0].embedding))) == 12


def test_many_inputs_are_split(client: openai.OpenAI, mock: Mock) -> None:
    """Google takes a hundred texts at once: longer lists come back whole and in order."""
    before = len(mock.rows(model="gemini-embedding-001"))
    texts = [f"text {number}" for number in range(230)]
    reply = client.embeddings.create(model="gemini-embedding-001", input=texts, encoding_format="float", dimensions=3)
    assert [item.index for item in reply.data] == list(range(230))
    alone = client.embeddings.create(
        model="gemini-embedding-001", input=texts[201], encoding_format="float", dimensions=3
    )
    assert reply.data[201].embedding == alone.data[0].embedding
    assert len(mock.rows(model="gemini-embedding-001")) - before == 4


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("status-503", 503, "upstream_overloaded"),
        ("status-429+retry-after-3", 429, "upstream_rate_limited"),
        ("status-401", 502, "provider_auth"),
        ("status-500", 502, "upstream_error"),
        ("context-length", 400, "context_length_exceeded"),
        ("error-in-200", 502, "upstream_error"),
    ],
)
def test_errors(gateway: Gateway, script: str, status: int, code: str) -> None:
    """Each failure of Google's has the status and code that clients of OpenAI know."""
    served.fails(gateway, "lab", script, (status, code))


def test_broken_streams(gateway: Gateway) -> None:
    """A stream that breaks ends with an error frame and `[DONE]`, whether it says so, is cut or is garbled."""
    served.breaks(gateway, "lab", "error-after-5", "end-after-5", "malformed-after-5", "no-done+end-after-6")


def test_failing_before_a_word_falls_over(gateway: Gateway) -> None:
    """An error event before the first word leaves room for another deployment, streamed or not."""
    served.falls_over(gateway)


@pytest.mark.parametrize("stream", [False, True])
def test_cost_is_that_of_any_provider(gateway: Gateway, mock: Mock, stream: bool) -> None:
    """The same prices and counts give the same cost as a provider that speaks OpenAI's API, and the provider's bill."""
    lines = []
    for model in (MODEL, "gpt"):
        assert gateway.chat(model, (("x-request-id", f"cost-{model}-{stream}"),), stream=stream).status == 200
        lines.append(gateway.line(f"cost-{model}-{stream}"))
    gemini, plain = lines
    for name in ("input_tokens", "output_tokens", "token_source", "cost_nano_usd"):
        assert gemini[name] == plain[name]
    row = mock.rows(model=MODEL)[-1]
    assert (row["input_tokens"], row["output_tokens"]) == (gemini["input_tokens"], gemini["output_tokens"])


def test_reasoning(client: openai.OpenAI) -> None:
    """Thoughts are shown and counted as reasoning within the output."""
    reply = client.chat.completions.create(model="lab/mock-fault/reasoning-8", messages=served.ask("hm"))
    assert getattr(reply.choices[0].message, "reasoning_content", "").startswith("thinking about it")
    assert reply.usage is not None
    assert reply.usage.completion_tokens_details is not None
    assert reply.usage.completion_tokens_details.reasoning_tokens == 8


def test_credential_stays_here(gateway: Gateway) -> None:
    """The key reaches neither clients nor the log."""
    reply = gateway.chat("lab/mock-fault/status-400")
    assert reply.status == 400
    assert b"gemini-canary" not in reply.body + gateway.log_with(reply)


@pytest.mark.parametrize("stream", [False, True])
def test_pictures_that_a_model_makes(client: openai.OpenAI, stream: bool) -> None:
    """They are `images` of the message, and go back as they came, with what Google signed them with."""
    asked: list[Any] = [{"role": "user", "content": "draw"}]
    wanted: dict[str, Any] = {"modalities": ["text", "image"]}
    if stream:
        chunks = list(client.chat.completions.create(model=MODEL, messages=asked, stream=True, extra_body=wanted))
        deltas = [choice.delta.model_dump() for chunk in chunks for choice in chunk.choices]
        assert "".join(delta["content"] or "" for delta in deltas) == "echo: draw"
        images = [image for delta in deltas for image in delta.get("images") or ()]
    else:
        reply = client.chat.completions.create(model=MODEL, messages=asked, extra_body=wanted)
        message = reply.choices[0].message.model_dump()
        assert message["content"] == "echo: draw"
        images = message["images"]
    assert [image["index"] for image in images] == [0]
    kind, _, data = images[0]["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG")
    back = [*asked, {"role": "assistant", "content": "echo: draw", "images": images}, {"role": "user", "content": "x"}]
    assert client.chat.completions.create(model=MODEL, messages=back).choices[0].message.content == "echo: x"


@pytest.mark.parametrize("stream", [False, True])
def test_pictures_in_responses(client: openai.OpenAI, mock: Mock, stream: bool) -> None:
    """They are calls of image generation there, and go back with the conversation, signature and all."""
    asked: list[Any] = [{"role": "user", "content": "draw"}]
    if stream:
        with client.responses.stream(model="gemini-3-pro-image", input=asked) as events:
            kinds = [event.type for event in events]
            reply: Any = events.get_final_response()
        assert kinds.count("response.image_generation_call.completed") == 1
    else:
        reply = client.responses.create(model="gemini-3-pro-image", input=asked)
    assert reply.output_text == "echo: draw"
    [made] = [item for item in reply.output if item.type == "image_generation_call"]
    assert base64.b64decode(made.result).startswith(b"\x89PNG")
    said = [item.model_dump(exclude_none=True) for item in reply.output]
    back: list[Any] = [*asked, *said, {"role": "user", "content": "x"}]
    assert client.responses.create(model="gemini-3-pro-image", input=back).output_text == "echo: x"
    parts = json.loads(mock.seen()[-1].body)["contents"][1]["parts"]
    [drawn] = [part for part in parts if "inlineData" in part]
    assert drawn["inlineData"] == {"mimeType": "image/png", "data": made.result}
    assert drawn["thoughtSignature"] == "bW9jaw=="
