"""@anthropic-ai/sdk against the gateway: the scenarios in `node/anthropic.mjs`, judged here."""

from __future__ import annotations

from typing import Any

import pytest

from .applications import Application, needs_node
from .conftest import GPT_KEY, KEY, UNKNOWN_KEY, Lab, fault
from .test_anthropic_python import MODELS, PROVIDERS, SAID

pytestmark = needs_node
SCRIPT = "anthropic.mjs"


@pytest.mark.parametrize("model", MODELS)
def test_create(node: Application, lab: Lab, model: str) -> None:
    """Text, the name asked for, usage, and a request id that the log knows."""
    answer = node.play("create", model=model)
    assert (answer["model"], answer["text"], answer["reason"]) == (model, SAID, "end_turn")
    assert answer["usage"]["output_tokens"] == 4
    assert lab.gateway.logged(request_id=answer["requestId"])[0]["status"] == 200


@pytest.mark.parametrize("model", MODELS)
def test_stream(node: Application, model: str) -> None:
    """Events in their order; the SDK's accumulator ends with the text and the usage."""
    seen = node.play("stream", model=model)
    assert seen["kinds"][:2] == ["message_start", "content_block_start"]
    assert seen["kinds"][-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert (seen["text"], seen["same"], seen["reason"]) == (SAID, SAID, "end_turn")
    assert seen["usage"]["output_tokens"] == 4


@pytest.mark.parametrize("model", MODELS)
def test_tools(node: Application, model: str) -> None:
    """Parallel calls in a stream; what the SDK was given goes back as it is, and the results are answered."""
    seen = node.play("tools", model=model)
    assert [name for name, _ in seen["calls"]] == ["weather", "time"]
    assert all(set(given) == {"city"} for _, given in seen["calls"])
    assert seen["reason"] == "tool_use"
    assert seen["text"].startswith("tool: ")
    assert seen["text"].endswith("time done")


def test_counts_and_models(node: Application) -> None:
    """Tokens are counted; the list of models, page by page."""
    assert node.play("count", model="gpt-4o")["input_tokens"] > 0
    seen = node.play("models")
    assert {"gpt-4o", "fast", "org/model-7b"} <= set(seen["ids"])
    assert seen["slashed"] == "org/model-7b"


@pytest.mark.parametrize(
    ("model", "key", "error", "status"),
    [
        ("gpt-4o", UNKNOWN_KEY, "AuthenticationError", 401),
        ("rescued", GPT_KEY, "PermissionDeniedError", 403),
        ("gpt-nothing", KEY, "NotFoundError", 404),
        ("lab/mock-fault/status-400", KEY, "BadRequestError", 400),
        ("lab/mock-fault/status-429", KEY, "RateLimitError", 429),
        ("lab/mock-fault/status-401", KEY, "InternalServerError", 502),
        ("claude/mock-fault/status-529", KEY, "InternalServerError", 529),
    ],
)
def test_errors(node: Application, model: str, key: str, error: str, status: int) -> None:
    """Failures are the SDK's classes, with the request's id."""
    thrown = node.fail("error", model=model, key=key)
    assert error in thrown["classes"]
    assert thrown["status"] == status
    assert thrown["requestId"].startswith("req-")


@pytest.mark.parametrize(("script", "calls"), [("status-500", 1), ("status-529+retry-after-0.01", 3)])
def test_retries(node: Application, lab: Lab, script: str, calls: int) -> None:
    """With two retries allowed, the SDK sends again only where `x-should-retry` says so."""
    model = fault(script)
    assert "APIError" in node.fail("retries", model=model)["classes"]
    assert lab.calls(model) == calls


@pytest.mark.parametrize(
    "script", ["cut-after-900", "end-after-5", "stall-after-5", "malformed-after-5", "error-after-5"]
)
def test_broken_streams(node: Application, script: str) -> None:
    """What came before is delivered, then an APIError is thrown: a stream never just ends."""
    for provider in PROVIDERS:
        thrown: dict[str, Any] = node.fail("broken", model=fault(f"{script}+tokens-50+pace-2ms", provider))
        assert "APIError" in thrown["classes"]
        assert thrown["got"] >= 2
