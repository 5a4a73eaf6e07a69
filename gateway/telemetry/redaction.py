"""Takes secrets out of finished log lines: the values we know, and what looks like a credential."""

from __future__ import annotations

import re

import orjson

from gateway.ports import Secrets

_MARK = b"[redacted]"
_SHORTEST = 8
"""Characters; a shorter known value would blank ordinary words."""
_PATTERNS: tuple[tuple[tuple[bytes, ...], re.Pattern[bytes], bytes], ...] = (
    (
        tuple(prefix + mark for prefix in (b"sk", b"pk", b"rk", b"xai", b"hf", b"gw") for mark in (b"-", b"_")),
        re.compile(rb"\b(?:g?sk|pk|rk|xai|hf|gw)[-_][A-Za-z0-9_\-]{16,}"),
        _MARK,
    ),
    (
        (b"earer", b"EARER", b"asic", b"ASIC"),
        re.compile(rb"(?i)\b(bearer|basic)(\s+|%20)[A-Za-z0-9._~+/=\-]{8,}"),
        rb"\1\2" + _MARK,
    ),
    ((b"AIza",), re.compile(rb"\bAIza[A-Za-z0-9_\-]{30,}"), _MARK),
    ((b"AKIA",), re.compile(rb"\bAKIA[A-Z0-9]{16}\b"), _MARK),
    ((b"://",), re.compile(rb"(://[^\s:/@\"]*):[^\s@/\"]+@"), rb"\1:" + _MARK + b"@"),
)
"""Substrings of which one occurs in every match, for speed; the pattern; its replacement."""


class Redactor:
    """Redacts text that is about to be written. Known values are read each time, as a reload adds some."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._known: tuple[bytes, ...] = ()
        self._read: frozenset[str] = frozenset()

    def __call__(self, text: bytes) -> bytes:
        for value in self._values():
            if value in text:
                text = text.replace(value, _MARK)
        for hints, pattern, replacement in _PATTERNS:
            if any(hint in text for hint in hints):
                text = pattern.sub(replacement, text)
        return text

    def _values(self) -> tuple[bytes, ...]:
        """Every known value as it is and as JSON writes it, the longest first."""
        values = self._secrets.values
        if values != self._read:
            self._read = frozenset(values)
            long = [value for value in self._read if len(value) >= _SHORTEST]
            forms = {form for value in long for form in (value.encode(), orjson.dumps(value)[1:-1])}
            self._known = tuple(sorted(forms, key=len, reverse=True))
        return self._known
