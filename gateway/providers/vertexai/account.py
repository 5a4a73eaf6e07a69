"""Accounts of Google Cloud: the JSON file of a service account or a user, and the token that it is worth (RFC 7523)."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from gateway.errors import ProviderAuthFailed, UpstreamBadResponse, UpstreamServerError
from gateway.ports import RequestHead, Token, TokenRequest
from gateway.providers.wire.head import USER_AGENT, endpoint_at, host_header
from gateway.types import Provider

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105 (an address)
LIFE = 3600
"""Seconds; Google gives no longer ones."""
_MAX_FILE = 64 * 1024


class Account(msgspec.Struct, gc=False):
    """The file as Google writes it."""

    type: str
    token_uri: str = TOKEN_URI
    client_email: str = ""
    private_key: str = ""
    private_key_id: str = ""
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""

    def __repr__(self) -> str:
        # Not the fields: they hold the private key.
        return f"<Account {self.type}>"


class _Granted(msgspec.Struct, gc=False):
    access_token: str
    expires_in: float = LIFE


_GRANTED = msgspec.json.Decoder(_Granted)


def read_account(path: str) -> Account:
    """Raises ProviderAuthFailed for a file that is not there, or not of a kind we know."""
    try:
        with Path(path).open("rb") as file:
            account = msgspec.json.decode(file.read(_MAX_FILE), type=Account)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        raise ProviderAuthFailed from None
    if account.type not in ("service_account", "authorized_user") or "://" not in account.token_uri:
        raise ProviderAuthFailed
    return account


def token_request_of(account: Account, provider: Provider, now: float) -> TokenRequest:
    """One POST of a form. Raises ProviderAuthFailed for a key that cannot sign."""
    endpoint, target = endpoint_at(account.token_uri, provider)
    headers = (
        (b"host", host_header(endpoint)),
        (b"user-agent", USER_AGENT),
        (b"accept-encoding", b"identity"),
        (b"content-type", b"application/x-www-form-urlencoded"),
    )
    return TokenRequest(RequestHead(endpoint, b"POST", target.encode() or b"/", headers), _form(account, now))


def read_token(status: int, body: bytes, now: float) -> Token:
    """Google's answer. Raises ProviderAuthFailed for a refusal, or another UpstreamError."""
    if 400 <= status < 500:
        raise ProviderAuthFailed
    if status != 200:
        raise UpstreamServerError
    try:
        granted = _GRANTED.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise UpstreamBadResponse from None
    return Token(granted.access_token, now + granted.expires_in)


def _form(account: Account, now: float) -> bytes:
    if account.type == "authorized_user":
        fields = {
            "grant_type": "refresh_token",
            "client_id": account.client_id,
            "client_secret": account.client_secret,
            "refresh_token": account.refresh_token,
        }
    else:
        fields = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion(account, now)}
    return urlencode(fields).encode()


def assertion(account: Account, now: float) -> str:
    """A signed statement of who asks for which scope. Raises ProviderAuthFailed for a key that cannot sign."""
    head = {"alg": "RS256", "typ": "JWT", **({"kid": account.private_key_id} if account.private_key_id else {})}
    claims = {
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": account.token_uri,
        "iat": int(now),
        "exp": int(now) + LIFE,
    }
    signed = f"{_encoded(head)}.{_encoded(claims)}"
    return f"{signed}.{_base64(_signature(account.private_key, signed.encode()))}"


def _signature(key: str, data: bytes) -> bytes:
    # Imported by who has such an account alone: it takes a while, and room.
    from gateway.providers.vertexai.signing import rs256  # noqa: PLC0415

    try:
        return rs256(key, data)
    except ValueError:
        raise ProviderAuthFailed from None


def _encoded(value: Any) -> str:
    return _base64(msgspec.json.encode(value))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
