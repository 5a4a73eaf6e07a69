"""Dates and time zones as they are written. Every function raises ValueError with a sentence for operators."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from gateway.registry.problems import did_you_mean

_ZONE = re.compile(r"[A-Za-z0-9_+-]{1,30}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?")
_LOCAL = ("localtime", "posixrules", "Factory")
"""Files beside the zones that say something else on every machine."""


def zone(value: Any) -> str:
    """The name of an IANA time zone, such as Europe/Berlin."""
    if isinstance(value, str) and _is_zone(value):
        return value
    hint = _nearest(value) if isinstance(value, str) else ""
    raise ValueError(f"this is no IANA time zone{hint} (write one such as UTC or Europe/Berlin)")


def moment(value: Any) -> float:
    """Unix seconds of `2027-01-31` (its first moment) or `2027-01-31T18:00:00+01:00`; UTC without an offset."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) and _MOMENT.fullmatch(value) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError("expected a date or a time (write 2027-01-31, or 2027-01-31T18:00:00Z)")
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 — a worker that finds its table needs none

    if _ZONE.fullmatch(name) is None or name in _LOCAL or name.startswith(("posix/", "right/")):
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@lru_cache(maxsize=64)
def _nearest(value: str) -> str:
    return did_you_mean(value, _known())


@lru_cache(maxsize=1)
def _known() -> tuple[str, ...]:
    from zoneinfo import available_timezones  # noqa: PLC0415 — see `_is_zone`

    return tuple(sorted(available_timezones().difference(_LOCAL)))
