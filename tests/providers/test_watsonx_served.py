"""watsonx.ai behind the gateway, over sockets: a key's token, chats, vectors, rankings; SDKs do not notice."""

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
from tests.support.steps import json_reply
from tests.support.upstream import ScriptedUpstream

__all__ = ["client", "mock"]
CONFIG = """
version: 1
providers:
  watsonx:
    type: watsonx
    api_url: {mock}
    iam_url: {mock}
    api_key: ibm-canary-7c41
    project_id: mine
    allow_private_network: true
    retry_attempts: 0
    models:
      ibm/granite-4-h-small: {{price: {{input: 0.06, output: 0.25}}}}
      ibm/slate-125m-english-rtrvr: {{price: {{input: 0.1}}}}
      cross-encoder/ms-marco-minilm-l-12-v2: {{price: {{input: 0.005}}}}
      deployments/abc-1: {{}}
  lab:
    type: watsonx
    api_url: {mock}
    iam_url: {mock}
    api_key: k
    space_id: mine
    allow_private_network: true
    retry_attempts: 0
  bare:
    type: watsonx
    api_url: {identity}
    iam_url: {identity}/identity/token
    api_key: ibm-canary-9d02
    project_id: mine
    allow_private_network: true
    retry_attempts: 0
  plain:
    type: openai_compatible
    base_url: {mock}
    allow_private_network: true
    models: {{gpt: {{price: {{input: 0.06, output: 0.25}}}}}}
routes:
  - name: rescued
    match: {{model: rescued}}
    targets: [{{provider: lab, model: mock-fault/error-after-0}}, {{provider: plain, model: gpt}}]
"""
MODEL = "ibm/granite-4-h-small"
RANKER = "cross-encoder/ms-marco-minilm-l-12-v2"


@pytest.fixture(scope="module")
def identity() -> Iterator[ScriptedUpstream]:
    granted = json_reply({"access_token": "iam-token-canary-5d10", "expires_in": 3600})
    with ScriptedUpstream(default=granted) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(mock: Mock, identity: ScriptedUpstream) -> Iterator[Gateway]:
    with running(CONFIG.format(mock=mock.url, identity=identity.base_url)) as gateway:
        yield gateway


@pytest.mark.parametrize("model", [MODEL, "deployments/abc-1"])
def test_chat(client: openai.OpenAI, model: str) -> None:
    """Whole answers and streams, of IBM's models and of a deployment of the customer's own."""
    served.chats(client, model)
    served.streams(client, model)


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
    assert len({call.id for choice in choices for call in choice.message.tool_calls or ()}) == 2


def test_tools_in_a_stream(client: openai.OpenAI) -> None:
    """Parallel calls, their results, and the answer."""
    served.calls_tools(client, MODEL)


def test_forced_tools(client: openai.OpenAI) -> None:
    """A function that is named, or any at all."""
    named: Any = {"type": "function", "function": {"name": "time"}}
    choices: list[tuple[Any, str]] = [(named, "time"), ("required", "weather")]
    for choice, wanted in choices:
        reply = client.chat.completions.create(
            model=MODEL, messages=served.ask("x"), tools=served.TOOLS, tool_choice=choice
        )
        calls: Any = reply.choices[0].message.tool_calls
        assert [call.function.name for call in calls] == [wanted]


def test_structured_output(client: openai.OpenAI) -> None:
    """A JSON Schema is the provider's own structured output."""
    served.gives_json(client, MODEL)


def test_embeddings(client: openai.OpenAI) -> None:
    """In order, counted, in the SDK's own encoding."""
    reply = client.embeddings.create(model="ibm/slate-125m-english-rtrvr", input=["one", "two", "three"])
    assert [item.index for item in reply.data] == [0, 1, 2]
    assert len(reply.data[0].embedding) == 256
    assert reply.usage.prompt_tokens == 4


def test_rerank(gateway: Gateway) -> None:
    """The best first, as many as were wanted, and the tokens that are booked."""
    body = {"model": RANKER, "query": "the sea", "documents": ["a house", {"text": "the sea"}], "top_n": 1}
    reply = gateway.post("/v2/rerank", {**body, "return_documents": True}, (("x-request-id", "ranked"),))
    assert reply.status == 200, reply.body
    told = json.loads(reply.body)
    assert told["results"] == [{"index": 1, "relevance_score": 1.0, "document": {"text": "the sea"}}]
    assert told["usage"] == {"prompt_tokens": 6, "total_tokens": 6}
    line = gateway.line("ranked")
    assert (line["input_tokens"], line["cost_nano_usd"], line["token_source"]) == (6, 30, "provider")


def test_one_token_for_all(gateway: Gateway, identity: ScriptedUpstream) -> None:
    """The key is exchanged once, however many calls there are; the calls carry the token, and the log has neither."""
    replies = [gateway.chat("bare/ibm/x") for _ in range(2)]
    assert [reply.status for reply in replies] == [502, 502]  # its chats are answered with tokens
    asked, *called = identity.received
    assert asked.target == "/identity/token"
    assert b"apikey=ibm-canary-9d02" in asked.body
    assert [request.target for request in called] == ["/ml/v1/text/chat?version=2025-04-23"] * 2
    assert {request.header("authorization") for request in called} == {"Bearer iam-token-canary-5d10"}
    log = gateway.log_with(replies[-1])
    assert b"canary" not in log


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("status-503", 503, "upstream_overloaded"),
        ("status-429+retry-after-3", 429, "upstream_rate_limited"),
        ("insufficient-quota+status-403", 502, "provider_auth"),
        ("status-403", 502, "provider_auth"),
        ("status-404", 404, "model_not_found"),
        ("status-500", 502, "upstream_error"),
        ("context-length", 400, "context_length_exceeded"),
        ("error-in-200", 502, "upstream_error"),
    ],
)
def test_errors(gateway: Gateway, script: str, status: int, code: str) -> None:
    """Each failure has the status and code that clients of OpenAI know."""
    served.fails(gateway, "lab", script, (status, code))


def test_broken_streams(gateway: Gateway) -> None:
    """A stream that breaks never looks like a normal end."""
    served.breaks(gateway, "lab", "error-after-5", "end-after-5", "malformed-after-5", "no-done")


def test_failing_before_a_word_falls_over(gateway: Gateway) -> None:
    """An error event before the first word leaves room for another deployment, streamed or not."""
    served.falls_over(gateway)


@pytest.mark.parametrize("stream", [False, True])
def test_cost_is_that_of_any_provider(gateway: Gateway, mock: Mock, stream: bool) -> None:
    """The same prices and counts cost the same, and are the provider's bill."""
    served.costs(gateway, mock, (MODEL, "gpt"), stream=stream)
