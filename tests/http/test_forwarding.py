"""Whose address a request is booked under when proxies stand before the gateway."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.http.forwarding import client_of

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
CLIENT = "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("10.0.0.1", [CLIENT], CLIENT),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("198.51.100.7", [CLIENT], "198.51.100.7"),  # no proxy of ours: what it says is its own invention
        ("10.0.0.1", [f"6.6.6.6, {CLIENT}"], CLIENT),  # the client's invention, and what our proxy saw
        ("10.0.0.1", ["6.6.6.6", CLIENT], CLIENT),
        ("10.0.0.1", ["6.6.6.6,10.9.9.9", f"{CLIENT},10.0.0.2"], CLIENT),
        ("10.0.0.1", [f"10.9.9.9, {CLIENT}, 10.0.0.3,10.0.0.2"], CLIENT),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),  # somebody in the proxies' own network
        ("10.0.0.1", [f"{CLIENT}, unknown"], "10.0.0.1"),
        ("10.0.0.1", [f"{CLIENT}, _hidden, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [f"{CLIENT},, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [f"{CLIENT}:51234"], CLIENT),
        ("10.0.0.1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("10.0.0.1", ["2001:DB8:0::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", [CLIENT], CLIENT),
        ("10.0.0.1", [f"::ffff:{CLIENT}"], CLIENT),
        ("10.0.0.1", [f"{CLIENT}, ::ffff:10.0.0.2"], CLIENT),
        ("fd00::1", [CLIENT], CLIENT),
        ("10.0.0.1", ["0x7f.1"], "10.0.0.1"),
        ("10.0.0.1", ["localhost\r\nx: y"], "10.0.0.1"),
        ("", [CLIENT], ""),
    ],
)
def test_the_nearest_that_is_no_proxy_of_ours(peer: str, lines: list[str], client: str) -> None:
    """What proxies of ours wrote is believed, from the right; what stands before it is anybody's."""
    pairs = [(b"host", b"gw"), *((b"x-forwarded-for", line.encode("latin-1")) for line in lines)]
    assert client_of(peer, pairs, PROXIES) == client
    assert client_of(peer, pairs, ()) == peer


def test_no_other_header_counts() -> None:
    """What a proxy does not write, it may pass on from a client."""
    names = (b"forwarded", b"x-real-ip", b"true-client-ip", b"cf-connecting-ip", b"x-client-ip")
    pairs = [(name, CLIENT.encode()) for name in names]
    assert client_of("10.0.0.1", pairs, PROXIES) == "10.0.0.1"
