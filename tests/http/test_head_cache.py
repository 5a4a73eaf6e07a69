"""Heads that are known by their bytes: only what the parser read whole, byte for byte, is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.head_cache import MOST, HeadCache, split

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: gw\r\nContent-Length: %d\r\nauthorization: Bearer x\r\n\r\n"
NAMED = {b"host": b"gw", b"content-length": b"5", b"authorization": b"Bearer x"}


def request(body: bytes, head: bytes = HEAD) -> bytes:
    """One request with this body."""
    return head % len(body) + body


@pytest.fixture
def head_cache() -> HeadCache[str]:
    """One that knows `HEAD`."""
    found: HeadCache[str] = HeadCache()
    found.learn(request(b"12345"), tuple(NAMED.items()), NAMED, "known")
    return found


@given(st.binary(max_size=300))
def test_a_known_head_with_any_body(body: bytes) -> None:
    """It is known whatever its length, as long as the body is all there and nothing is behind it."""
    head_cache: HeadCache[str] = HeadCache()
    head_cache.learn(request(b"12345"), tuple(NAMED.items()), NAMED, "known")
    whole = request(body)
    assert head_cache.find(whole) == "known"
    assert head_cache.find(whole + b"P") is None
    assert head_cache.find(whole[:-1]) is None


@given(st.integers(0, len(HEAD % 5) - 1), st.integers(0, 255))
def test_one_other_byte(at: int, value: int) -> None:
    """A head that differs in a single byte, its length's digits apart, is unknown."""
    head_cache: HeadCache[str] = HeadCache()
    head_cache.learn(request(b"12345"), tuple(NAMED.items()), NAMED, "known")
    data = bytearray(request(b"12345"))
    same = data[at] == value
    data[at] = value
    assert (head_cache.find(bytes(data)) == "known") is same


@pytest.mark.parametrize("name", [b"connection", b"expect", b"transfer-encoding", b"upgrade", b"x-request-id"])
def test_what_is_always_parsed(name: bytes) -> None:
    """Headers that move the request's end, or that the answer depends on, keep a head from being learned."""
    head_cache: HeadCache[str] = HeadCache()
    named = {**NAMED, name: b"x"}
    head_cache.learn(request(b"12345"), tuple(named.items()), named, "known")
    assert not len(head_cache)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /v1/x HTTP/1.1\r\nhost: gw\r\nx-note: content-length: 5\r\n\r\n",
        b"POST /v1/x?content-length: 5 HTTP/1.1\r\nhost: gw\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nhost: gw\r\ncontent-length: 5 \r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nhost: gw\r\ncontent-length: +5\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nhost: gw\r\ncontent-length: 0000000005\r\n\r\n",
        b"POST /v1/x HTTP/1.1\r\nhost: gw\r\ncontent-length:",
    ],
)
def test_no_length_of_its_own(head: bytes) -> None:
    """Only a header line that is nothing but the length counts as one."""
    assert split(head + b"12345") is None


def test_the_memory_is_bounded(head_cache: HeadCache[str]) -> None:
    """However many heads there are, and however large."""
    for number in range(3 * MOST):
        named = {**NAMED, b"x-number": b"%d" % number}
        head = HEAD.replace(b"\r\n\r\n", b"\r\nx-number: " + b"%d" % number + b"\r\n\r\n")
        head_cache.learn(head % 5 + b"12345", tuple(named.items()), named, "known")
    assert 0 < len(head_cache) <= MOST
    before = len(head_cache)
    long = HEAD.replace(b"Bearer x", b"Bearer " + b"x" * 5000)
    head_cache.learn(long % 5 + b"12345", tuple(NAMED.items()), NAMED, "known")
    assert len(head_cache) == before
