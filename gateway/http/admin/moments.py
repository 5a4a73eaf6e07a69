"""Times in requests and answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator

from gateway.registry import dates
from gateway.usage.wording import TIME_HELP, moment, stamp

LAST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""The last day that a calendar can show, and any database can hold."""


def _past(text: str) -> str:
    try:
        moment(text)
    except ValueError:
        raise ValueError(f"this is no time ({TIME_HELP})") from None
    return text


Since = Annotated[
    str | None,
    Query(max_length=40, description="From this time: `2026-11-01`, `2026-11-01T08:00Z`, `24h` ago."),
    AfterValidator(lambda text: text if text is None else _past(text)),
]
Until = Annotated[
    str | None,
    Query(max_length=40, description="Up to this time, not including it."),
    AfterValidator(lambda text: text if text is None else _past(text)),
]


def microseconds(text: str | None, default: int) -> int:
    """Unix microseconds of what was validated; never before 1970."""
    return default if text is None else max(0, moment(text))


def to_come(text: str) -> str:
    """A moment of the future as text, checked. Raises ValueError."""
    found = dates.moment(text)
    if found <= datetime.now(UTC).timestamp():
        raise ValueError("this moment is over (name one that is to come)")
    if found > LAST:
        raise ValueError("this is after the year 9999 (leave it out: without it there is no end)")
    return text


def iso(seconds: float | None) -> str | None:
    """Unix seconds as RFC 3339 has them."""
    return None if seconds is None else stamp(round(min(seconds, LAST) * 1_000_000))
