"""Refusals of Cohere's API (`{"id", "message"}`), as far as they differ from everyone's."""

from __future__ import annotations

import re

from gateway.errors import (
    ProviderAuthFailed,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamServerError,
    UpstreamTimeout,
)
from gateway.providers.wire.errors import clean, error_fields, error_from_reply, retry_after
from gateway.types import Headers

TRIAL_WAIT = 30.0
"""Seconds to leave a trial key alone: it is counted by the minute, and Cohere does not say how much of one is left."""
INVALID_TOKEN = 498
_MODEL = re.compile(r"\bmodel '.*' (?:was )?not found", re.IGNORECASE)
_MONTHLY = re.compile(r"calls?\s*/\s*month|monthly", re.IGNORECASE)
_TRIAL = re.compile(r"trial key", re.IGNORECASE)
_BUSY = re.compile(r"overload|capacity|unavailable|try again later", re.IGNORECASE)


def error_of(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """What a non-2xx answer means. Trial keys are refused by the minute, and when a month's calls are used up."""
    message = error_fields(body).get("message")
    text = message if isinstance(message, str) else ""
    if status == INVALID_TOKEN or (status == 429 and _MONTHLY.search(text)):
        return ProviderAuthFailed()
    if status == 429 and _TRIAL.search(text) and retry_after(headers) is None:
        return UpstreamRateLimited(retry_after=TRIAL_WAIT)
    if status == 404 and _MODEL.search(text):
        return UpstreamRejected(clean(text), upstream_status=404, upstream_code="model_not_found", param="model")
    return error_from_reply(status, headers, body)


def failure_of(reason: str, text: str | None) -> UpstreamError:
    """What a finish reason stands for that is none: `ERROR` or `TIMEOUT`. Its text stays here."""
    if reason == "TIMEOUT":
        return UpstreamTimeout()
    return UpstreamOverloaded(retry_after=1.0) if text and _BUSY.search(text) else UpstreamServerError()
