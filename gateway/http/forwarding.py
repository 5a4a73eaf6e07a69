"""Where a request comes from when proxies stand before the gateway. Pure.

A header is worth what its writer is: `X-Forwarded-For` is read when it was a proxy of the operator's who connected, and
no further to the left than proxies of the operator's wrote it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from gateway.addresses import Address, Network, literal, plain

FORWARDED_FOR = b"x-forwarded-for"
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|(\d[\d.]*):\d{1,5}")
"""As some proxies write an address, the port behind it."""


def client_of(peer: str, pairs: Iterable[tuple[bytes, bytes]], proxies: tuple[Network, ...]) -> str:
    """The nearest address on the way that is no proxy of ours; the farthest known, where all of them are.

    `pairs`: the request's headers with lower-case names. `proxies`: the operator's, none by default: then it is the
    peer.
    """
    if not proxies or not _is_ours(peer, proxies):
        return peer
    found = peer
    for hop in _hops(pairs):
        address = _address(hop)
        if address is None:
            return found  # nobody knows what stands before it
        found = str(address)
        if not _is_in(address, proxies):
            return found
    return found


def _hops(pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[str]:
    """What the header lists, the nearest first. Several lines are one list: RFC 9110, 5.3."""
    lines = [value for name, value in pairs if name == FORWARDED_FOR]
    for line in reversed(lines):
        yield from reversed(line.decode("latin-1").split(","))


def _address(hop: str) -> Address | None:
    word = hop.strip()
    found = _WITH_PORT.fullmatch(word)
    address = literal(word if found is None else found[1] or found[2] or "")
    return None if address is None else plain(address)


@lru_cache(maxsize=256)
def _is_ours(peer: str, proxies: tuple[Network, ...]) -> bool:
    address = _address(peer)
    return address is not None and _is_in(address, proxies)


def _is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
