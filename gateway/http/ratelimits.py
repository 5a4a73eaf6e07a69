"""Rate-limit headers in Anthropic's words: `anthropic-ratelimit-tokens-limit` for `x-ratelimit-limit-tokens`.

Its resets are moments, ours are durations as OpenAI has them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime

HeaderPairs = list[tuple[bytes, bytes]]

_OURS = re.compile(rb"x-ratelimit-(limit|remaining|reset)-(requests|tokens)")
_DURATION = re.compile(rb"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)?(?:(\d+)ms)?")


def anthropic_limits(headers: Iterable[tuple[bytes, bytes]]) -> HeaderPairs:
    """Those of the headers that tell of limits, in Anthropic's words."""
    found: HeaderPairs = []
    for name, value in headers:
        match = _OURS.fullmatch(name)
        if match is not None:
            part, kind = match.groups()
            told = _moment(value) if part == b"reset" else value
            found.append((b"anthropic-ratelimit-%b-%b" % (kind, part), told))
    return found


def _moment(duration: bytes) -> bytes:
    """When a Go duration (`6m0s`, `12ms`) from now is over, by RFC 3339."""
    match = _DURATION.fullmatch(duration)
    hours, minutes, seconds, millis = match.groups() if match is not None else (None, None, None, None)
    wait = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0) + int(millis or 0) / 1000
    return datetime.fromtimestamp(time.time() + wait, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
