"""Which addresses may be connected to: every spelling of a dangerous one is recognised."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.addresses import Reach, literal, names_private, permitted, reach_of


def _words(text: str) -> list[str]:
    return text.split()


PUBLIC = _words(
    """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 104.18.7.192 126.255.255.255 128.0.0.0 168.63.129.15
168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0
192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255 2606:4700::6812:7c0 2001:200::
2a00:1450:4001:82a::200e 2001:4860:4860::8888 2620:0:2d0:200::7 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 64:ff9b::808:808
2002:808:808::1
"""
)
PRIVATE = _words(
    """
127.0.0.1 127.0.0.2 127.1.2.3 127.255.255.255 10.0.0.0 10.0.0.1 10.255.255.255 172.16.0.0 172.16.0.1 172.31.255.255
192.168.0.1 192.168.255.255 100.64.0.1 100.127.255.255 100.100.100.199 198.18.0.1 198.19.255.255 ::1 fc00::1
fd12:3456:789a::1 fdff:ffff::1 fd00:ec1::254 fd00:ec3::254 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1
::ffff:192.168.1.1 ::ffff:172.16.9.9 ::ffff:100.64.0.1 64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::10.1.2.3
64:ff9b::c0a8:101 64:ff9b:1::8.8.8.8 2002:7f00:1:: 2002:7f00:1::1 2002:a00:1:: 2002:c0a8:101:: 2002:ac10:1::
2002:6440:1:: 2600::5efe:127.0.0.1 2600::5efe:a00:1 2600::200:5efe:192.168.0.1 64:ff9b:1:808:8:800::
"""
)
FORBIDDEN = _words(
    """
169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23 169.254.42.42 169.254.1.1 169.254.0.0 169.254.255.255
168.63.129.16 100.100.100.200 192.0.0.192 192.0.0.1 192.0.0.170 0.0.0.0 0.0.0.1 0.255.255.255 224.0.0.1 224.0.0.251
239.255.255.250 240.0.0.1 250.1.1.1 255.255.255.255 192.0.2.1 198.51.100.7 203.0.113.9 192.88.99.1 :: ::2 ::7f00:1
::127.0.0.1 ::a9fe:a9fe ::8.8.8.8 ::10.0.0.1 fe80::1 fe80::a9fe:a9fe febf::1 fe80::1%eth0 fec0::1 feff::1 ff02::1
ff05::1:3 ff0e::1 fd00:ec2::254 fd00:ec2::23 fd20:ce::254 fd00:c1::a9fe:a9fe ::ffff:169.254.169.254 ::ffff:a9fe:a9fe
::ffff:0.0.0.0 ::ffff:224.0.0.1 ::ffff:168.63.129.16 ::ffff:100.100.100.200 ::ffff:255.255.255.255
::ffff:0:169.254.169.254 ::ffff:0:127.0.0.1 ::ffff:0:808:808 64:ff9b::169.254.169.254 64:ff9b::a9fe:a9fe
64:ff9b::a83f:8110 64:ff9b::0.0.0.0 64:ff9b::e000:1 64:ff9b:1::a9fe:a9fe 64:ff9b:1:a9fe:a9:fe00:: 64:ff9b:2::1
2002:a9fe:a9fe:: 2002:a9fe:a9fe::1 2002:a83f:8110:: 2002:6464:64c8:: 2002:0:0:: 2002:e000:1:: 2001::1
2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:0:a9fe:a9fe:: 2001:2::1 2001:10::1 2001:20::1 2001:db8::1
2600::5efe:169.254.169.254 2600::200:5efe:a9fe:a9fe fd12::5efe:169.254.169.254 100::1 3fff::1 5f00::1 4000::1 1000::1
a000::1 8000::a9fe:a9fe 64:ff9b:1::1 64:ff9b:1:a9fe:a9:fe00:808:808
"""
)
SPELLINGS = _words(
    """
