"""Cohere's sentences for what goes wrong, and what each of them is for a client."""

from __future__ import annotations

import json

import pytest

from gateway.errors import ProviderAuthFailed, UpstreamError, UpstreamRateLimited, UpstreamRejected
from gateway.providers.coherev2.errors import TRIAL_WAIT, error_of
from gateway.types import Headers

TRIAL = (
    "You are using a Trial key, which is limited to {} API calls / {}. You can continue to use the Trial key for free."
)


def refused(status: int, message: str, headers: Headers = ()) -> UpstreamError:
    return error_of(status, headers, json.dumps({"id": "e1", "message": message}).encode())


def test_trial_keys_by_the_minute() -> None:
    """Cohere does not say how long to wait: a while, unless it does."""
    error = refused(429, TRIAL.format(20, "minute"))
    assert isinstance(error, UpstreamRateLimited)
    assert error.retry_after == TRIAL_WAIT
    assert refused(429, TRIAL.format(20, "minute"), [(b"retry-after", b"3")]).retry_after == 3


def test_trial_keys_by_the_month() -> None:
    """No waiting helps: it is the operator's matter, and another target may answer."""
    error = refused(429, TRIAL.format(1000, "month"))
    assert isinstance(error, ProviderAuthFailed)
    assert "Trial" not in error.public_message


@pytest.mark.parametrize(("status", "message"), [(401, "invalid api token"), (498, "invalid token"), (402, "billing")])
def test_keys(status: int, message: str) -> None:
    """A bad key is the operator's matter; nothing of the answer is repeated."""
    error = refused(status, message)
    assert isinstance(error, ProviderAuthFailed)
    assert message not in error.public_message


def test_unknown_models() -> None:
    """A model that is not there has OpenAI's code for it."""
    error = refused(404, "model 'x' not found, make sure the correct model ID was used and that you have access to it.")
    assert isinstance(error, UpstreamRejected)
    assert (error.public_status, error.public_code) == (404, "model_not_found")


@pytest.mark.parametrize(
    "message",
    [
        "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs.",
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 4292.",
    ],
)
def test_context(message: str) -> None:
    """A prompt that is too long has OpenAI's code for it."""
    assert refused(400, message).public_code == "context_length_exceeded"


def test_requests_at_fault() -> None:
    """Cohere's own words, where the request is to blame."""
    error = refused(422, "No valid response generated. Try updating messages")
    assert (error.public_status, error.public_message) == (422, "No valid response generated. Try updating messages")
