"""Google's sentences for what goes wrong, and what each of them is for a client."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import ProviderAuthFailed, UpstreamError, UpstreamRateLimited, UpstreamRejected, UpstreamServerError
from gateway.providers.generate.errors import error_in_reply, error_of

FULL = "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576)."
VERTEX_FULL = "The input token count is 2000000 but model only supports up to 1048576"


def refused(status: int, message: str, word: str = "INVALID_ARGUMENT", **fields: Any) -> UpstreamError:
    body = {"error": {"code": status, "message": message, "status": word, **fields}}
    single = error_of(status, [], json.dumps(body).encode())
    listed = error_of(status, [], json.dumps([body]).encode())
    assert type(single) is type(listed)
    assert single.public_message == listed.public_message
    return single


@pytest.mark.parametrize("message", [FULL, VERTEX_FULL])
def test_context(message: str) -> None:
    """A prompt that is too long has OpenAI's code for it."""
    assert refused(400, message).public_code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("status", "message", "word"),
    [
        (400, "API key not valid. Please pass a valid API key.", "INVALID_ARGUMENT"),
        (400, "API key expired. Please renew the API key.", "INVALID_ARGUMENT"),
        (400, "User location is not supported for the API use.", "FAILED_PRECONDITION"),
        (403, "Permission denied on resource project x.", "PERMISSION_DENIED"),
        (401, "Request had invalid authentication credentials.", "UNAUTHENTICATED"),
    ],
)
def test_accounts(status: int, message: str, word: str) -> None:
    """A bad key is the operator's matter, also as the 400 that it can be; nothing of it is repeated."""
    error = refused(status, message, word)
    assert isinstance(error, ProviderAuthFailed)
    assert message not in error.public_message


def test_unknown_models() -> None:
    """A model that is not there has OpenAI's code for it."""
    error = refused(404, "models/x is not found for API version v1beta, or is not supported.", "NOT_FOUND")
    assert isinstance(error, UpstreamRejected)
    assert (error.public_status, error.public_code) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("delay", "wanted"), [("34.4s", 34.4), ("37s", 37), ("9999s", 120), ("soon", 5.0), (None, 5.0), (7, 5.0)]
)
def test_retry_info(delay: Any, wanted: float) -> None:
    """The wait stands in the details, and is bounded."""
    details = [{"@type": "x/google.rpc.Help"}, {"@type": "x/google.rpc.RetryInfo", "retryDelay": delay}, 3]
    error = refused(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED", details=details)
    assert isinstance(error, UpstreamRateLimited)
    assert error.retry_after == wanted


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        ({"status": "RESOURCE_EXHAUSTED"}, UpstreamRateLimited),
        ({"code": 400, "message": "no"}, UpstreamRejected),
        ({"status": "NEW_WORD"}, UpstreamServerError),
        ("text", UpstreamServerError),
    ],
)
def test_errors_inside_of_a_200(error: Any, wanted: type[UpstreamError]) -> None:
    """By number, or by word."""
    assert type(error_in_reply(error)) is wanted
