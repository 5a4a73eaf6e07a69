"""What a request line asks for: the path that routes are matched with, and the query behind it."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import unquote

import httptools

Target = tuple[str, bytes, bytes]
"""The path, decoded; the same as it was sent; the query."""
LONG = 256
"""Bytes above which a target is not remembered: few paths are asked for again and again, and they are short."""


def target_of(url: bytes) -> Target:
    """Raises ValueError for what has no path."""
    return _known(url) if len(url) <= LONG and b"?" not in url else _parsed(url)


def _parsed(url: bytes) -> Target:
    try:
        parts = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        raise ValueError("not a URL") from None
    raw = parts.path
    if not raw:
        raise ValueError("a URL without a path")
    path = raw.decode("ascii")
    return (unquote(path) if "%" in path else path), raw, parts.query or b""


_known = lru_cache(maxsize=1024)(_parsed)
