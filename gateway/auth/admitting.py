"""Whether a request may come in: by its Host, by what carries its credential, by its role. Pure."""

from __future__ import annotations

import hmac
import re
from collections.abc import Collection, Mapping
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.auth.sessions import COOKIE, csrf_of

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing: RFC 9110, 9.2.1."""
CSRF_HEADER = b"x-csrf-token"
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


class Carried(NamedTuple):
    """What a request brings: a credential in a header, or a session's token in a cookie."""

    credential: bytes | None = None
    session: str | None = None


def carried(headers: Mapping[bytes, bytes], credential: bytes | None) -> Carried:
    """A header is meant; a cookie is sent along by the browser, so the header decides where there are both."""
    if credential is not None:
        return Carried(credential)
    return Carried(None, session_of(headers))


def session_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The session's token that the cookie holds."""
    text = headers.get(b"cookie")
    if text is None:
        return None
    try:
        found = SimpleCookie(text.decode("latin-1")).get(COOKIE)
    except CookieError:
        return None
    return found.value or None if found is not None else None


def host_is_sane(headers: Mapping[bytes, bytes]) -> bool:
    """Host is a name or address and a port, and nothing that could be read as a path."""
    return _HOST.fullmatch(headers.get(b"host", b"")) is not None


def host_is_allowed(headers: Mapping[bytes, bytes], allowed: Collection[str]) -> bool:
    """On loopback: Host, and Origin if there is one, name this machine, or what the operator allows. A page elsewhere
    whose name was made to resolve to loopback says its own name here."""
    host = _hostname(f"//{headers.get(b'host', b'').decode('latin-1')}")
    origin = headers.get(b"origin")
    named = [host] if origin is None else [host, _hostname(origin.decode("latin-1"))]
    return all(_is_loopback(name) or name in allowed for name in named)


def is_same_origin(headers: Mapping[bytes, bytes], method: str) -> bool:
    """Whether a request with a cookie comes from a page of ours. Browsers say so in Sec-Fetch-Site, older ones in
    Origin; what changes something and says neither is refused."""
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin" or (site == b"none" and method in SAFE)
    origin = headers.get(b"origin")
    if origin is None:
        return method in SAFE
    return _netloc(origin.decode("latin-1")) == headers.get(b"host", b"").decode("latin-1").lower()


def has_csrf_token(headers: Mapping[bytes, bytes], session: str, method: str) -> bool:
    """What changes something shows the session's token, which only a page of ours can know."""
    if method in SAFE:
        return True
    return hmac.compare_digest(headers.get(CSRF_HEADER, b""), csrf_of(session).encode())


def _netloc(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.netloc.lower() if parts.scheme in ("http", "https") else ""


def _hostname(url: str) -> str:
    try:
        parts = urlsplit(url)
        return "" if parts.path or parts.query or parts.fragment or "@" in parts.netloc else parts.hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host.rstrip(".") == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
