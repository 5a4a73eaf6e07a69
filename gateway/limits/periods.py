"""Calendar periods: which one a moment falls into, in the zone whose calendar counts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

FOREVER = 253_402_300_799.0
"""Unix seconds: the end of a period that does not end."""


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` up to, not including, `end`; Unix seconds. Days are as long as the zone's calendar has them."""

    start: float
    end: float


def period_of(kind: str, zone: str, now: float) -> Period:
    """The `minute`, `hour`, `day`, `week` (from Monday), `month`, `year` or `total` that holds `now` (Unix seconds).

    Raises KeyError for another word.
    """
    if kind == "total":
        return Period(0.0, FOREVER)
    if kind in ("minute", "hour"):
        return _by_clock(60.0 if kind == "minute" else 3600.0, zone, now)
    local = datetime.fromtimestamp(now, UTC).astimezone(_zone(zone))
    first = local.date()
    if kind == "day":
        following = first + timedelta(days=1)
    elif kind == "week":
        first -= timedelta(days=first.weekday())
        following = first + timedelta(days=7)
    else:
        first = first.replace(day=1) if kind == "month" else first.replace(month=1, day=1)
        months = {"month": 1, "year": 12}[kind]
        years, month = divmod(first.month - 1 + months, 12)
        following = first.replace(year=first.year + years, month=month + 1)
    return Period(_midnight(first.isoformat(), zone), _midnight(following.isoformat(), zone))


def _by_clock(length: float, zone: str, now: float) -> Period:
    """Minutes and hours of the zone's clock: an hour begins at half past where the offset has half an hour."""
    offset = datetime.fromtimestamp(now, UTC).astimezone(_zone(zone)).utcoffset() or timedelta()
    shift = offset.total_seconds() % length
    start = (now + shift) // length * length - shift
    return Period(start, start + length)


@lru_cache(maxsize=1024)
def _midnight(day: str, zone: str) -> float:
    """When this day begins; where a clock change skips midnight, the first moment that exists."""
    return datetime.fromisoformat(day).replace(tzinfo=_zone(zone)).timestamp()


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