2130706433 0x7f000001 0177.0.0.1 127.1 127.0.1 0x7f.0.0.1 0x7f.1 017700000001 00000177.0.0.1 127.0.0.01 2852039166
0xa9fea9fe 0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 169.16689662 0xa9.0xfea9fe 025177524776 0 0x0 0.0
"""
)
"""What resolvers take for 127.0.0.1, for 169.254.169.254 and for 0.0.0.0, and `ipaddress` for names."""


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    """A public address may be connected to by everyone."""
    assert reach_of(ip_address(text)) is Reach.PUBLIC
    assert permitted(ip_address(text), private=False)


@pytest.mark.parametrize("text", PRIVATE)
def test_private(text: str) -> None:
    """A private address may be connected to where an operator said so, however it is wrapped."""
    assert reach_of(ip_address(text)) is Reach.PRIVATE
    assert not permitted(ip_address(text), private=False)
    assert permitted(ip_address(text), private=True)


@pytest.mark.parametrize("text", FORBIDDEN)
def test_forbidden(text: str) -> None:
    """Metadata services, and what nothing can be served at, are refused to everyone."""
    address = ip_address(text)
    assert not permitted(address, private=False)
    assert not permitted(address, private=True, networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))


def test_there_are_many_vectors() -> None:
    """The lists above are not cut down: every one is distinct, and there are at least 120 that must be refused."""
    refused = [*PRIVATE, *FORBIDDEN, *SPELLINGS]
    assert len(set(refused)) == len(refused) >= 120


@pytest.mark.parametrize("text", SPELLINGS)
def test_odd_spellings_are_no_literals(text: str) -> None:
    """An odd spelling of an address counts as a name: it is resolved, and what comes out is checked."""
    assert literal(text) is None
    assert not names_private(text)


def test_networks_allow_what_is_in_them() -> None:
    """Some private networks may be allowed instead of all; an IPv4 address in IPv6 clothes is looked up as itself."""
    networks = (ip_network("10.1.0.0/16"), ip_network("fd12::/16"))
    assert permitted(ip_address("10.1.2.3"), private=False, networks=networks)
    assert permitted(ip_address("::ffff:10.1.2.3"), private=False, networks=networks)
    assert permitted(ip_address("fd12::1"), private=False, networks=networks)
    assert not permitted(ip_address("10.2.0.1"), private=False, networks=networks)
    assert not permitted(ip_address("127.0.0.1"), private=False, networks=networks)


@given(st.ip_addresses(v=4))
def test_wrapping_hides_nothing(address: IPv4Address) -> None:
    """No way to write an IPv4 address inside an IPv6 one reaches further than the address itself."""
    bare = reach_of(address)
    packed = address.packed
    for wrapped in (
        bytes(10) + b"\xff\xff" + packed,
        b"\x00\x64\xff\x9b" + bytes(8) + packed,
        b"\x20\x02" + packed + bytes(10),
        b"\x26\x00" + bytes(6) + b"\x00\x00\x5e\xfe" + packed,
        bytes(12) + packed,
    ):
        if int.from_bytes(wrapped, "big") > 1:
            assert reach_of(IPv6Address(wrapped)) >= bare


WRAPPERS = (ip_network("64:ff9b::/96"), ip_network("2002::/16"))
"""NAT64 and 6to4: some releases of the standard library call all of them not global; here what they wrap decides."""


@given(st.ip_addresses())
@example(IPv6Address("2002:808:808::"))
@example(IPv6Address("64:ff9b::808:808"))
def test_what_is_not_global_is_not_public(address: IPv4Address | IPv6Address) -> None:
    """Nothing that the standard library calls private, loopback, multicast or reserved counts as public."""
    if reach_of(address) is Reach.PUBLIC:
        inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        assert (inner or address).is_global or any(address in network for network in WRAPPERS)
        assert not any((address.is_multicast, address.is_loopback, address.is_link_local, address.is_unspecified))


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("models.localhost", True),
        ("127.0.0.1", True),
        ("[::1]", True),
        ("10.1.2.3", True),
        ("169.254.169.254", False),
        ("8.8.8.8", False),
        ("localhost.example.com", False),
        ("notlocalhost", False),
        ("ollama", False),
        ("", False),
    ],
)
def test_hosts_that_say_it_themselves(host: str, private: bool) -> None:
    """`localhost` and literal private addresses say where they are; other names and metadata addresses do not."""
    assert names_private(host) is private
