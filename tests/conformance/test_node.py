"""openai-node and the Vercel AI SDK against the gateway: the scenarios in `node/`, judged here."""

from __future__ import annotations

import pytest

from .applications import Application, needs_node
from .conftest import BATCH, CHATS, GPT_KEY, KEY, LABS, NODE_TIGHT_KEY, UNKNOWN_KEY, Lab, fault

SAID = "echo: Grüße 你好 🎈"
pytestmark = needs_node


# ---- openai-node


def test_chat(node: Application, lab: Lab) -> None:
    """Text, the name asked for, usage, and a request id that the log knows."""
    answer = node.play("chat")
    assert (answer["model"], answer["text"], answer["provider"]) == ("gpt-4o", SAID, "named")
    assert answer["usage"]["total_tokens"] > 0
    assert answer["requestId"] == answer["same"]
    assert lab.gateway.logged(request_id=answer["requestId"])[0]["status"] == 200


@pytest.mark.parametrize("script", ["tokens-4", "split-1", "crlf", "comments", "no-done", "split-3+crlf"])
@pytest.mark.parametrize("provider", LABS)
def test_stream(node: Application, provider: str, script: str) -> None:
    """A stream adds up however the provider cuts it, without usage that nobody asked for."""
    seen = node.play("stream", model=fault(script, provider))
    assert seen == {"text": SAID, "usages": 0, "ids": 1, "finish": "stop"}


def test_stream_with_usage(node: Application) -> None:
    """The SDK's accumulator ends with the text and the usage."""
    seen = node.play("streamUsage")
    assert seen["text"] == SAID
    assert seen["usage"]["completion_tokens"] == 4


@pytest.mark.parametrize("provider", LABS)
def test_streamed_tools(node: Application, provider: str) -> None:
    """Fragments of two parallel calls add up to both."""
    seen = node.play("tools", model=fault("calls-2", provider))
    assert seen["calls"] == [["weather", {"city": "city"}], ["time", {"city": "city"}]]
    assert seen["fragments"] > 2
    assert seen["finish"] == "tool_calls"


@pytest.mark.parametrize("model", CHATS)
def test_tool_runner(node: Application, model: str) -> None:
    """The SDK's loop calls the function and gets an answer to its result."""
    assert node.play("runTools", model=model)["text"] == "tool: sunny in city"


@pytest.mark.parametrize("model", CHATS)
def test_structured_output(node: Application, model: str) -> None:
    """A zod schema is satisfied."""
    assert node.play("parse", model=model) == {"ok": True}


def test_embeddings(node: Application) -> None:
    """The SDK asks for base64 by default; vectors keep their 768 dimensions and their values."""
    seen = node.play("embeddings")
    assert seen["sizes"] == [768, 768]
    assert seen["apart"] < 1e-6


@pytest.mark.parametrize("size", [100, 5_000_000])
def test_files(node: Application, size: int) -> None:
    """Uploads arrive whole, small ones and large ones; speech comes back as sound."""
    seen = node.play("upload", size=size)
    assert seen["text"].startswith(f"transcript of sound.wav: {size} bytes")
    assert seen["speech"] == "RIFF"


def test_responses(node: Application) -> None:
    """Whole and as events, from created to completed."""
    assert node.play("responses") == {
        "whole": "echo: hello",
        "text": "echo: hello",
        "first": "response.created",
        "last": "response.completed",
    }


def test_models(node: Application) -> None:
    """The list, and one with a slash in its name."""
    seen = node.play("models")
    assert {"gpt-4o", "fast", "org/model-7b"} <= set(seen["ids"])
    assert seen["slashed"] == "org/model-7b"


@pytest.mark.parametrize(
    ("model", "key", "error", "status", "code"),
    [
        ("gpt-4o", UNKNOWN_KEY, "AuthenticationError", 401, "invalid_api_key"),
        ("rescued", GPT_KEY, "PermissionDeniedError", 403, "model_access_denied"),
        ("gpt-nothing", KEY, "NotFoundError", 404, "model_not_found"),
        ("lab/mock-fault/context-length", KEY, "BadRequestError", 400, "context_length_exceeded"),
        ("lab/mock-fault/status-409", KEY, "ConflictError", 409, "upstream_conflict"),
        ("lab/mock-fault/status-422", KEY, "UnprocessableEntityError", 422, None),
        ("lab/mock-fault/status-429", KEY, "RateLimitError", 429, "upstream_rate_limited"),
        ("lab/mock-fault/status-401", KEY, "InternalServerError", 502, "provider_auth"),
        ("lab/mock-fault/html-200", KEY, "InternalServerError", 502, "bad_upstream_response"),
        ("nowhere/any", KEY, "InternalServerError", 502, "upstream_unreachable"),
    ],
)
def test_errors(node: Application, model: str, key: str, error: str, status: int, code: str | None) -> None:
    """Failures are the SDK's classes, with our code and the request's id."""
    thrown = node.fail("error", model=model, key=key)
    assert error in thrown["classes"]
    assert (thrown["status"], thrown["code"]) == (status, code)
    assert thrown["requestId"].startswith("req-")


