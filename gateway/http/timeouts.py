"""How long a client waits, as far as its headers tell. Pure.

`x-request-timeout` is what a caller asks for: seconds (`30`, `2.5`, `2.5s`) or milliseconds (`500ms`) for the whole
answer. SDKs tell their own time-outs unasked, in seconds: openai-python and anthropic's `x-stainless-read-timeout`,
their Node kin `x-stainless-timeout`; by then the answer must have begun, or they hang up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.errors import InvalidRequest
from gateway.types import Call

ASKED = b"x-request-timeout"
SDK = (b"x-stainless-read-timeout", b"x-stainless-timeout")
NAMES = frozenset({ASKED, *SDK})
MARGIN = 1.0
"""Seconds that an SDK has to give up by itself, in its own words: our 504 would be another exception there."""
MOST = 86400.0
"""Seconds; more is no bound."""
_TIME = re.compile(rb"(\d{1,9}(?:\.\d{1,6})?) ?(ms|s)?")


def read_timeouts(call: Call, headers: Mapping[bytes, bytes]) -> None:
    """Set `allowed` and `patience`. Raises InvalidRequest for an `x-request-timeout` that says nothing; an SDK's own
    header that cannot be read is passed over."""
    asked = headers.get(ASKED)
    if asked is not None:
        call.allowed = _seconds(asked)
        if call.allowed is None:
            raise InvalidRequest(
                "The header x-request-timeout must be a time above zero: seconds (30, 2.5s) or milliseconds (500ms)."
            )
    for name in SDK:
        value = headers.get(name)
        if value is not None:
            seconds = _seconds(value)
            call.patience = None if seconds is None else seconds + MARGIN


def _seconds(value: bytes) -> float | None:
    found = _TIME.fullmatch(value.strip().lower())
    if found is None:
        return None
    seconds = float(found[1]) / (1000.0 if found[2] == b"ms" else 1.0)
    return min(seconds, MOST) if seconds > 0 else None
