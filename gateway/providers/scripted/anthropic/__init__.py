"""The scripted provider's Anthropic surface: the Messages API, a noun per file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.providers.scripted.anthropic.messages import count_tokens, messages
from gateway.providers.scripted.anthropic.stream import named
from gateway.providers.scripted.scenario import Json, Rejected, Send, Surface

if TYPE_CHECKING:
    from gateway.types import Headers

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def _error(error: Rejected) -> Json:
    message = error.message
    if error.code == "context_length_exceeded":
        message = "prompt is too long: 250000 tokens > 200000 maximum"
    kind = _TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_mock"}


def _failed(shape: Json) -> tuple[Send, ...]:
    return (named("error", {"error": shape["error"]}),)


def _headers(request_id: str) -> Headers:
    return ((b"request-id", request_id.encode("latin-1")),)


SURFACE = Surface(
    "anthropic",
    (
        ("POST", "/messages", "chat", messages),
        ("POST", "/messages/count_tokens", "chat", count_tokens),
    ),
    _error,
    _failed,
    _headers,
    Send(b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"\n\n'),
)
