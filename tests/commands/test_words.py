"""How commands read times and write money."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commands.words import moment, stamp, usd
from gateway.errors import OperatorError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-11-01", "2026-11-01T00:00:00.000000Z"),
        ("2026-11-01T08:30", "2026-11-01T08:30:00.000000Z"),
        ("2026-11-01T08:30:00.25Z", "2026-11-01T08:30:00.250000Z"),
        ("2026-11-01T08:30+05:30", "2026-11-01T03:00:00.000000Z"),
    ],
)
def test_moments(text: str, found: str) -> None:
    """Dates and times are UTC unless they say otherwise."""
    assert stamp(moment(text, "--since")) == found


def test_ago() -> None:
    """A number with a unit is that long ago."""
    assert moment("2h", "--since") == pytest.approx((time.time() - 7200) * 1e6, abs=60e6)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "5", "-5h", "2026-13-01", "2026-02-30", "1e9s", "9999-12-31T23:00-02:00"]
)
def test_no_moment(text: str) -> None:
    """Anything else is an error that names the option and what to write."""
    with pytest.raises(OperatorError, match=r"--since: .*such as 2026-11-01"):
        moment(text, "--since")


@given(st.integers(-(2**62), 2**62))
def test_usd(nano: int) -> None:
    """Dollars keep every nano-dollar, and are a number to JSON."""
    assert Decimal(usd(nano)) * 10**9 == nano
    assert json.loads(usd(nano), parse_float=Decimal, parse_int=Decimal) * 10**9 == nano
