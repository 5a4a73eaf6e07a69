"""Azure's refusals in OpenAI's words: its filters, deployments that do not exist, waits told in the text."""

from __future__ import annotations

import re

from gateway.errors import UpstreamContentFiltered, UpstreamError, UpstreamRateLimited, UpstreamRejected
from gateway.providers.wire.errors import clean, error_fields, error_from_reply
from gateway.types import Headers

_CODES = {
    "DeploymentNotFound": "model_not_found",
    "ModelNotFound": "model_not_found",
    "unknown_model": "model_not_found",
}
_FILTERED = frozenset({"contentFilter", "ResponsibleAIPolicyViolation"})
_WAIT = re.compile(r"retry after (\d{1,6}) (?:milli)?second", re.IGNORECASE)
MAX_WAIT = 120.0


def error_of(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """What a non-2xx answer means."""
    error = error_from_reply(status, headers, body)
    fields = error_fields(body)
    code, message = str(fields.get("code")), fields.get("message")
    if isinstance(error, UpstreamRateLimited) and error.bare and isinstance(message, str):
        return _waiting(error, message)
    if isinstance(error, UpstreamRejected):
        text = clean(message) if isinstance(message, str) and message.strip() else None
        if code in _FILTERED or (isinstance(error, UpstreamContentFiltered) and error.public_code in _FILTERED):
            return UpstreamContentFiltered(text, upstream_status=400, upstream_code="content_filter", param=error.param)
        if code in _CODES:
            return UpstreamRejected(text, upstream_status=status, upstream_code=_CODES[code], param=error.param)
    return error


def _waiting(error: UpstreamRateLimited, message: str) -> UpstreamRateLimited:
    """Where the header is missing, the text says how long to wait."""
    found = _WAIT.search(message)
    if found is None:
        return error
    seconds = int(found[1]) / (1000 if "milli" in found[0].lower() else 1)
    return UpstreamRateLimited(retry_after=min(seconds, MAX_WAIT))
