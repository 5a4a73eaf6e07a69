"""Calendar periods: whole minutes, hours, days, weeks, months and years of a zone's own calendar."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.limits.periods import FOREVER, Period, period_of

KINDS = ("minute", "hour", "day", "week", "month", "year")
ZONES = (
    "UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
    "America/Havana", "Africa/Cairo", "America/Santiago", "Asia/Beirut", "Pacific/Apia", "Pacific/Chatham",
)  # fmt: skip
FIRST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
LAST = datetime(2060, 1, 1, tzinfo=UTC).timestamp()


def at(text: str, zone: str, *, fold: int = 0) -> float:
    """Unix seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def utc(text: str) -> float:
    return at(text, "UTC")


CASES = [
    # kind, zone, local moment, first and last end of the period in UTC
    ("minute", "UTC", "2026-03-05T12:34:56", "2026-03-05T12:34", "2026-03-05T12:35"),
    ("hour", "UTC", "2026-03-05T12:34:56", "2026-03-05T12:00", "2026-03-05T13:00"),
    ("hour", "Asia/Kolkata", "2026-03-05T12:34:56", "2026-03-05T06:30", "2026-03-05T07:30"),
    ("hour", "Asia/Kathmandu", "2026-03-05T12:34:56", "2026-03-05T06:15", "2026-03-05T07:15"),
    ("day", "UTC", "2026-12-31T23:59:59", "2026-12-31T00:00", "2027-01-01T00:00"),
    ("day", "Asia/Kolkata", "2026-03-05T00:00:00", "2026-03-04T18:30", "2026-03-05T18:30"),
    # Berlin's days of 23 and of 25 hours
    ("day", "Europe/Berlin", "2026-03-29T12:00:00", "2026-03-28T23:00", "2026-03-29T22:00"),
    ("day", "Europe/Berlin", "2026-10-25T12:00:00", "2026-10-24T22:00", "2026-10-25T23:00"),
    # São Paulo's clocks went from 23:59:59 to 01:00:00: the day began at one
    ("day", "America/Sao_Paulo", "2018-11-04T12:00:00", "2018-11-04T03:00", "2018-11-05T02:00"),
    ("day", "America/Sao_Paulo", "2018-11-03T23:59:59", "2018-11-03T03:00", "2018-11-04T03:00"),
    # and back from 23:59:59 to 23:00:00: Saturday had 25 hours
    ("day", "America/Sao_Paulo", "2018-02-17T12:00:00", "2018-02-17T02:00", "2018-02-18T03:00"),
    # Samoa left out a day when it changed the side of the date line
    ("day", "Pacific/Apia", "2011-12-29T12:00:00", "2011-12-29T10:00", "2011-12-30T10:00"),
    ("day", "Pacific/Apia", "2011-12-31T12:00:00", "2011-12-30T10:00", "2011-12-31T10:00"),
    # weeks begin on Monday, 2026-03-09 is one
    ("week", "UTC", "2026-03-09T00:00:00", "2026-03-09T00:00", "2026-03-16T00:00"),
    ("week", "UTC", "2026-03-15T23:59:59", "2026-03-09T00:00", "2026-03-16T00:00"),
    ("week", "Europe/Berlin", "2026-03-29T23:00:00", "2026-03-22T23:00", "2026-03-29T22:00"),
    ("week", "UTC", "2027-01-01T10:00:00", "2026-12-28T00:00", "2027-01-04T00:00"),
    ("month", "UTC", "2028-02-29T10:00:00", "2028-02-01T00:00", "2028-03-01T00:00"),
    ("month", "UTC", "2026-12-31T23:59:59", "2026-12-01T00:00", "2027-01-01T00:00"),
    ("month", "Europe/Berlin", "2026-03-31T23:30:00", "2026-02-28T23:00", "2026-03-31T22:00"),
    ("year", "Europe/Berlin", "2026-12-31T23:59:59", "2025-12-31T23:00", "2026-12-31T23:00"),
    ("year", "UTC", "2027-01-01T00:00:00", "2027-01-01T00:00", "2028-01-01T00:00"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "zone", "moment", "start", "end"), CASES)
