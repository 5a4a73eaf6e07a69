"""Which addresses the gateway may connect to: public ones, private ones where an operator said so, and never the rest.

Pure. `ipaddress.is_global` is not enough: it calls addresses global that only wrap another one (NAT64, 6to4, IPv4 in
IPv6), multicast, and Azure's metadata service at 168.63.129.16.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Reach(IntEnum):
    """How far a connection to an address goes; the higher, the more it takes to be allowed."""

    PUBLIC = 0
    PRIVATE = 1
    """This machine, or a network of one's own: for endpoints that are allowed to be there."""
    FORBIDDEN = 2
    """Metadata services and everything else on the link, multicast, unspecified, reserved: never."""


def _v4(*networks: str) -> tuple[IPv4Network, ...]:
    return tuple(IPv4Network(network) for network in networks)


def _v6(*networks: str) -> tuple[IPv6Network, ...]:
    return tuple(IPv6Network(network) for network in networks)


# https://www.iana.org/assignments/iana-ipv4-special-registry, and where clouds keep their metadata services.
_FORBIDDEN_V4 = _v4(
    "0.0.0.0/8",  # this host: Linux takes it for loopback
    "100.100.100.200/32",  # Alibaba Cloud's metadata service, inside what is private otherwise
    "168.63.129.16/32",  # Azure's, on an address that looks public
    "169.254.0.0/16",  # link-local: the metadata services of AWS, GCP, Azure, Oracle, OpenStack, Tencent, …
    "192.0.0.0/24",  # protocol assignments; Oracle's old metadata service at .192
    "192.0.2.0/24",
    "192.88.99.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",  # and the broadcast address
)
_PRIVATE_V4 = _v4(
    "10.0.0.0/8",
    "100.64.0.0/10",  # carrier-grade NAT, and overlay networks
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
)
# https://www.iana.org/assignments/iana-ipv6-special-registry: what is not listed as reachable there is not reachable.
_PUBLIC_V6 = _v6("2000::/3")
_FORBIDDEN_V6 = _v6(
    "2001::/23",  # protocol assignments, Teredo among them
    "2001:db8::/32",
    "3fff::/20",
    "fd00:ec2::/32",  # AWS's metadata service and its like, inside what is private otherwise
    "fd20:ce::/32",  # GCP's
    "fd00:c1::a9fe:a9fe/128",  # Oracle's
)
_PRIVATE_V6 = _v6("::1/128", "fc00::/7")
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_6TO4 = IPv6Network("2002::/16")
_WRAPPED = _v6("::/96", "::ffff:0:0:0/96")
"""IPv4-compatible and IPv4-translated addresses: obsolete, and some systems still unwrap them."""
_ISATAP = frozenset({b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe"})


def reach_of(address: Address) -> Reach:
    """The worst of the address and of every IPv4 address that it may stand for."""
    if isinstance(address, IPv4Address):
        return _reach_v4(address)
    if address.ipv4_mapped is not None:
        return _reach_v4(address.ipv4_mapped)
    return max(_reach_v6(address), *map(_reach_v4, _inner(address)), Reach.PUBLIC)


def _reach_v4(address: IPv4Address) -> Reach:
    if any(address in network for network in _FORBIDDEN_V4):
        return Reach.FORBIDDEN
    return Reach.PRIVATE if any(address in network for network in _PRIVATE_V4) else Reach.PUBLIC


def _reach_v6(address: IPv6Address) -> Reach:
    if any(address in network for network in _FORBIDDEN_V6):
        return Reach.FORBIDDEN
    if address in _LOCAL_NAT64 or any(address in network for network in _PRIVATE_V6):
        return Reach.PRIVATE
    if address in _NAT64 or any(address in network for network in _PUBLIC_V6):
        return Reach.PUBLIC
    return Reach.FORBIDDEN


def _inner(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses that a translator or a tunnel on the way would connect to."""
    packed = address.packed
    if address in _NAT64 or (address in _WRAPPED[0] and int(address) > 1) or address in _WRAPPED[1]:
        yield IPv4Address(packed[12:])
    if address in _LOCAL_NAT64:  # RFC 6052, 2.2: the layout of a /48, or that of a /96 below it
        for inside in (packed[6:8] + packed[9:11], packed[12:]):
            if any(inside):
                yield IPv4Address(inside)
    if address in _6TO4:
        yield IPv4Address(packed[2:6])
    if packed[8:12] in _ISATAP:
        yield IPv4Address(packed[12:])


def permitted(address: Address, *, private: bool, networks: tuple[Network, ...] = ()) -> bool:
    """Whether a connection may go there: `private` allows every private address, `networks` those inside them."""
    reach = reach_of(address)
    if reach is Reach.PRIVATE:
        return private or any(plain(address) in network for network in networks)
    return reach is Reach.PUBLIC


def plain(address: Address) -> Address:
    """An IPv4 address that is written as an IPv6 one, as itself."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def literal(host: str) -> Address | None:
    """The address that a host is written as; None for a name, and for the other spellings that resolvers take for
    addresses (`127.1`, `0x7f000001`): those are resolved as names are."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def names_private(host: str) -> bool:
    """The host itself, not what it resolves to, says that it is on this machine or in a private network."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, 6.3
        return True
    address = literal(host)
    return address is not None and reach_of(address) is Reach.PRIVATE
