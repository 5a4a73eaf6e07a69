"""Refusals of watsonx.ai (`{"errors": [{"code", "message"}], "trace", "status_code"}`)."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.errors import (
    ProviderAuthFailed,
    UpstreamContextWindow,
    UpstreamError,
    UpstreamRejected,
    UpstreamServerError,
)
from gateway.providers.wire.errors import clean, error_from_fields, error_from_reply, retry_after
from gateway.types import Headers

_CONTEXT = re.compile(
    r"cannot exceed the total tokens limit|longer than the specified maximum sequence length|max sequence length",
    re.IGNORECASE,
)
_OURS = frozenset(
    {
        "no_associated_service_instance_error",
        "invalid_instance_status_error",
        "inactive_instance_error",
        "token_quota_reached",
    }
)
"""Codes of what is wrong with the operator's project or plan."""
_MODEL = frozenset({"model_not_supported", "model_no_support_for_function", "deployment_not_found"})


class _Error(msgspec.Struct, gc=False):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct, gc=False):
    errors: list[_Error] = []
    status_code: int | None = None


_ERRORS = msgspec.json.Decoder(_Errors)


def error_of(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """What a non-2xx answer means. What is said of credentials stays here."""
    error = _first(body)
    if error is None or 300 <= status < 400:
        return error_from_reply(status, headers, body)
    return _failure(status, error, retry_after(headers))


def error_in_stream(data: bytes) -> UpstreamError:
    """What an error event means; without a status it is the provider's own failure."""
    error = _first(data)
    try:
        status = _ERRORS.decode(data).status_code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        status = None
    if error is None or status is None or not 400 <= status < 600:
        return UpstreamServerError()
    return _failure(status, error, None)


def _first(body: bytes) -> _Error | None:
    try:
        errors = _ERRORS.decode(body).errors
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return errors[0] if errors else None


def _failure(status: int, error: _Error, wait: float | None) -> UpstreamError:
    if error.code in _OURS:
        return ProviderAuthFailed()
    if status == 400 and _CONTEXT.search(error.message):
        return UpstreamContextWindow(clean(error.message), upstream_status=400)
    if error.code in _MODEL:
        text = clean(error.message)
        return UpstreamRejected(text, upstream_status=404, upstream_code="model_not_found", param="model")
    fields: dict[str, Any] = {"message": error.message, "code": error.code or None}
    return error_from_fields(status, fields, wait)
