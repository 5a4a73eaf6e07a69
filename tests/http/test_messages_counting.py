"""Clients of Anthropic's API count tokens at providers that count: what a message is charged later is what was told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.app import Gateway, Reply, running
from tests.support.gateway import mock_process
from tests.support.steps import json_reply
from tests.support.upstream import ScriptedUpstream

CLAUDE = "anthropic.claude-sonnet-4-5-20250929-v1:0"
CONFIG = """
version: 1
providers:
  gemini: {type: gemini, base_url: MOCK, api_key: k, allow_private_network: true, models: [gemini-2.5-flash]}
  vertex:
    type: vertex
    base_url: MOCK
    project: mine
    location: global
    access_token: t
    allow_private_network: true
    models: [gemini-3-flash-preview, claude-sonnet-4-6]
  bedrock:
    type: bedrock
    base_url: MOCK
    region: eu-west-1
    api_key: k
    allow_private_network: true
    models:
      eu.CLAUDE: {}
      CLAUDE: {parameters: {guardrail_config: {guardrailIdentifier: g, guardrailVersion: "1"}}}
      amazon.nova-lite-v1:0: {}
  odd: {type: gemini, base_url: ODD, api_key: k, allow_private_network: true, retry_attempts: 0}
""".replace("CLAUDE", CLAUDE)
ASK: dict[str, Any] = {
    "system": "Be brief, and answer in the language of the question.",
    "messages": [{"role": "user", "content": "Wie wird das Wetter in Köln, und wie spät ist es dort? 🎈"}],
    "tools": [
        {
            "name": "weather",
            "description": "Tells the weather of a city.",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        }
    ],
    "tool_choice": {"type": "none"},
}


@pytest.fixture(scope="module")
def odd() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def gateway(odd: ScriptedUpstream) -> Iterator[Gateway]:
    with mock_process() as mock, running(CONFIG.replace("MOCK", mock.url).replace("ODD", odd.base_url)) as gateway:
        yield gateway


def ask(gateway: Gateway, model: str, path: str = "/v1/messages/count_tokens", **fields: Any) -> Reply:
    return gateway.post(path, {"model": model, **ASK, **fields})


@pytest.mark.parametrize(
    "model",
    [
        "gemini/gemini-2.5-flash",
        "vertex/gemini-3-flash-preview",
        "vertex/claude-sonnet-4-6",
        f"bedrock/eu.{CLAUDE}",
        f"bedrock/{CLAUDE}",
    ],
)
def test_the_provider_is_asked(gateway: Gateway, model: str) -> None:
    """Instructions and tools count, by the provider's own numbers; asking is free."""
    counted = ask(gateway, model)
    assert (counted.status, counted.header("x-gateway-token-source")) == (200, "provider"), counted.body
    assert counted.json.keys() == {"input_tokens"}
    if model != f"bedrock/{CLAUDE}":  # Converse counts what stands in its own words
        told = ask(gateway, model, "/v1/messages", max_tokens=50).json["usage"]["input_tokens"]
        assert counted.json["input_tokens"] == told
    shorter = ask(gateway, model, system=None, tools=None, tool_choice=None).json["input_tokens"]
    assert shorter < counted.json["input_tokens"]


def test_who_counts_nothing_is_estimated(gateway: Gateway) -> None:
    """Other models at Bedrock have no counter that is known."""
    reply = ask(gateway, "bedrock/amazon.nova-lite-v1:0")
    assert (reply.status, reply.header("x-gateway-token-source")) == (200, "estimated")


@pytest.mark.parametrize(("status", "body"), [(404, {}), (500, {}), (200, {}), (200, {"totalTokens": "x"})])
def test_what_fails_is_estimated(gateway: Gateway, odd: ScriptedUpstream, status: int, body: dict[str, Any]) -> None:
    """A server without the endpoint, one that fails, one that says nothing: the estimate stands."""
    odd.default = json_reply(body, status)
    reply = ask(gateway, "odd/gemini-x")
    assert (reply.status, reply.header("x-gateway-token-source")) == (200, "estimated")
    assert reply.json["input_tokens"] > 0


def test_what_is_refused_is_told(gateway: Gateway, odd: ScriptedUpstream) -> None:
    """A request that the provider refuses would be refused as a message too."""
    odd.default = json_reply({"error": {"code": 400, "message": "no such tool", "status": "INVALID_ARGUMENT"}}, 400)
    assert ask(gateway, "odd/gemini-x").status == 400


def test_what_cannot_be_said_is_estimated(gateway: Gateway) -> None:
    """Tools that only Anthropic runs are no reason to refuse a count."""
    reply = ask(gateway, "gemini/gemini-2.5-flash", tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert (reply.status, reply.header("x-gateway-token-source")) == (200, "estimated")
