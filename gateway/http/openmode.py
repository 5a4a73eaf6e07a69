"""Open mode serves this machine only: a page in a browser must not reach it through a name that resolves to
loopback."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.errors import ForbiddenHost

_NAMES = frozenset({"localhost"})


def is_loopback(host: str) -> bool:
    """Whether this host name or address, without a port, is this machine's loopback."""
    if host.lower().rstrip(".") in _NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_foreign(headers: Mapping[bytes, bytes]) -> None:
    """Raises ForbiddenHost for a Host that is no loopback name, or an Origin elsewhere (DNS rebinding, cross-site
    requests)."""
    host = headers.get(b"host", b"").decode("latin-1")
    if not is_loopback(_hostname(f"//{host}")):
        raise ForbiddenHost
    origin = headers.get(b"origin")
    if origin is not None and not is_loopback(_hostname(origin.decode("latin-1"))):
        raise ForbiddenHost


def _hostname(url: str) -> str:
    try:
        parts = urlsplit(url)
        # Anything but host and port in a Host header is an attempt to be misread.
        return "" if parts.path or parts.query or parts.fragment or "@" in parts.netloc else parts.hostname or ""
    except ValueError:
        return ""
