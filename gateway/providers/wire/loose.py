"""JSON that a strict decoder refuses and others read: half a surrogate pair (a text cut off), a byte order mark."""

from __future__ import annotations

import json
from typing import Any

MARK = b"\xef\xbb\xbf"
"""UTF-8's, which some servers put before what they send."""


def loosely(text: bytes) -> dict[str, Any] | None:
    """A JSON object; None when it is none."""
    try:
        fields = json.loads(text.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _refuse(name: str) -> None:
    raise ValueError(name)
