"""AWS's binary event streams: what our splitter reads of what an independent encoder wrote."""

from __future__ import annotations

import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.amazon.eventstream import MessageSplitter, headers_of
from gateway.providers.wire.frames import MAX_EVENT
from tests.support.eventstream import event, exception, message, packed, text_header

NAMES = st.text("abcdefgh-", min_size=1, max_size=12)
FIRST = b'{"contentBlockIndex": 0, "delta": {"text": "hi"}, "p": "abcdef"}'
HI = event("contentBlockDelta", contentBlockIndex=0, delta={"text": "hi"})


@given(
    st.lists(st.tuples(NAMES, st.dictionaries(NAMES, st.text(max_size=8), max_size=3), st.binary(max_size=80))),
    st.lists(st.integers(1, 40), min_size=1, max_size=20),
)
def test_any_messages_in_any_pieces(said: list[tuple[str, dict[str, str], bytes]], sizes: list[int]) -> None:
    """Every message comes out once, in order, by its name, whatever the sizes of reads."""
    body = b"".join(message({**headers, ":event-type": name}, payload) for name, headers, payload in said)
    splitter, found, at, turn = MessageSplitter(), [], 0, 0
    while at < len(body):
        size = sizes[turn % len(sizes)]
        found += splitter.feed(body[at : at + size])
        at, turn = at + size, turn + 1
    assert found == [(name.encode(), payload) for name, _, payload in said]
    assert not splitter.too_long
    assert splitter.end() == []


def test_exceptions() -> None:
    """Exceptions, and errors that have no model, are told apart from events; their words are kept."""
    splitter = MessageSplitter()
    failed = message({":message-type": "error", ":error-code": "Internal", ":error-message": "no ü"}, b"")
    found = splitter.feed(exception("throttlingException", "slow down") + failed + exception("x"))
    assert [name for name, _ in found] == [b"!throttlingException", b"!Internal", b"!x"]
    assert [json.loads(data)["message"] for _, data in found] == ["slow down", "no ü", ""]


@given(st.integers(0, len(HI) - 1), st.integers(1, 255))
def test_any_flipped_byte_is_noticed(at: int, flip: int) -> None:
    """A damaged message ends the stream; what stands before it was read."""
    damaged = bytearray(HI)
    damaged[at] ^= flip
    splitter = MessageSplitter()
    assert splitter.feed(HI + bytes(damaged)) == [(b"contentBlockDelta", FIRST)]
    assert splitter.too_long
    assert splitter.feed(HI) == []


def test_sizes_are_bounded() -> None:
    """A message beyond the bound is refused by its announcement; nothing of it is held."""
    splitter = MessageSplitter()
    whole = message({":event-type": "a"}, b"x" * MAX_EVENT)
    assert splitter.feed(whole[:12]) == []
    assert splitter.too_long
    largest = MAX_EVENT - len(message({":event-type": "a"}, b""))
    splitter = MessageSplitter()
    assert [len(data) for _, data in splitter.feed(message({":event-type": "a"}, b"x" * largest))] == [largest]


@pytest.mark.parametrize("size", [0, 15])
def test_lengths_that_cannot_be(size: int) -> None:
    """A message that says it is shorter than its own frame."""
    prelude = struct.pack(">II", size, 0)
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + b"\0" * 8
    splitter = MessageSplitter()
    assert splitter.feed(body) == []
    assert splitter.too_long


def test_headers_of_every_type() -> None:
    """Values that are not text are skipped; names need not be known."""
    head = b"".join(
        struct.pack("B", len(name)) + name + struct.pack("B", kind) + value
        for name, kind, value in (
            (b"t", 0, b""),
            (b"f", 1, b""),
            (b"b", 2, b"\1"),
            (b"s", 3, b"\0\1"),
            (b"i", 4, b"\0" * 4),
            (b"l", 5, b"\0" * 8),
            (b"bytes", 6, b"\0\2ab"),
            (b"time", 8, b"\0" * 8),
            (b"id", 9, b"\0" * 16),
        )
    )
    head += text_header(":event-type", "x")
    assert headers_of(head) == {b"bytes": b"ab", b":event-type": b"x"}
    assert MessageSplitter().feed(packed(head, b"{}")) == [(b"x", b"{}")]


@given(st.binary(max_size=60))
def test_any_headers(data: bytes) -> None:
    """Bytes that are no headers are no headers; a message with them ends the stream."""
    found = headers_of(data)
    splitter = MessageSplitter()
    events = splitter.feed(packed(data, b""))
    assert (found is None) == splitter.too_long == (not events)


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_any_bytes(reads: list[bytes]) -> None:
    """Never an exception, and never more in memory than one message."""
    splitter = MessageSplitter()
    for data in reads:
        splitter.feed(data)
    assert len(splitter._buffer) <= MAX_EVENT
