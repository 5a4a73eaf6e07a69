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
    # Whole seconds: fractions are rounded to microseconds there, up to those of another day.
    local = datetime.fromtimestamp(now // 1, UTC).astimezone(_zone(zone))
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
    """Minutes and hours of the zone's clock: an hour begins at half past where the offset has half an hour, and one
    in which the offset changes by half an hour ends there."""
    offset = _offset(zone, now)
    shift = offset % length
    start = (now + shift) // length * length - shift
    end = start + length
    if _offset(zone, start) % length != shift:
        start = _change(zone, start, now)
    if _offset(zone, end - 1.0) % length != shift:
        end = _change(zone, now, end - 1.0)
    return Period(start, end)


def _offset(zone: str, moment: float) -> float:
    """Seconds that the zone's clock is ahead of UTC."""
    offset = datetime.fromtimestamp(moment // 1, UTC).astimezone(_zone(zone)).utcoffset()
    return 0.0 if offset is None else offset.total_seconds()


def _change(zone: str, before: float, after: float) -> float:
    """When the offset changes between these moments; it does so at a whole second."""
    low, high = int(before // 1), int(after // 1)
    old = _offset(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == old else (low, middle)
    return float(high)


@lru_cache(maxsize=1024)
def _midnight(day: str, zone: str) -> float:
    """When this day begins; where a clock change skips midnight, the first moment that exists."""
    return datetime.fromisoformat(day).replace(tzinfo=_zone(zone)).timestamp()


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
