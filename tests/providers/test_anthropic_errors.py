"""Anthropic's refusals in our terms, where they differ from everyone's."""

from __future__ import annotations

import json

import pytest

from gateway.errors import ProviderAuthFailed, UpstreamError, UpstreamRejected

from .messages import DIALECT


def refused(status: int, kind: str, message: str) -> UpstreamError:
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    return DIALECT.error(status, [(b"content-type", b"application/json")], json.dumps(body).encode())


def test_an_empty_account() -> None:
    """It is told as a 400, and is the operator's matter, not the client's."""
    error = refused(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.")
    assert isinstance(error, ProviderAuthFailed)
    assert "balance" not in error.public_message


@pytest.mark.parametrize(
    "message",
    [
        "prompt is too long: 208310 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000, decrease input length",
    ],
)
def test_a_context_that_overflows(message: str) -> None:
    """Both of its sentences for that have OpenAI's code."""
    error = refused(400, "invalid_request_error", message)
    assert isinstance(error, UpstreamRejected)
    assert (error.public_status, error.public_code) == (400, "context_length_exceeded")


def test_a_model_that_is_not_there() -> None:
    """A 404 about the model has OpenAI's code; another 404 has none."""
    assert refused(404, "not_found_error", "model: claude-9").public_code == "model_not_found"
    assert refused(404, "not_found_error", "File not found.").public_code is None
