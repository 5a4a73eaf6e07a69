"""Addresses of the imported file."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

_LOCAL = (".local", ".internal", ".lan", ".svc", ".cluster.local", ".localhost")


def host_of(address: Any) -> str:
    """The host name in lower case; empty when there is none."""
    if not isinstance(address, str):
        return ""
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def is_private(address: Any) -> bool:
    """Whether it is on this machine or in its network, as far as its name tells."""
    host = host_of(address)
    if not host:
        return False
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_LOCAL)