def test_rate_limit(node: Application) -> None:
    """A key's fourth call within a minute is RateLimitError."""
    outcomes = [node._play("error", {"model": "gpt-4o", "key": NODE_TIGHT_KEY}) for _ in range(4)]
    thrown = next(outcome["error"] for outcome in outcomes if "error" in outcome)
    assert "RateLimitError" in thrown["classes"]
    assert thrown["code"] == "rate_limit_exceeded"


@pytest.mark.parametrize(
    ("script", "calls"),
    [("status-500", 1), ("status-400", 1), ("status-503+retry-after-0.01", 3), ("status-429+retry-after-0.01", 3)],
)
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
    for provider in LABS:
        thrown = node.fail("broken", model=fault(f"{script}+tokens-50+pace-2ms", provider))
        assert "APIError" in thrown["classes"]
        assert thrown["got"] >= 2
    assert "APIError" in node.fail("brokenResponses", model=fault(f"{script}+tokens-50"))["classes"]


def test_leaving_a_stream_early(node: Application) -> None:
    """Breaking out of the loop leaves a client that works."""
    assert node.play("leaving", model=fault("tokens-2000+pace-5ms"))["text"] == SAID


# ---- Vercel AI SDK


@pytest.mark.parametrize("model", CHATS)
def test_ai_generate_text(ai: Application, model: str) -> None:
    """Text, finish reason and usage."""
    assert ai.play("generateText", model=model) == {
        "text": "echo: hello",
        "finishReason": "stop",
        "input": 2,
        "output": 3,
    }


@pytest.mark.parametrize("model", CHATS)
def test_ai_stream_text(ai: Application, model: str) -> None:
    """Parts add up to the text, usage comes at the end."""
    assert ai.play("streamText", model=model) == {"text": "echo: hello", "finishReason": "stop", "output": 3}


@pytest.mark.parametrize("model", CHATS)
def test_ai_tools(ai: Application, model: str) -> None:
    """A tool is called, run, and its result answered; whole and streamed."""
    seen = ai.play("tools", model=model)
    assert seen == {"text": "tool: sunny in city", "calls": [["weather", {"city": "city"}]]}
    streamed = ai.play("streamTools", model=model)
    assert streamed["text"] == "tool: sunny in city"
    assert {"tool-call", "tool-result", "text-delta", "finish"} <= set(streamed["seen"])
    assert "error" not in streamed["seen"]


@pytest.mark.parametrize("model", CHATS)
def test_ai_structured_output(ai: Application, model: str) -> None:
    """An object of the caller's schema."""
    assert ai.play("output", model=model) == {"ok": True}


def test_ai_embed_many(ai: Application) -> None:
    """More values than the provider takes at once, in order."""
    seen = ai.play("embedMany", count=2 * BATCH + 1)
    assert (seen["count"], seen["dimensions"]) == (2 * BATCH + 1, 256)
    assert seen["apart"] < 1e-6
    assert seen["tokens"] > 0


@pytest.mark.parametrize(
    ("model", "status", "retryable"),
    [("gpt-nothing", 404, False), ("lab/mock-fault/status-400", 400, False), ("lab/mock-fault/status-503", 503, True)],
)
def test_ai_errors(ai: Application, model: str, status: int, retryable: bool) -> None:
    """APICallError with status and our message; retryable where it is."""
    thrown = ai.fail("error", model=model)
    assert thrown["status"] == status
    assert thrown["retryable"] is retryable
    assert "model" in thrown["message"].lower() or "request" in thrown["message"].lower()


@pytest.mark.parametrize("script", ["end-after-5", "stall-after-5", "malformed-after-5", "error-after-5"])
@pytest.mark.parametrize("provider", LABS)
def test_ai_broken_streams(ai: Application, provider: str, script: str) -> None:
    """A stream that breaks has an error part with our words; it does not finish."""
    seen = ai.play("broken", model=fault(f"{script}+tokens-50+pace-2ms", provider))
    assert seen["error"].startswith("The model provider")
    assert seen["seen"] >= 1
