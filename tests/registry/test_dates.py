"""How dates and time zones are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry import dates


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"])
def test_zones(name: str) -> None:
    """IANA names are taken as they are."""
    assert dates.zone(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Europe",
        "localtime",
        "right/UTC",
        "posix/UTC",
        "../UTC",
        "/etc/passwd",
        "tzdata.zi",
        "Factory",
        5,
        None,
        ["UTC"],
    ],
)
def test_what_is_no_zone(name: Any) -> None:
    """Directories, files of other kinds, paths and names that differ between machines are refused."""
    with pytest.raises(ValueError, match="this is no IANA time zone"):
        dates.zone(name)


@pytest.mark.parametrize("name", ["europe/berlin", "Europe/Berln", "Berlin"])
def test_the_nearest_zone_is_named(name: str) -> None:
    """A slip of the pen gets the zone that was meant."""
    with pytest.raises(ValueError, match="did you mean `Europe/Berlin`"):
        dates.zone(name)


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),
    st.integers(-23 * 60, 23 * 60),
)
def test_moments_are_unix_seconds(moment: datetime, offset: int) -> None:
    """Every way to write a moment gives the same seconds."""
    seconds = moment.replace(tzinfo=UTC).timestamp()
    local = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=offset)))
    for text in (moment.isoformat(), f"{moment.isoformat()}Z", str(moment), local.isoformat()):
        assert dates.moment(text) == seconds
    midnight = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    assert dates.moment(moment.date().isoformat()) == midnight.timestamp()


@pytest.mark.parametrize(
    "value", ["2027-02-29", "2027-1-3", "20270131", "2027-W05-1", "2027-01-31T25:00", "tomorrow", "", 2027, None, True]
)
def test_what_is_no_moment(value: Any) -> None:
    """Days that do not exist and other notations are refused."""
    with pytest.raises(ValueError, match="expected a date or a time"):
        dates.moment(value)
