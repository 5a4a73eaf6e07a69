"""Serialising request heads (RFC 9112). Nothing that could end a header line early passes."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.ports import RequestHead
    from gateway.types import Headers

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_METHOD = re.compile(rb"[A-Z]+")
_TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect", b"te", b"trailer"})


@lru_cache(maxsize=1024)
def _name(name: bytes) -> bytes:
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"not a lower-case header name: {name!r}")
    if name in _FRAMING:
        raise ValueError(f"the engine itself decides about {name.decode()}")
    return name


def header_lines(headers: Headers) -> bytes:
    """The lines of these headers. Raises ValueError for a bad name and for CR, LF or NUL in a value."""
    lines = b"".join([b"%b: %b\r\n" % (_name(name), value) for name, value in headers])
    count = len(headers)
    if lines.count(b"\n") != count or lines.count(b"\r") != count or b"\0" in lines:
        # The value may be a credential, so it is not shown.
        raise ValueError("a header value holds CR, LF or NUL")
    return lines


def serialise_head(head: RequestHead) -> bytes:
    """Request line and headers without the closing empty line, kept in `head.wire`. Raises ValueError for a bad one."""
    if _METHOD.fullmatch(head.method) is None or _TARGET.fullmatch(head.target) is None:
        raise ValueError("the method or the target cannot stand in a request line")
    head.wire = b"%b %b HTTP/1.1\r\n%b" % (head.method, head.target, header_lines(head.headers))
    return head.wire
