"""From a provider's refusal to our error tree, in the vocabulary of OpenAI's API and its imitators."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from gateway.errors import (
    ProviderAuthFailed,
    UpstreamConflict,
    UpstreamContentFiltered,
    UpstreamContextWindow,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRedirected,
    UpstreamRejected,
    UpstreamRequestTimeout,
    UpstreamServerError,
    UpstreamTimeout,
)
from gateway.types import Headers

MAX_MESSAGE = 1000
MAX_RETRY_AFTER = 120.0
BARE_RETRY_AFTER = 5.0

# Provider texts can quote keys, account names' URLs and host names; none of that is the client's business.
_SECRETS = re.compile(
    r"(?:(?i:bearer)\s+[\w\-.~+/=:]+)|(?:\b(?:sk|csk|pk|rk|gsk|xai|hf|pplx|key|nvapi|ghp|tgp|AIza)[-_][\w\-*.]{6,})"
    r"|(?:\bAIza[\w\-]{10,})|(?:\beyJ[\w\-.]{20,})|(?:\bya29\.[\w\-.]{10,})|(?:\bA[KS]IA[A-Z0-9]{12,})"
)
_URLS = re.compile(r"\b(?:https?|wss?)://\S+", re.IGNORECASE)
_CONTEXT = re.compile(
    r"maximum context|context[ _](?:length|window|limit)|prompt is too long|too many (?:input )?tokens"
    r"|length of all messages is too long|maximum prompt length|range of input length should be",
    re.IGNORECASE,
)
_FILTERED = re.compile(
    r"content management policy|content[ _-]?(?:filter|policy)|safety (?:system|polic)|(?:was|were|been) flagged"
    r"|usage polic(?:y|ies)",
    re.IGNORECASE,
)
_CONTEXT_CODES = frozenset({"context_length_exceeded", "context_window_exceeded", "model_context_window_exceeded"})
_FILTER_CODES = frozenset(
    {
        "content_filter",
        "content_filtered",
        "content_policy",
        "content_policy_violation",
        "ResponsibleAIPolicyViolation",
        "moderation_blocked",
        "data_inspection_failed",
        "guardrail_intervened",
        "bio_policy",
        "misalignment_policy_violation",
        "image_content_policy_violation",
    }
)
"""What OpenAI, Azure, Alibaba, Bedrock and their imitators call a refusal by their filters."""
_REQUEST_CODES = frozenset(
    {
        "data_residency_mismatch",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
    }
)
"""What OpenAI says inside a 200 of a request that it cannot serve, of all the codes that do not say `invalid`
(https://platform.openai.com/docs/api-reference/responses/object, `error.code`)."""
_OF_THE_REQUEST = _FILTER_CODES | _CONTEXT_CODES | _REQUEST_CODES
_IDENTIFIER = re.compile(r"[\w.\-\[\]/]{1,128}")


def clean(text: str) -> str:
    """Provider text a client may read: no keys, no URLs, no control characters, bounded in length."""
    text = _URLS.sub("[url]", _SECRETS.sub("[redacted]", text))
    return "".join(c if c.isprintable() else " " for c in text[:MAX_MESSAGE]).strip()


def error_from_reply(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """What a non-2xx answer means (the failure table's rows for statuses)."""
    fields = error_fields(body)
    if 300 <= status < 400:
        return UpstreamRedirected()
    return error_from_fields(status, fields, retry_after(headers))


def error_from_event(error: Any) -> UpstreamError:
    """What an error object inside a 200 means; its `code` may be an HTTP status, as OpenRouter has it."""
    fields = error if isinstance(error, dict) else {"message": error if isinstance(error, str) else ""}
    status = _status_of(fields)
    failure = error_from_fields(status, fields, None)
    return failure if status != 200 else UpstreamServerError()


def error_fields(body: bytes) -> Mapping[str, Any]:
    """The error object of a body in any of the usual wrappings; empty when there is none."""
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, dict):
        return {}
    error = data.get("error", data)
    if isinstance(error, str):
        return {"message": error}
    if isinstance(error, dict) and (error is not data or "message" in data or "code" in data):
        return error
    detail = data.get("detail") or data.get("message")
    return {"message": detail} if isinstance(detail, str) else _first_fault(detail)


def _first_fault(detail: Any) -> Mapping[str, Any]:
    """The first of the faults that FastAPI's servers list (Mistral, vLLM): what it is, and where."""
    fault = detail[0] if isinstance(detail, list) and detail else None
    if not isinstance(fault, dict) or not isinstance(fault.get("msg"), str):
        return {}
    place = fault.get("loc")
    steps = [str(step) for step in place if step != "body"] if isinstance(place, list) else []
    param = ".".join(steps[:8])
    return {"message": f"{param}: {fault['msg']}" if param else fault["msg"], "param": param or None}


def error_from_fields(status: int, fields: Mapping[str, Any], wait: float | None) -> UpstreamError:
    """The failure that an HTTP status and an error object stand for; `wait` is the provider's Retry-After in
    seconds."""
    code = _identifier(fields.get("code"))
    kind = _identifier(fields.get("type"))
    if status == 429 and "insufficient_quota" in (code, kind):
        return ProviderAuthFailed()
    if status == 429:
        return UpstreamRateLimited(retry_after=BARE_RETRY_AFTER if wait is None else wait, bare=wait is None)
    if status == 403 and _is_filtered(fields, code, kind):
        status = 400  # OpenRouter: the input was flagged; nothing is wrong with our credential
    simple = _BY_STATUS.get(status)
    if simple is not None:
        return simple()
    if status in (503, 529):
        return UpstreamOverloaded(retry_after=1.0 if wait is None else wait)
    if status >= 500:
        return UpstreamServerError()
    message = fields.get("message")
    text = message if isinstance(message, str) and message.strip() else None
    kind_of_error: type[UpstreamRejected] = UpstreamRejected
    if code in _CONTEXT_CODES or kind in _CONTEXT_CODES or (text is not None and _CONTEXT.search(text)):
        kind_of_error = UpstreamContextWindow
    elif _is_filtered(fields, code, kind):
        kind_of_error = UpstreamContentFiltered
    return kind_of_error(
        None if text is None else clean(text),
        upstream_status=status,
        upstream_type=kind if kind and "_" in kind else None,
        upstream_code=code,
        param=_identifier(fields.get("param")),
    )


def _is_filtered(fields: Mapping[str, Any], code: str | None, kind: str | None) -> bool:
    """Whether a content filter refused the request."""
    inner = fields.get("innererror")
    deeper = _identifier(inner.get("code")) if isinstance(inner, dict) else None
    if not _FILTER_CODES.isdisjoint((code, kind, deeper)):
        return True
    message = fields.get("message")
    return code is None and isinstance(message, str) and _FILTERED.search(message) is not None


_BY_STATUS: dict[int, type[UpstreamError]] = {
    401: ProviderAuthFailed,
    402: ProviderAuthFailed,
    403: ProviderAuthFailed,
    408: UpstreamRequestTimeout,
    409: UpstreamConflict,
    424: UpstreamServerError,
    504: UpstreamTimeout,
}
_BY_WORD = {
    "rate_limit": 429,
    "insufficient_quota": 429,
    "too_many_requests": 429,
    "overloaded": 503,
    "unavailable": 503,
    "authentication": 401,
    "invalid_api_key": 401,
    "permission": 403,
    "billing": 402,
    "timeout": 504,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "content_policy": 400,
    "invalid": 400,
    "not_found": 404,
}


def _status_of(fields: Mapping[str, Any]) -> int:
    """The HTTP status an in-band error stands for; 200 when it tells nothing."""
    for name in ("status", "status_code", "code"):
        value = fields.get(name)
        if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            return value
    if not _OF_THE_REQUEST.isdisjoint((_identifier(fields.get("code")), _identifier(fields.get("type")))):
        return 400
    words = f"{fields.get('code')} {fields.get('type')}".lower()
    return next((status for word, status in _BY_WORD.items() if word in words), 200)


def retry_after(headers: Headers) -> float | None:
    """Seconds the provider asks us to wait (`retry-after-ms`, `retry-after` in seconds or as a date), or None."""
    for wanted, per_second in ((b"retry-after-ms", 1000.0), (b"retry-after", 1.0)):
        for name, value in headers:
            if name == wanted:
                seconds = _seconds(value.decode("latin-1"), per_second)
                if seconds is not None:
                    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
    return None


def _seconds(value: str, per_second: float) -> float | None:
    try:
        seconds = float(value) / per_second
    except ValueError:
        pass
    else:
        return seconds if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(value)
        # Without a zone it is GMT, as every HTTP date is (RFC 9110, 5.6.7).
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


def _identifier(value: Any) -> str | None:
    return value if isinstance(value, str) and _IDENTIFIER.fullmatch(value) and not _SECRETS.search(value) else None
