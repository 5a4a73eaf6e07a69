"""Refusals of Bedrock's: by the exception's name where it tells more than the status, in an answer or in a stream."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.errors import ProviderAuthFailed, UnsupportedParameter, UpstreamError
from gateway.providers.wire.errors import error_from_fields, retry_after
from gateway.types import Headers

_STATUSES = {
    "validationexception": 400,
    "accessdeniedexception": 403,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 408,
    "modelerrorexception": 424,
    "modelstreamerrorexception": 424,
    "throttlingexception": 429,
    "modelnotreadyexception": 429,
    "servicequotaexceededexception": 429,
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
}
"""What each exception stands for. A quota is told as a 400, but the request is not at fault."""
_CREDENTIALS = frozenset(
    {
        "unrecognizedclientexception",
        "expiredtokenexception",
        "expiredtoken",
        "invalidsignatureexception",
        "incompletesignatureexception",
        "missingauthenticationtokenexception",
        "invalidclienttokenid",
        "optinrequired",
    }
)
_CONTEXT = re.compile(
    r"input is too long|too many (?:input tokens|total text bytes)|exceeds the maximum .{0,20}tokens", re.IGNORECASE
)
_MODEL = re.compile(r"model identifier is invalid|could not resolve the foundation model", re.IGNORECASE)
_UNCOUNTED = re.compile(r"doesn.t support counting tokens", re.IGNORECASE)
_ARN = re.compile(r"\barn:aws[\w-]*:\S+")


class _Refusal(msgspec.Struct, gc=False):
    message: Any = None
    Message: Any = None
    type_: Any = msgspec.field(name="__type", default=None)
    error: Any = None


_REFUSAL = msgspec.json.Decoder(_Refusal)
_NOTHING = _Refusal()


def error_of(status: int, headers: Headers, body: bytes) -> UpstreamError:
    """What a non-2xx answer means."""
    told = _told(body)
    named = next((value.decode("latin-1") for name, value in headers if name == b"x-amzn-errortype"), told.type_)
    return _meant(_plain(named), status, told, retry_after(headers))


def error_in_stream(name: str, data: bytes) -> UpstreamError:
    """What an exception in the middle of a stream means."""
    plain = _plain(name)
    return _meant(plain, _STATUSES.get(plain, 500), _told(data), None)


def _meant(name: str, status: int, told: _Refusal, wait: float | None) -> UpstreamError:
    if name in _CREDENTIALS:
        return ProviderAuthFailed()
    if 400 <= status < 500:
        status = _STATUSES.get(name, status)
    message = told.message if isinstance(told.message, str) else told.Message
    fields: dict[str, Any] = {}
    if isinstance(message, str):
        if _UNCOUNTED.search(message):
            return UnsupportedParameter("This model's tokens are not counted.", param="model")
        fields["message"] = _ARN.sub("[arn]", message)
        if _CONTEXT.search(message):
            fields["code"] = "context_length_exceeded"
        elif status == 404 or _MODEL.search(message):
            fields["code"], fields["param"] = "model_not_found", "model"
    return error_from_fields(status, fields, wait)


def _told(body: bytes) -> _Refusal:
    try:
        return _REFUSAL.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _NOTHING


def _plain(name: Any) -> str:
    """Without what may stand around it: `com.amazon.coral.service#ThrottlingException:http://…`."""
    return name.partition(":")[0].rpartition("#")[2].strip().lower() if isinstance(name, str) else ""
