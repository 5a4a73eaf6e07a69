"""Refusals of Google's APIs (google.rpc.Status), as far as they differ from everyone's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.errors import ProviderAuthFailed, UpstreamError, UpstreamRejected, UpstreamServerError
from gateway.providers.wire.errors import (
    MAX_RETRY_AFTER,
    clean,
    error_fields,
    error_from_fields,
    error_from_reply,
    retry_after,
)
from gateway.types import Headers

STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""HTTP's numbers for Google's words, for errors inside of a 200."""
_KEY = re.compile(r"API key (?:not valid|expired|not found)|API_KEY_INVALID", re.IGNORECASE)
_ACCOUNT = re.compile(r"billing|User location is not supported", re.IGNORECASE)
_CONTEXT = re.compile(r"input token count|exceeds the maximum number of tokens", re.IGNORECASE)
_MODEL = re.compile(r"\bmodels?/\S+ (?:is|was) not found|Publisher Model", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


def error_of(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """What a non-2xx answer means; bodies are an object, or an array of one."""
    if 300 <= status < 400:
        return error_from_reply(status, headers, body)
    return _failure(status, error_fields(body), retry_after(headers))


def error_in_reply(error: Any) -> UpstreamError:
    """What an error object inside of a 200 means."""
    fields = error if isinstance(error, dict) else {}
    code = fields.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else STATUSES.get(str(fields.get("status")))
    return UpstreamServerError() if status is None else _failure(status, fields, None)


def _failure(status: int, fields: Mapping[str, Any], wait: float | None) -> UpstreamError:
    message = fields.get("message")
    text = message if isinstance(message, str) else ""
    if status == 400 and (_KEY.search(text) or _precondition(fields, text)):
        # A key that is no key is a 400 here, and the operator's matter.
        return ProviderAuthFailed()
    if status == 400 and _CONTEXT.search(text):
        return UpstreamRejected(clean(text), upstream_code="context_length_exceeded", param="messages")
    if status == 404 and _MODEL.search(text):
        return UpstreamRejected(clean(text), upstream_status=404, upstream_code="model_not_found", param="model")
    return error_from_fields(status, fields, wait if wait is not None else _retry_delay(fields))


def _precondition(fields: Mapping[str, Any], text: str) -> bool:
    return fields.get("status") == "FAILED_PRECONDITION" and _ACCOUNT.search(text) is not None


def _retry_delay(fields: Mapping[str, Any]) -> float | None:
    """Seconds of `google.rpc.RetryInfo`, which stands in for `retry-after`."""
    details = fields.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        match = _SECONDS.fullmatch(delay) if isinstance(delay, str) else None
        if match is not None:
            return min(float(match[1]), MAX_RETRY_AFTER)
    return None
