"""OAuth 2.0 token requests as forms, and their answers: what Entra, Google and IBM have in common."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec

from gateway.errors import ProviderAuthFailed, UpstreamBadResponse, UpstreamOverloaded, UpstreamServerError
from gateway.ports import RequestHead, Token, TokenRequest
from gateway.providers.wire.head import USER_AGENT, endpoint_at, host_header
from gateway.types import Provider

LIFE = 3600.0
"""Seconds a token is taken to live when the answer does not say."""
LONGEST = 86400.0


class _Granted(msgspec.Struct, gc=False):
    access_token: str = ""
    expires_in: float | str | None = None


_GRANTED = msgspec.json.Decoder(_Granted)


def form_request(url: str, form: Mapping[str, str], provider: Provider) -> TokenRequest:
    """A POST of this form to an identity service of the provider's."""
    endpoint, path = endpoint_at(url, provider)
    headers = (
        (b"host", host_header(endpoint)),
        (b"user-agent", USER_AGENT),
        (b"accept", b"application/json"),
        (b"accept-encoding", b"identity"),
        (b"content-type", b"application/x-www-form-urlencoded"),
    )
    return TokenRequest(RequestHead(endpoint, b"POST", (path or "/").encode(), headers), urlencode(form).encode())


def granted(status: int, body: bytes, now: float) -> Token:
    """The token of an answer (RFC 6749, 5.1). Raises ProviderAuthFailed, UpstreamOverloaded, UpstreamServerError,
    UpstreamBadResponse; what the service wrote stays here."""
    if status in (429, 503):
        raise UpstreamOverloaded(retry_after=1.0)
    if status >= 500:
        raise UpstreamServerError
    if 400 <= status < 500:
        raise ProviderAuthFailed
    try:
        answer = _GRANTED.decode(body)
        life = LIFE if answer.expires_in is None else float(answer.expires_in)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError):
        raise UpstreamBadResponse from None
    if status >= 300 or not answer.access_token:
        raise UpstreamBadResponse
    return Token(answer.access_token, now + (min(life, LONGEST) if life > 0 else LIFE))
