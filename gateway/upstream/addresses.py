"""The address check of outgoing connections: resolve once, look at every address, connect to one that was looked at.

It runs when a connection is made and at no other time: pooled connections are what they were. Nothing can change
between the check and the connect, since the name is not resolved again.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar

from gateway.addresses import literal, permitted
from gateway.errors import UpstreamAddressForbidden

if TYPE_CHECKING:
    from gateway.ports import Endpoint

_T = TypeVar("_T")

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host, best first. Raises socket.gaierror, and UnicodeError for what cannot be a name."""

_TRY_NEXT = frozenset(
    {
        errno.ECONNREFUSED,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.ETIMEDOUT,
    }
)


async def resolve(host: str, port: int) -> Sequence[str]:
    """As the system does it: `/etc/hosts`, DNS, and the odd spellings of addresses."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


async def checked(endpoint: Endpoint, resolver: Resolver) -> Sequence[str]:
    """Where to connect, best first. Raises UpstreamAddressForbidden unless every address is permitted, and what the
    resolver raises."""
    host = endpoint.pinned_ip or endpoint.host
    addresses = [host.strip("[]")] if literal(host) is not None else await resolver(host, endpoint.port)
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "no address")
    private, networks = endpoint.private_network, endpoint.networks
    if not all(permitted(ip_address(address), private=private, networks=networks) for address in addresses):
        raise UpstreamAddressForbidden
    return addresses


async def first_to_answer(addresses: Sequence[str], connect: Callable[[str], Awaitable[_T]]) -> _T:
    """Connect to the first address that takes it, one after the other. Raises what the last one raised."""
    for address in addresses[:-1]:
        try:
            return await connect(address)
        except OSError as error:
            if error.errno not in _TRY_NEXT:
                raise
    return await connect(addresses[-1])
