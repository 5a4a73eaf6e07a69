"""`/providers/{name}/v1`: one provider's base URL, with keys, limits and accounting as everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.app import Gateway, Reply, running, unique
from tests.support.gateway import Mock, mock_process

KEY, GPT, TIGHT = (
    "gw-test-pinned-everything-000000000001",
    unique("gw-test-pinned-gpt"),
    unique("gw-test-pinned-tight"),
)
CONFIG = f"""
version: 1
providers:
  first: {{{{type: openai_compatible, base_url: "{{mock}}", allow_private_network: true, models: [gpt]}}}}
  second:
    type: openai_compatible
    base_url: "{{mock}}"
    allow_private_network: true
    rate_limit: {{{{requests: 2/h}}}}
    models: [gpt, only-here]
  claude: {{{{type: anthropic, base_url: "{{mock}}", api_key: k, allow_private_network: true, models: [gpt]}}}}
  trial:
    {{{{type: openai_compatible, base_url: "{{mock}}", allow_private_network: true, status: testing, models: [gpt]}}}}
  parked:
    {{{{type: openai_compatible, base_url: "{{mock}}", allow_private_network: true, status: inactive, models: [gpt]}}}}
routes:
  - {{{{name: all, match: {{{{model: gpt}}}}, targets: [{{{{provider: first, model: gpt}}}}]}}}}
keys:
  - {{{{name: all, secret: {KEY}}}}}
  - {{{{name: gpt, secret: {GPT}-0123456789abcdef, models: ["gpt"]}}}}
  - {{{{name: tight-and-pinned, secret: {TIGHT}-0123456789abcdef, limits: {{{{requests: 2/h}}}}}}}}
"""
HI: list[dict[str, str]] = [{"role": "user", "content": "hi"}]
CALLS: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": HI},
    "/completions": {"prompt": "hi"},
    "/responses": {"input": "hi"},
    "/messages": {"messages": HI, "max_tokens": 9},
    "/embeddings": {"input": "hi"},
    "/rerank": {"query": "hi", "documents": ["a", "b"]},
    "/moderations": {"input": "hi"},
}


@pytest.fixture(scope="module")
def mock() -> Iterator[Mock]:
    with mock_process() as mock:
        yield mock


@pytest.fixture(scope="module")
def gateway(mock: Mock) -> Iterator[Gateway]:
    with running(CONFIG.format(mock=mock.url)) as gateway:
        yield gateway


def ask(gateway: Gateway, path: str, model: str = "gpt", key: str = KEY, **more: Any) -> Reply:
    """A call to one of the endpoints."""
    endpoint = path.partition("/v1")[2]
    return gateway.post(path, {"model": model, **CALLS[endpoint], **more}, [("authorization", f"Bearer {key}")])


@pytest.mark.parametrize("endpoint", CALLS)
def test_every_endpoint_is_pinned(gateway: Gateway, endpoint: str) -> None:
    """The provider that the path names serves, whatever routes say, by the model's bare name or the full one."""
    for model in ("gpt", "trial/gpt"):
        reply = ask(gateway, f"/providers/trial/v1{endpoint}", model)
        assert (reply.status, reply.header("x-gateway-provider")) == (200, "trial"), reply.body
        assert reply.header("x-gateway-route") == "direct"


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize(("name", "word"), [("nobody", "No provider is called `nobody`"), ("parked", "is inactive")])
def test_providers_that_are_not_there(gateway: Gateway, endpoint: str, name: str, word: str) -> None:
    """A 404 in the shape of the API that was asked, which says why."""
    reply = ask(gateway, f"/providers/{name}/v1{endpoint}")
    assert reply.status == 404
    error = reply.json["error"]
    assert word in error["message"]
    if endpoint == "/messages":
        assert (reply.json["type"], error["type"]) == ("error", "not_found_error")
    else:
        assert (error["code"], error["param"]) == ("model_not_found", "model")


def test_models(gateway: Gateway) -> None:
    """The list is the provider's own; a testing one has none to show, an unknown one is a 404."""
    headers = [("authorization", f"Bearer {KEY}")]
    listed = gateway.get("/providers/second/v1/models", headers).json["data"]
    assert [model["id"] for model in listed] == ["gpt", "only-here"]
    assert gateway.get("/providers/second/v1/models/only-here", headers).status == 200
    assert gateway.get("/providers/first/v1/models/only-here", headers).status == 404
    assert gateway.get("/providers/nobody/v1/models", headers).status == 404


def test_keys_hold_here_too(gateway: Gateway) -> None:
    """Without a key nothing is served; a key's models are judged by the name that was asked for."""
    assert gateway.post("/providers/first/v1/chat/completions", {"model": "gpt", "messages": HI}).status == 401
    key = f"{GPT}-0123456789abcdef"
    assert ask(gateway, "/providers/first/v1/chat/completions", key=key).status == 200
    refused = ask(gateway, "/providers/second/v1/responses", "only-here", key=key)
    assert (refused.status, refused.json["error"]["code"]) == (403, "model_access_denied")


def test_limits_hold_here_too(gateway: Gateway) -> None:
    """A key has one bucket, whichever way its calls come; a provider's own limit is not passed by naming it."""
    key = f"{TIGHT}-0123456789abcdef"
    assert ask(gateway, "/v1/chat/completions", key=key).status == 200
    assert ask(gateway, "/providers/trial/v1/responses", key=key).status == 200
    assert ask(gateway, "/providers/trial/v1/chat/completions", key=key).status == 429
    statuses = [ask(gateway, f"/providers/second/v1{one}").status for one in ("/chat/completions", "/responses")]
    assert statuses == [200, 200]
    full = ask(gateway, "/providers/second/v1/chat/completions")
    assert (full.status, full.json["error"]["code"]) == (429, "rate_limit_exceeded")


def test_they_are_booked_as_everywhere(gateway: Gateway) -> None:
    """Log and metrics name the provider that served, and count its tokens."""
    before = gateway.metric('gateway_requests_total{route="direct"')
    reply = ask(gateway, "/providers/claude/v1/responses")
    assert reply.status == 200
    line = gateway.line(reply.header("x-request-id") or "")
    assert (line["provider"], line["service"], line["route"]) == ("claude", "responses", "direct")
    assert line["input_tokens"] > 0
    assert gateway.metric('gateway_requests_total{route="direct"') == before + 1


STORED = [
    ("GET", "/v1/responses/resp_1"),
    ("DELETE", "/v1/responses/resp_1"),
    ("POST", "/v1/responses/resp_1/cancel"),
    ("GET", "/v1/responses/resp_1/input_items"),
    ("GET", "/openai/v1/responses/resp_1"),
    ("GET", "/providers/first/v1/responses/resp_1"),
]


@pytest.mark.parametrize(("method", "path"), STORED)
def test_stored_responses(gateway: Gateway, method: str, path: str) -> None:
    """Nobody keeps them for the client: a 404 says why, and what to do instead."""
    with gateway.client() as client:
        client.send(method, path, b"", [("authorization", f"Bearer {KEY}")])
        reply = client.reply()
    assert (reply.status, reply.json["error"]["code"]) == (404, "unknown_url")
    assert "send the conversation in `input`" in reply.json["error"]["message"]
