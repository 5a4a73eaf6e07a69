"""Errors in Anthropic's shape: every class of ours, every path, and limits in its headers."""

from __future__ import annotations

import datetime
import json

import pytest

from gateway.errors import GatewayError, Overloaded, UpstreamOverloaded
from gateway.http.ratelimits import anthropic_limits
from gateway.http.shapes import ANTHROPIC, OPENAI, shape_of
from gateway.types import Service
from tests.test_errors import CLASSES, made

TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""By status, as the documents have it; `docs/messages.md` is the same table."""
NAMED = {b"anthropic-version": b"2023-06-01"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
class TestEveryError:
    def test_its_body(self, kind: type[GatewayError]) -> None:
        """Type and message, the type by the status, and the request's id beside them."""
        error = made(kind)
        status = ANTHROPIC.status(error)
        body = json.loads(ANTHROPIC.body(error, "req-1"))
        wanted = TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
        assert body == {
            "type": "error",
            "error": {"type": wanted, "message": error.public_message},
            "request_id": "req-1",
        }

    def test_its_status(self, kind: type[GatewayError]) -> None:
        """OpenAI's, but for overload, which has a status of its own."""
        error = made(kind)
        overloaded = issubclass(kind, Overloaded | UpstreamOverloaded)
        assert ANTHROPIC.status(error) == (529 if overloaded else error.public_status)
        assert OPENAI.status(error) == error.public_status

    def test_its_frame(self, kind: type[GatewayError]) -> None:
        """In a stream it is one named event with the same body, and the last one."""
        error = made(kind)
        named, data, *end = ANTHROPIC.frame(error, Service.CHAT, "req-1", 0).decode().split("\n")
        assert (named, end) == ("event: error", ["", ""])
        assert data == "data: " + ANTHROPIC.body(error, "req-1").decode()


@pytest.mark.parametrize(
    ("path", "anthropics", "with_version"),
    [
        ("/v1/messages", True, True),
        ("/v1/messages/count_tokens", True, True),
        ("/v1/messages/batches/x", True, True),
        ("/providers/p/v1/messages", True, True),
        ("/providers/p/v1/messages/count_tokens", True, True),
        ("/v1/messagesx", False, True),
        ("/providers/p/v1/chat/messages", False, True),
        ("/v1/models", False, True),
        ("/v1/models/a/b", False, True),
        ("/v1/files", False, True),
        ("/v1/chat/completions", False, False),
        ("/v1/responses", False, False),
        ("/openai/deployments/d/chat/completions", False, False),
    ],
)
def test_paths(path: str, anthropics: bool, with_version: bool) -> None:
    """Anthropic's paths have its shape; on those that both APIs have, or neither, the client's version decides."""
    assert (shape_of(path, {}) is ANTHROPIC) is anthropics
    assert (shape_of(path, NAMED) is ANTHROPIC) is with_version


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [(b"0s", 0), (b"12ms", 0.012), (b"1.5s", 1.5), (b"6m0s", 360), (b"1h2m3s", 3723), (b"?", 0)],
)
def test_resets(duration: bytes, seconds: float) -> None:
    """Anthropic tells the moment, we the time until then."""
    before = datetime.datetime.now(datetime.UTC)
    ((name, value),) = anthropic_limits([(b"x-ratelimit-reset-tokens", duration), (b"retry-after", b"1")])
    assert name == b"anthropic-ratelimit-tokens-reset"
    told = datetime.datetime.fromisoformat(value.decode())
    assert -1.1 < (told - before).total_seconds() - seconds < 60