def test_known_periods(kind: str, zone: str, moment: str, start: str, end: str) -> None:
    """Calendars are followed through clock changes, month ends, leap days and year ends."""
    assert period_of(kind, zone, at(moment, zone)) == Period(utc(start), utc(end))


def test_half_an_hour_of_clock_change() -> None:
    """On Lord Howe Island clocks change by half an hour: the hours around it are cut short, none is counted twice."""
    zone = "Australia/Lord_Howe"
    spring = [period_of("hour", zone, utc(f"2026-10-03T{time}")) for time in ("15:29:59", "15:30", "15:59:59", "16:00")]
    assert spring[0] == Period(utc("2026-10-03T14:30"), utc("2026-10-03T15:30"))
    assert spring[1] == spring[2] == Period(utc("2026-10-03T15:30"), utc("2026-10-03T16:00"))
    assert spring[3] == Period(utc("2026-10-03T16:00"), utc("2026-10-03T17:00"))
    autumn = [period_of("hour", zone, utc(f"2026-04-04T{time}")) for time in ("14:59:59", "15:00", "15:29:59", "15:30")]
    assert autumn[0] == Period(utc("2026-04-04T14:00"), utc("2026-04-04T15:00"))
    assert autumn[1] == autumn[2] == Period(utc("2026-04-04T15:00"), utc("2026-04-04T15:30"))
    assert autumn[3] == Period(utc("2026-04-04T15:30"), utc("2026-04-04T16:30"))


def test_the_hour_that_comes_twice() -> None:
    """Of two hours with the same name on the clock each is a period of its own."""
    first = period_of("hour", "Europe/Berlin", at("2026-10-25T02:30:00", "Europe/Berlin"))
    second = period_of("hour", "Europe/Berlin", at("2026-10-25T02:30:00", "Europe/Berlin", fold=1))
    assert first.end == second.start
    assert second.end - first.start == 7200


def test_total_never_ends() -> None:
    """A total is one period for all times and zones."""
    assert {period_of("total", zone, now) for zone in ZONES for now in (0.0, FIRST, LAST)} == {Period(0.0, FOREVER)}


@given(kind=st.sampled_from(KINDS), zone=st.sampled_from(ZONES), now=st.floats(FIRST, LAST))
@example("hour", "Australia/Lord_Howe", utc("2026-10-03T15:45"))
@example("hour", "Australia/Lord_Howe", utc("2026-04-04T15:15"))
@example("day", "America/Sao_Paulo", utc("2018-11-04T02:59:59"))
@example("day", "Pacific/Apia", utc("2011-12-30T09:59:59"))
@example("minute", "UTC", float(int(FIRST)))
@example("day", "UTC", 1420070399.9999995)
def test_periods_tile_time(kind: str, zone: str, now: float) -> None:
    """Every moment is in exactly one period: its own period holds it, and its neighbours meet it without a gap."""
    found = period_of(kind, zone, now)
    assert found.start <= now < found.end
    assert period_of(kind, zone, found.start) == found
    assert period_of(kind, zone, found.end - 0.25) == found
    assert period_of(kind, zone, found.end).start == found.end
    assert period_of(kind, zone, found.start - 0.25).end == found.start


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("kind", ["hour", "day", "week", "month", "year"])
def test_two_years_without_gap(kind: str, zone: str) -> None:
    """Walked from one to the next, the periods of two years follow each other in order."""
    now, starts = utc("2017-12-31T12:00") if kind != "hour" else utc("2018-01-15T12:00"), []
    until = utc("2020-01-01T00:00") if kind != "hour" else utc("2018-12-15T00:00")
    while now < until:
        period = period_of(kind, zone, now)
        starts.append(period.start)
        now = period.end
    longest = {"hour": 1, "day": 25, "week": 7 * 24 + 1, "month": 31 * 24 + 1, "year": 366 * 24}[kind]
    assert all(0 < later - earlier <= longest * 3600 for earlier, later in pairwise(starts))
