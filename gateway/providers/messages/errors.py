"""Refusals of the Messages API, as far as they differ from everyone's."""

from __future__ import annotations

import re

from gateway.errors import ProviderAuthFailed, UpstreamError, UpstreamRejected
from gateway.providers.wire.errors import clean, error_fields, error_from_reply
from gateway.types import Headers

_BILLING = re.compile(r"credit balance is too low", re.IGNORECASE)


def error_of(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """What a non-2xx answer means. An empty account is told as a 400, an unknown model as a 404 without a code."""
    fields = error_fields(body)
    message = fields.get("message")
    text = message if isinstance(message, str) else ""
    if status == 400 and _BILLING.search(text):
        return ProviderAuthFailed()
    if status == 404 and text.startswith("model:"):
        return UpstreamRejected(clean(text), upstream_status=404, upstream_code="model_not_found", param="model")
    return error_from_reply(status, headers, body)
