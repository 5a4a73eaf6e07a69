"""Anthropic behind the gateway, over sockets: OpenAI's SDK does not notice, and what is booked is what was charged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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
  claude:
    type: anthropic
    base_url: {mock}
    api_key: anthropic-canary-91b2
    allow_private_network: true
    retry_attempts: 0
    models:
      claude-sonnet-4-6: {{price: {{input: 3, output: 15, cached_input: 0.3}}}}
  lab: {{type: anthropic, base_url: "{mock}", api_key: k, allow_private_network: true, retry_attempts: 0}}
  plain:
    type: openai_compatible
    base_url: {mock}
    allow_private_network: true
    models: {{gpt: {{price: {{input: 3, output: 15, cached_input: 0.3}}}}}}
routes:
  - name: rescued
    match: {{model: rescued}}
    targets: [{{provider: lab, model: mock-fault/error-after-0}}, {{provider: plain, model: gpt}}]
  - name: either
    match: {{model: either}}
    targets: [{{provider: claude, model: claude-sonnet-4-6}}, {{provider: plain, model: gpt}}]
"""


@pytest.fixture(scope="module")
def gateway(mock: Mock) -> Iterator[Gateway]:
    with running(CONFIG.format(mock=mock.url)) as gateway:
        yield gateway


def test_chat(client: openai.OpenAI) -> None:
    """A whole answer, under the name that was asked for, with its counts."""
    served.chats(client, "claude-sonnet-4-6")


def test_stream(client: openai.OpenAI) -> None:
    """A stream: text in pieces, usage when asked for."""
    served.streams(client, "claude-sonnet-4-6")


def test_tools_in_a_stream(client: openai.OpenAI) -> None:
    """The SDK's own accumulator puts parallel calls together; their results go back and are answered."""
    served.calls_tools(client, "claude-sonnet-4-6")


def test_reasoning_goes_round(client: openai.OpenAI, mock: Mock) -> None:
    """Reasoning is shown, and its signed blocks come back to the provider as they were."""
    model = "lab/mock-fault/reasoning-8"
    first = client.chat.completions.create(model=model, messages=served.ask("hm"), max_tokens=4000)
    message = first.choices[0].message
    assert getattr(message, "reasoning_content", "").startswith("thinking about it")
    blocks = getattr(message, "thinking_blocks", [])
    assert blocks[0]["signature"]
    assert first.usage is not None
    assert first.usage.completion_tokens_details is not None
    assert first.usage.completion_tokens_details.reasoning_tokens == 8
    turn: Any = message.model_dump(exclude_none=True)
    client.chat.completions.create(model=model, messages=[*served.ask("hm"), turn, *served.ask("and?")])
    sent = json.loads(mock.seen()[-1].body)
    assert sent["messages"][1]["content"][0] == blocks[0]


def test_structured_output(client: openai.OpenAI) -> None:
    """A JSON Schema is the provider's own structured output."""
    served.gives_json(client, "claude-sonnet-4-6")


def test_unsupported_parameter(client: openai.OpenAI) -> None:
    """What Anthropic cannot say is a 400 that names the field and says what to do."""
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="claude-sonnet-4-6", messages=served.ask("x"), seed=7)
    assert refused.value.param == "seed"
    assert refused.value.code == "unsupported_parameter"
    assert "Leave it out" in refused.value.message


def test_another_target_may_support_it(gateway: Gateway) -> None:
    """What the first target cannot say is asked of the next; the first one hears of it only what it can answer."""
    assert gateway.chat("either", seed=7).header("x-gateway-provider") == "plain"
    assert gateway.chat("either").header("x-gateway-provider") == "claude"


def test_other_services(client: openai.OpenAI) -> None:
    """A service that Anthropic lacks is a 400 at once, which says what it has."""
    asks: list[Callable[[], Any]] = [
        lambda: client.embeddings.create(model="claude-sonnet-4-6", input="x"),
        lambda: client.completions.create(model="claude-sonnet-4-6", prompt="x"),
    ]
    for ask_for in asks:
        with pytest.raises(openai.BadRequestError) as refused:
            ask_for()
        assert refused.value.param == "model"
        assert "its providers serve chat, responses" in refused.value.message


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        ("status-529", 503, "upstream_overloaded"),
        ("status-429+retry-after-3", 429, "upstream_rate_limited"),
        ("status-401", 502, "provider_auth"),
        ("status-500", 502, "upstream_error"),
        ("context-length", 400, "context_length_exceeded"),
        ("error-in-200", 502, "upstream_error"),
    ],
)
def test_errors(gateway: Gateway, script: str, status: int, code: str) -> None:
    """Each failure of Anthropic's has the status and code that clients of OpenAI know."""
    served.fails(gateway, "lab", script, (status, code))


def test_broken_streams(gateway: Gateway) -> None:
    """A stream that breaks ends with an error frame and `[DONE]`, whether it says so, is cut or is garbled."""
    served.breaks(gateway, "lab", "error-after-5", "end-after-5", "malformed-after-5", "no-done+end-after-6")


def test_failing_before_a_word_falls_over(gateway: Gateway) -> None:
    """An error event before the first word leaves room for another deployment, streamed or not."""
    for stream in (False, True):
        reply = gateway.chat("rescued", stream=stream)
        assert reply.status == 200
        if stream:
            said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in reply.events[:-1])
        else:
            said = reply.json["choices"][0]["message"]["content"]
        assert said == "echo: hi"


@pytest.mark.parametrize("stream", [False, True])
def test_cost_is_that_of_any_provider(gateway: Gateway, mock: Mock, stream: bool) -> None:
    """The same prices and counts give the same cost as a provider that speaks OpenAI's API, and the provider's bill."""
    lines = []
    for model in ("claude-sonnet-4-6", "gpt"):
        reply = gateway.chat(model, (("x-request-id", f"cost-{model}-{stream}"),), stream=stream)
        assert reply.status == 200
        lines.append(gateway.line(f"cost-{model}-{stream}"))
    claude, plain = lines
    for name in ("input_tokens", "output_tokens", "token_source", "cost_nano_usd"):
        assert claude[name] == plain[name]
    assert claude["token_source"] == "provider"
    row = mock.rows(model="claude-sonnet-4-6")[-1]
    assert (row["input_tokens"], row["output_tokens"]) == (claude["input_tokens"], claude["output_tokens"])


def test_what_a_broken_stream_used(gateway: Gateway) -> None:
    """What Anthropic counts at the start is not what was made: a stream that breaks is charged for what was relayed."""
    reply = gateway.chat("lab/mock-fault/end-after-30+tokens-200", (("x-request-id", "broken-use"),), stream=True)
    said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in reply.events[:-2])
    line = gateway.line("broken-use")
    assert line["token_source"] == "partial"
    assert line["output_tokens"] >= len(said) // 4 > 20


def test_thinking_shows_signs_of_life(gateway: Gateway) -> None:
    """The client's answer begins when the model begins to think, not when it has finished."""
    with gateway.client() as client:
        client.post(
            "/v1/chat/completions",
            {
                "model": "lab/mock-fault/reasoning-8+stall-after-3",
                "messages": served.ask("x"),
                "stream": True,
            },
        )
        client.read_until(client.head(), b'"role":"assistant"')


def test_credential_stays_here(gateway: Gateway) -> None:
    """The key reaches neither clients nor the log."""
    reply = gateway.chat("lab/mock-fault/status-400")
    assert reply.status == 400
    assert b"anthropic-canary" not in reply.body + gateway.log_with(reply)
