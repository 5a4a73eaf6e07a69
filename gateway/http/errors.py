"""Errors as OpenAI's API shows them: a JSON body with status and headers, or a frame in a stream."""

from __future__ import annotations

import math
from typing import Any

import orjson

from gateway.errors import GatewayError, MethodNotAllowed
from gateway.types import Service

MAX_RETRY_AFTER = 120
DONE = b"data: [DONE]\n\n"


def error_object(error: GatewayError) -> dict[str, Any]:
    """`{"message","type","param","code"}`, all four always present."""
    return {
        "message": error.public_message,
        "type": error.public_type,
        "param": error.param,
        "code": error.public_code,
    }


def error_body(error: GatewayError) -> bytes:
    """The body of an error reply."""
    return orjson.dumps({"error": error_object(error)})


def error_headers(error: GatewayError) -> list[tuple[bytes, bytes]]:
    """What tells an SDK whether and when to come back: `retry-after`, `retry-after-ms`, `x-should-retry`, `allow`."""
    headers: list[tuple[bytes, bytes]] = list(error.headers)
    if error.retry_after is not None and error.public_status in (429, 503):
        # Written so that NaN, which a provider's header can hold, ends at the bound too.
        wait = error.retry_after if error.retry_after < MAX_RETRY_AFTER else MAX_RETRY_AFTER
        headers += (
            (b"retry-after", b"%d" % max(1, math.ceil(wait))),
            (b"retry-after-ms", b"%d" % max(1, math.ceil(wait * 1000))),
        )
    retryable = error.retryable
    if retryable is None and (error.public_status >= 500 or error.public_status == 409):
        # Our own attempts are spent: the SDK's would only repeat them.
        retryable = False
    if retryable is not None:
        headers.append((b"x-should-retry", b"true" if retryable else b"false"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode()))
    return headers


def error_frame(error: GatewayError, service: Service, number: int) -> bytes:
    """The end of a broken stream: an error that every SDK raises on, then `[DONE]`. `number` is for streams that number
    their events."""
    body = error_object(error)
    if service is Service.RESPONSES:
        # Named events carry the fields at the top; `error` is there for SDKs that only look for it.
        told = {"code": body["code"], "message": body["message"], "param": body["param"]}
        event = {"type": "error", "sequence_number": number, **told}
        return b"event: error\ndata: " + orjson.dumps({**event, "error": body}) + b"\n\n" + DONE
    return b"data: " + orjson.dumps({"error": body}) + b"\n\n" + DONE
