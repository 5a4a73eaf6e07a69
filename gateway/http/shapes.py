"""How errors look: a shape for each API that is served, chosen by the path that was asked for.

Whoever answers with an error asks `shape_of` and knows no API's words: the handlers, the refusals of overload, the ends
of streams. A shape has the status too: APIs have different ones for the same thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import orjson

from gateway.errors import GatewayError, Overloaded, UpstreamOverloaded
from gateway.http.cycle import Pairs
from gateway.http.errors import error_body, error_frame
from gateway.http.ratelimits import anthropic_limits
from gateway.http.routes import is_messages, is_openai
from gateway.types import Service

_VERSION = b"anthropic-version"
OVERLOADED = 529
_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}
"""Anthropic's word for each status; of others, below 500, `invalid_request_error`, and above, `api_error`."""


class Shape(Protocol):
    """The errors of one API."""

    def status(self, error: GatewayError) -> int:
        """The HTTP status."""
        ...

    def body(self, error: GatewayError, request_id: str) -> bytes:
        """The body of an error reply."""
        ...

    def headers(self, request_id: str, pairs: Pairs) -> Pairs:
        """What its clients look for besides `pairs`, the headers of an answer, good or not."""
        ...

    def frame(self, error: GatewayError, service: Service, request_id: str, number: int) -> bytes:
        """The last event of a stream that breaks; `number` counts those before it."""
        ...


class _OpenAI:
    def status(self, error: GatewayError) -> int:
        return error.public_status

    def body(self, error: GatewayError, request_id: str) -> bytes:  # noqa: ARG002 - one signature for all
        return error_body(error)

    def headers(self, request_id: str, pairs: Pairs) -> Pairs:  # noqa: ARG002 - one signature for all
        return ()

    def frame(self, error: GatewayError, service: Service, request_id: str, number: int) -> bytes:  # noqa: ARG002 - as above
        return error_frame(error, service, number)


class _Anthropic:
    def status(self, error: GatewayError) -> int:
        return OVERLOADED if isinstance(error, Overloaded | UpstreamOverloaded) else error.public_status

    def body(self, error: GatewayError, request_id: str) -> bytes:
        status = self.status(error)
        kind = _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")
        told = {"type": kind, "message": error.public_message}
        return orjson.dumps({"type": "error", "error": told, "request_id": request_id})

    def headers(self, request_id: str, pairs: Pairs) -> Pairs:
        return [(b"request-id", request_id.encode()), *anthropic_limits(pairs)]

    def frame(self, error: GatewayError, service: Service, request_id: str, number: int) -> bytes:  # noqa: ARG002 - as above
        return b"event: error\ndata: " + self.body(error, request_id) + b"\n\n"


OPENAI: Shape = _OpenAI()
ANTHROPIC: Shape = _Anthropic()


def shape_of(path: str, headers: Mapping[bytes, bytes]) -> Shape:
    """Anthropic's below `/v1/messages`, and on paths that are not OpenAI's alone where a client says that it speaks a
    version of Anthropic's API; else OpenAI's."""
    if is_messages(path) or (_VERSION in headers and not is_openai(path)):
        return ANTHROPIC
    return OPENAI
