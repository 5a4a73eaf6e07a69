"""`application/vnd.amazon.eventstream`: messages with headers and checksums, cut out of reads of any size.

A message: its whole length and that of its headers (4 bytes each, big-endian), the CRC-32 of these eight bytes; the
headers; the payload; the CRC-32 of all before. Source: "Event Stream Specification" of Smithy.
"""

from __future__ import annotations

from binascii import crc32
from struct import Struct

import msgspec

from gateway.errors import UpstreamBadEvent, UpstreamError
from gateway.providers.wire.frames import MAX_EVENT

EVENT_STREAM = b"application/vnd.amazon.eventstream"
FAILED = b"!"
"""What the names of exceptions begin with, so that no event can be taken for one."""
_PRELUDE = Struct(">III")
_CHECKSUM = Struct(">I")
_LEAST = _PRELUDE.size + _CHECKSUM.size
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a header's value by its type; types 6 and 7, bytes and text, say how many they are."""
_COUNTED = (6, 7)
_MOST_NAMES = 64

Event = tuple[bytes, bytes]
"""A name and its data."""


class MessageSplitter:
    """Whole messages out of a stream. Implements `gateway.providers.chat.stream.Framing`.

    An event's name is its `:event-type`; an exception's is `!` and its `:exception-type` or `:error-code`. A message
    that is damaged or larger than `MAX_EVENT` ends the stream: `too_long` says so.
    """

    fault: type[UpstreamError] = UpstreamBadEvent
    """A length that is too large is damage, more likely than not."""

    __slots__ = ("_buffer", "_names", "_need", "too_long")

    def __init__(self) -> None:
        self.too_long = False
        self._buffer = bytearray()
        self._need = _PRELUDE.size
        """Bytes that must be here before there is anything to do."""
        self._names: dict[bytes, tuple[bytes, bytes]] = {}
        """What headers say, by their bytes: a stream has few that differ."""

    def feed(self, data: bytes) -> list[Event]:
        """The messages that became whole."""
        if self.too_long:
            return []
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(buffer) < self._need:
                return []
            data = bytes(buffer)
            buffer.clear()
        found, at = self._messages(data)
        if at < len(data) and not self.too_long:
            buffer += data[at:]
        return found

    def end(self) -> list[Event]:
        """Nothing: a message that is not whole says nothing."""
        return []

    def _messages(self, data: bytes) -> tuple[list[Event], int]:
        """Those in `data`, and how much of it they are."""
        found: list[Event] = []
        at, size = 0, len(data)
        while size - at >= _PRELUDE.size:
            total, head, checksum = _PRELUDE.unpack_from(data, at)
            running = crc32(data[at : at + 8])
            if running != checksum or not head + _LEAST <= total <= MAX_EVENT:
                self.too_long = True
                return found, at
            if size - at < total:
                self._need = total
                return found, at
            end, start = at + total - _CHECKSUM.size, at + _PRELUDE.size
            if crc32(data[at + 8 : end], running) != _CHECKSUM.unpack_from(data, end)[0]:
                self.too_long = True
                return found, at
            event = self._event(data[start : start + head], data[start + head : end])
            if event is None:
                self.too_long = True
                return found, at
            found.append(event)
            at += total
        self._need = _PRELUDE.size
        return found, at

    def _event(self, head: bytes, payload: bytes) -> Event | None:
        """None for headers that cannot be read."""
        named = self._names.get(head)
        if named is None:
            headers = headers_of(head)
            if headers is None:
                return None
            named = _named(headers)
            if len(self._names) < _MOST_NAMES:
                self._names[head] = named
        name, text = named
        return name, payload or text


def _named(headers: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """The name of a message, and what stands for its payload where it has none."""
    kind = headers.get(b":message-type", b"event")
    if kind == b"exception":
        return FAILED + headers.get(b":exception-type", b""), b"{}"
    if kind == b"error":
        words = headers.get(b":error-message", b"").decode("utf-8", "replace")
        return FAILED + headers.get(b":error-code", b""), msgspec.json.encode({"message": words})
    return headers.get(b":event-type", b""), b""


def headers_of(data: bytes) -> dict[bytes, bytes] | None:
    """Names and values of the headers that are text or bytes; None for what is no headers."""
    found: dict[bytes, bytes] = {}
    at, size = 0, len(data)
    while at < size:
        kind_at = at + 1 + data[at]
        if kind_at >= size:
            return None
        name, kind, at = data[at + 1 : kind_at], data[kind_at], kind_at + 1
        length = _SIZES.get(kind)
        if length is None:
            if kind not in _COUNTED or at + 2 > size:
                return None
            length, at = int.from_bytes(data[at : at + 2], "big"), at + 2
            found[name] = data[at : at + length]
        at += length
    return found if at == size else None
