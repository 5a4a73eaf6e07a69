"""What workers tell the administrator beside a request that they pass on. A client's own headers of these names are
dropped."""

from __future__ import annotations

PEER = b"x-gateway-peer"
"""The address that the request came from, as the connection says, or a proxy of the operator's."""
LISTENER = b"x-gateway-listener"
"""`loopback`, or `network` when the gateway listens on an address that others reach."""
LOOPBACK, NETWORK = b"loopback", b"network"
PRIVATE = frozenset({PEER, LISTENER})

ADMINISTRATION = ("/api/", "/console/")


def is_administration(path: str) -> bool:
    """Whether this path belongs to the administrator."""
    return path.startswith(ADMINISTRATION) or path in ("/api", "/console")
