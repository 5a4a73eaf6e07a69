"""Request heads that were seen before: a request whose head is known can be refused without being parsed.

Clients send the same head again and again, but for `content-length`. A head counts as known only if all its bytes but
the digits of that length equal those of a head that the parser accepted as one plain request. So this is no second
reader of HTTP that could disagree with the parser. A head that is new, comes in pieces or has more behind it is parsed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

MOST = 256
"""Heads that are kept; then it begins anew."""
MOST_BYTES = 4096
"""Of a head that is kept."""
_MOST_DIGITS = 9
_END = b"\r\n\r\n"
_LENGTH = b"ontent-length: "
_STARTS = (b"\r\nc", b"\r\nC")
_VARYING = (b"connection", b"expect", b"transfer-encoding", b"upgrade", b"x-request-id")
"""Headers that decide how the answer looks or where the request ends: such requests are always parsed."""

Key = tuple[bytes, bytes]


def split(data: bytes) -> tuple[Key, int, int] | None:
    """The head around the digits of its length, that length, and how many bytes came behind the head; None where it
    has no such form. SDKs write the name in small letters or capitalise it."""
    end = data.find(_END, 0, MOST_BYTES)
    if end < 0:
        return None
    at = data.find(_LENGTH, 0, end)
    if at < 0:
        at = data.find(b"ontent-Length: ", 0, end)
    if at < 0 or data[at - 3 : at] not in _STARTS:
        return None
    at += len(_LENGTH)
    to = data.find(b"\r\n", at, end + 2)
    digits = data[at:to]
    if len(digits) > _MOST_DIGITS or not digits.isdigit():
        return None
    return (data[:at], data[to:end]), int(digits), len(data) - end - len(_END)


class HeadCache(Generic[T]):
    """What is remembered of each known head."""

    def __init__(self) -> None:
        self._known: dict[Key, T] = {}

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, data: bytes, pairs: Sequence[tuple[bytes, bytes]], named: Mapping[bytes, bytes], what: T) -> None:
        """The parser read a request whose first bytes are `data`, with these headers, in HTTP/1.1."""
        if any(name in named for name in _VARYING) or len(pairs) != len(named):
            return
        found = split(data)
        if found is None or named.get(b"content-length") != b"%d" % found[1]:
            return
        if len(self._known) >= MOST:
            self._known.clear()
        self._known[found[0]] = what

    def find(self, data: bytes) -> T | None:
        """What was learned of the one request that `data` is, whole and nothing else; else None."""
        found = split(data)
        if found is None or found[1] != found[2]:
            return None
        return self._known.get(found[0])
