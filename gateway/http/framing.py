"""Where requests begin and end: rules that the parser itself does not check."""

from __future__ import annotations

from collections.abc import Mapping

_KEYS = (b"authorization", b"x-api-key", b"api-key")
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"content-type", b"expect", *_KEYS)
"""Headers that name one thing: given twice, two readers may each believe another."""
MAX_HEAD = 64 * 1024
"""Bytes of a request's line and headers, give or take one read; of its chunks' framing and trailers too."""
MAX_QUEUED = 16
"""Requests that wait on one connection behind the one that is served, before no more are read."""
_UPGRADING = (b"upgrade", b"connection", b"http2-settings")
_BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b"
)


class Refused(Exception):
    """The request breaks one of them."""


def check_unique(pairs: list[tuple[bytes, bytes]]) -> None:
    """Raises Refused."""
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in _ONCE):
        raise Refused("a header that names one thing is there twice")


def is_too_long(headers: Mapping[bytes, bytes], most: int, received: int = 0) -> bool:
    """Whether a body says of itself that more than so many bytes of it are still to come."""
    length = headers.get(b"content-length", b"")
    return length.isdigit() and int(length) - received > most


def bad_request(why: str) -> bytes:
    """The whole answer to what is no HTTP."""
    return _BAD_REQUEST % (len(why), why.encode())


def without_upgrade(line: bytes, version: str, pairs: list[tuple[bytes, bytes]]) -> bytes:
    """The head of a request as it were if it had not asked for another protocol; `line` is its method and target."""
    lines = b"".join(b"%b: %b\r\n" % pair for pair in pairs if pair[0] not in _UPGRADING)
    return b"%b HTTP/%b\r\n%b\r\n" % (line, version.encode(), lines)
