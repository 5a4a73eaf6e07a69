"""Find things in JSON bytes without rebuilding them: top-level values, nesting depth, one key spelled twice.

A body that is passed on keeps its bytes; what must change is cut out and replaced in place. The common case is answered
by searches that run in C; a tokeniser decides the rest exactly.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from gateway.errors import InvalidRequest

MAX_DEPTH = 128
MAX_MEMBERS = 10_000
MAX_NESTED = 200_000
"""Arrays and objects of one body: whatever reads them takes them one by one."""

# The closing quote is optional so that a string without an end is one token too: tried again from each of its escaped
# quotes, it would cost quadratic time. Nothing is given back once it is taken: remembering where to would cost more.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+'
_TOKEN = re.compile(_STRING + rb"|[{}\[\]:,]", re.DOTALL)
# The next bracket or the end, and all before it in one step.
_BRACKETS = re.compile(rb'(?:[^"{}\[\]]++|' + _STRING + rb")*+([{}\[\]]|\Z)", re.DOTALL)
# Every spelling of the key `model` that a JSON parser, or one that ignores case, would take for it.
_LETTER = {c: rb"(?:[%c%c]|\\u00(?i:%02x|%02x))" % (ord(c), ord(c.upper()), ord(c), ord(c.upper())) for c in "model"}
MODEL_KEY = re.compile(rb'"' + b"".join(_LETTER[c] for c in "model") + rb'"\s*:\s*')
_EMPTY = re.compile(rb"\s*\}")
_OPEN = frozenset((b"{", b"["))
_TEXT = msgspec.json.Decoder(str)
_CLOSE = frozenset((b"}", b"]"))


class Member(NamedTuple):
    """A member of the top-level object: its decoded key and the span of its value."""

    key: str
    start: int
    end: int


def too_nested(raw: bytes, limit: int = MAX_DEPTH) -> bool:
    """Whether arrays and objects nest deeper than `limit`, or are more than `MAX_NESTED`. `raw` need not be valid
    JSON."""
    if raw.count(b"{") + raw.count(b"[") <= limit:
        return False
    depth = 0
    for brackets, match in enumerate(_BRACKETS.finditer(raw)):
        if brackets > 2 * MAX_NESTED:
            return True
        token = match[1]
        if token in _OPEN:
            depth += 1
            if depth > limit:
                return True
        elif token in _CLOSE:
            depth -= 1
    return False


def members(raw: bytes) -> list[Member]:
    """The members of the top-level object of valid JSON, in order, duplicates included. Raises InvalidRequest for more
    than `MAX_MEMBERS`."""
    found: list[Member] = []
    depth = 0
    key: str | None = None
    start = -1
    at = 0
    while match := (_BRACKETS if depth > 1 else _TOKEN).search(raw, at):
        at, token = match.end(), match[1] if depth > 1 else match[0]
        if not token:
            break
        if len(found) > MAX_MEMBERS:
            raise InvalidRequest(f"The body has more than {MAX_MEMBERS} members.")
        if token in _OPEN:
            depth += 1
        elif token in _CLOSE:
            depth -= 1
            if depth == 0 and key is not None:
                found.append(_trimmed(raw, key, start, match.start()))
        elif depth != 1:
            continue
        elif token == b",":
            if key is not None:
                found.append(_trimmed(raw, key, start, match.start()))
            key = None
        elif token == b":":
            start = match.end()
        elif key is None:
            key = _text(token)
    return found


def _text(token: bytes) -> str:
    try:
        return _TEXT.decode(token)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Half a surrogate pair, or no UTF-8: no key that anyone looks for.
        return token.decode("latin-1")


def _trimmed(raw: bytes, key: str, start: int, end: int) -> Member:
    value = raw[start:end]
    return Member(key, end - len(value.lstrip()), start + len(value.rstrip()))


def model_spans(raw: bytes) -> list[tuple[int, int]]:
    """Spans of the top-level values whose key is `model` in any case, for JSON whose top-level `model` is a string.

    Raises as `members` does; an empty list means that `raw` has no such member.
    """
    first = MODEL_KEY.search(raw)
    if first is None:
        return []
    if MODEL_KEY.search(raw, first.end()) is None:
        string = _TOKEN.match(raw, first.end())
        return [string.span()] if string else []
    return [(m.start, m.end) for m in members(raw) if m.key.lower() == "model"]


def insert_members(raw: bytes, text: bytes) -> tuple[bytes, bytes, bytes]:
    """`raw`, an object, with the members `text` (no trailing comma) put first; as parts, to spare a copy."""
    at = raw.index(b"{") + 1
    return raw[:at], text if _EMPTY.match(raw, at) else text + b",", raw[at:]
