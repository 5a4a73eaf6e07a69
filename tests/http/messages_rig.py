"""A gateway before Anthropic's API and OpenAI's, and one who speaks Anthropic's to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.app import Gateway, Reply, running
from tests.support.gateway import Mock, mock_process

KEY = "messages-test-secret-of-everyone-0001"
TIGHT = "messages-test-secret-of-few-calls-0002"
COUNTER = "messages-test-secret-of-a-counter-0003"
CONFIG = f"""
version: 1
providers:
  claude:
    type: anthropic
    base_url: MOCK
    api_key: anthropic-canary-77c1
    allow_private_network: true
    breaker: false
    retry_attempts: 0
    models:
      claude-sonnet-4-6:
        price: {{input: 3, output: 15, cached_input: 0.3}}
        context_window: 200000
        max_output_tokens: 64000
      claude-warm: {{parameters: {{temperature: 0.2, max_completion_tokens: 9}}}}
  plain:
    type: openai_compatible
    base_url: MOCK
    api_key: plain-canary-77c2
    allow_private_network: true
    breaker: false
    retry_attempts: 0
    models:
      gpt: {{price: {{input: 3, output: 15, cached_input: 0.3}}}}
      blind: {{capabilities: [chat, tools]}}
  replies: {{type: openai, base_url: MOCK, api_key: k, allow_private_network: true, api: responses, models: [gpt-r]}}
  claudes:
    type: anthropic
    base_url: MOCK
    api_key: anthropic-canary-77c3
    allow_private_network: true
    breaker: false
    retry_attempts: 0
    timeout: {{connect: 5, first_byte: 5, idle: 0.3, total: 20}}
  plains:
    type: openai_compatible
    base_url: MOCK
    api_key: plain-canary-77c4
    allow_private_network: true
    breaker: false
    retry_attempts: 0
    timeout: {{connect: 5, first_byte: 5, idle: 0.3, total: 20}}
  parked: {{type: openai_compatible, base_url: MOCK, allow_private_network: true, status: inactive, models: [gpt]}}
routes:
  - name: rescued
    match: {{model: rescued}}
    targets: [{{provider: claudes, model: mock-fault/error-after-0}}, {{provider: plain, model: gpt}}]
  - name: back
    match: {{model: back}}
    targets: [{{provider: plains, model: mock-fault/status-500}}, {{provider: claude, model: claude-sonnet-4-6}}]
keys:
  - {{name: all, secret: {KEY}}}
  - {{name: tight-for-messages, secret: {TIGHT}, limits: {{requests: 2/min}}}}
  - {{name: counter, secret: {COUNTER}, limits: {{requests: 3/min, tokens: 30/min}}}}
"""
MESSAGES, COUNT = "/v1/messages", "/v1/messages/count_tokens"
SAYS = [{"role": "user", "content": "hello"}]


@contextmanager
def messages_gateway() -> Iterator[tuple[Gateway, Mock]]:
    """The gateway and the scripted provider behind it."""
    with mock_process() as mock, running(CONFIG.replace("MOCK", mock.url)) as gateway:
        yield gateway, mock


def ask(gateway: Gateway, model: str = "gpt", path: str = MESSAGES, key: str = KEY, **fields: Any) -> Reply:
    headers = [("x-api-key", key), *fields.pop("headers", ())]
    body = {"model": model, "max_tokens": 100, "messages": SAYS, **fields}
    return gateway.post(path, {name: value for name, value in body.items() if value is not None}, headers)


def refusal(reply: Reply) -> dict[str, str]:
    """The error; fails unless it has exactly Anthropic's shape, and the id that the headers have too."""
    told = reply.json
    assert list(told) == ["type", "error", "request_id"], told
    assert told["type"] == "error"
    assert list(told["error"]) == ["type", "message"]
    assert told["request_id"] == reply.header("request-id") == reply.header("x-request-id")
    error: dict[str, str] = told["error"]
    assert error["message"]
    return error


def said(reply: Reply) -> str:
    """The words of a whole message, or of a stream's events."""
    if reply.header("content-type") == "application/json":
        return "".join(block.get("text", "") for block in reply.json["content"])
    return "".join(event["delta"].get("text", "") for event in reply.events if event["type"] == "content_block_delta")
