"""Cohere behind the gateway, over sockets: OpenAI's SDK does not notice, and what is booked is what was charged."""

from __future__ import annotations

import json
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
  cohere:
    type: cohere
    base_url: {mock}
    api_key: cohere-canary-7c41
    allow_private_network: true
    retry_attempts: 0
    models:
      command-a-03-2025: {{price: {{input: 2.5, output: 10}}}}
      embed-v4.0: {{price: {{input: 0.12}}}}
      rerank-v3.5: {{price: {{per_unit: 0.002}}}}
  lab: {{type: cohere, base_url: "{mock}", api_key: k, allow_private_network: true, retry_attempts: 0}}
  plain:
    type: openai_compatible
    base_url: {mock}
    allow_private_network: true
    models: {{gpt: {{price: {{input: 2.5, output: 10}}}}}}
routes:
  - name: rescued
    match: {{model: rescued}}
    targets: [{{provider: lab, model: mock-fault/error-after-0}}, {{provider: plain, model: gpt}}]
"""
MODEL = "command-a-03-2025"
DOCUMENTS = ["a red house", {"text": "a blue boat on the sea"}, "the sea"]


@pytest.fixture(scope="module")
def gateway(mock: Mock) -> Iterator[Gateway]:
    base = mock.url.removesuffix("/v1")
    with running(CONFIG.format(mock=base)) as gateway:
        yield gateway


def test_chat(client: openai.OpenAI) -> None:
    """Whole answers and streams, with the counts that are billed."""
    served.chats(client, MODEL)
    served.streams(client, MODEL)


def test_tools_in_a_stream(client: openai.OpenAI) -> None:
    """Parallel calls, their results, and the answer."""
    served.calls_tools(client, MODEL)


def test_structured_output(client: openai.OpenAI) -> None:
    """A JSON Schema is the provider's own structured output."""
    served.gives_json(client, MODEL)


def test_many_inputs_are_split(client: openai.OpenAI, mock: Mock) -> None:
    """Cohere takes 96 texts at once: longer lists come back whole and in order, in the SDK's own encoding."""
    before = len(mock.rows(model="embed-v4.0"))
    texts = [f"text {number}" for number in range(200)]
    reply = client.embeddings.create(model="embed-v4.0", input=texts, dimensions=3)
    assert [item.index for item in reply.data] == list(range(200))
    alone = client.embeddings.create(model="embed-v4.0", input=texts[150], dimensions=3)
    assert reply.data[150].embedding == alone.data[0].embedding
    assert len(mock.rows(model="embed-v4.0")) - before == 4


@pytest.mark.parametrize(
    "path", ["/v1/rerank", "/v2/rerank", "/providers/cohere/v1/rerank", "/providers/cohere/v2/rerank"]
)
def test_rerank(gateway: Gateway, path: str) -> None:
    """The best first, as many as were wanted, with their documents as they were sent; and the searches."""
    body = {"model": "rerank-v3.5", "query": "the sea", "documents": DOCUMENTS, "top_n": 2, "return_documents": True}
    reply = gateway.post(path, body)
    assert reply.status == 200, reply.body
    told = json.loads(reply.body)
    assert told["model"] == "rerank-v3.5"
    assert [(one["index"], one["document"]) for one in told["results"]] == [(1, DOCUMENTS[1]), (2, {"text": "the sea"})]
    assert told["results"][0]["relevance_score"] == 1.0
    assert told["meta"]["billed_units"] == {"search_units": 1}


def test_searches_are_booked(gateway: Gateway) -> None:
    """What Cohere charges for is in the ledger, at the price of a search."""
    body = {"model": "rerank-v3.5", "query": "x", "documents": ["x"] * 150}
    assert gateway.post("/v1/rerank", body, (("x-request-id", "searches"),)).status == 200
    line = gateway.line("searches")
    assert (line["cost_nano_usd"], line["token_source"]) == (4_000_000, "provider")


def test_transcription(client: openai.OpenAI, gateway: Gateway) -> None:
    """The form as it came, and the text; other formats and streams are refused by name."""
    sound = ("a.wav", b"RIFF" + bytes(500))
    reply = client.audio.transcriptions.create(model="lab/listener", file=sound, language="en")
    assert reply.text.startswith("transcript of a.wav: 504 bytes")
    for fields, param in (({"response_format": "srt"}, "response_format"), ({"stream": True}, "stream")):
        given: Any = fields
        with pytest.raises(openai.BadRequestError) as error:
            client.audio.transcriptions.create(model="lab/listener", file=sound, language="en", **given)
        assert error.value.param == param
    with pytest.raises(openai.BadRequestError) as error:
        client.audio.transcriptions.create(model="lab/listener", file=sound)
    assert "language is required" in error.value.message


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        ("/v1/rerank", {"model": MODEL, "query": "x", "documents": ["x"]}, "use one for rerank, such as `rerank-v3.5`"),
        ("/v1/chat/completions", {"model": "rerank-v3.5", "messages": [{"role": "user", "content": "x"}]}, "chats"),
        ("/v1/embeddings", {"model": MODEL, "input": "x"}, "`embed-v4.0`"),
        ("/v1/moderations", {"model": MODEL, "input": "x"}, "its providers serve chat"),
    ],
)
def test_work_that_a_model_does_not_do(gateway: Gateway, path: str, body: Any, wanted: str) -> None:
    """Refused with what to use."""
    reply = gateway.post(path, body)
    assert (reply.status, reply.error["param"]) == (400, "model")
    assert wanted in reply.error["message"]


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("status-503", 503, "upstream_overloaded"),
        ("status-429+retry-after-3", 429, "upstream_rate_limited"),
        ("insufficient-quota", 502, "provider_auth"),
        ("status-401", 502, "provider_auth"),
        ("status-500", 502, "upstream_error"),
        ("context-length", 400, "context_length_exceeded"),
    ],
)
def test_errors(gateway: Gateway, script: str, status: int, code: str) -> None:
    """Each failure has the status and code that clients of OpenAI know."""
    served.fails(gateway, "lab", script, (status, code))


def test_broken_streams(gateway: Gateway) -> None:
    """A stream that breaks never looks like a normal end."""
    served.breaks(gateway, "lab", "error-after-5", "end-after-5", "malformed-after-5", "no-done+end-after-6")


def test_failing_before_a_word_falls_over(gateway: Gateway) -> None:
    """An error event before the first word leaves room for another deployment, streamed or not."""
    served.falls_over(gateway)


@pytest.mark.parametrize("stream", [False, True])
def test_cost_is_that_of_any_provider(gateway: Gateway, mock: Mock, stream: bool) -> None:
    """The same prices and counts cost the same, and are the provider's bill."""
    served.costs(gateway, mock, (MODEL, "gpt"), stream=stream)


def test_reasoning(client: openai.OpenAI) -> None:
    """Thoughts are shown, and are part of the output."""
    reply = client.chat.completions.create(model="lab/mock-fault/reasoning-8", messages=served.ask("hm"))
    assert getattr(reply.choices[0].message, "reasoning_content", "").startswith("thinking about it")


def test_credential_stays_here(gateway: Gateway) -> None:
    """The key reaches neither clients nor the log."""
    reply = gateway.chat("lab/mock-fault/status-400")
    assert reply.status == 400
    assert b"cohere-canary" not in reply.body + gateway.log_with(reply)
