"""Estimates that learn from what providers tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.types import Usage
from gateway.usage import calibration
from gateway.usage.calibration import MOST, OFTEN, SELDOM, Calibration

COUNTS = st.integers(0, 10**6)


def test_nothing_known_changes_nothing() -> None:
    """Before a deployment told anything its estimates stay as they are, and those of others do not count."""
    known = Calibration()
    known.learn("a", Usage(100, 10), Usage(50, 30))
    assert known.corrected("b", Usage(100, 10)) == Usage(100, 10)
    assert known.corrected("a", Usage(100, 10)) == Usage(50, 30)


def test_the_latest_count_most() -> None:
    """A deployment whose tokens change is followed within a few dozen calls."""
    known = Calibration()
    for _ in range(200):
        known.learn("a", Usage(100, 100), Usage(50, 200))
    for _ in range(100):
        known.learn("a", Usage(100, 100), Usage(25, 100))
    found = known.corrected("a", Usage(1000, 1000))
    assert found.input_tokens == pytest.approx(250, rel=0.06)
    assert found.output_tokens == pytest.approx(1000, rel=0.06)


def test_input_alone_says_nothing_of_output() -> None:
    """An answer that was not streamed corrects the input only."""
    known = Calibration()
    known.learn("a", Usage(100), Usage(50, 400))
    assert known.corrected("a", Usage(10, 10)) == Usage(5, 10)


@given(st.lists(st.tuples(COUNTS, COUNTS, COUNTS, COUNTS)), COUNTS, COUNTS)
def test_corrections_are_bounded(told: list[tuple[int, int, int, int]], given_: int, made: int) -> None:
    """Whatever providers tell, an estimate is never none, never negative, and at most so many times another."""
    known = Calibration()
    for given_before, made_before, given_told, made_told in told:
        known.learn("a", Usage(given_before, made_before), Usage(given_told, made_told))
    found = known.corrected("a", Usage(given_, made))
    for before, after in ((given_, found.input_tokens), (made, found.output_tokens)):
        assert after <= MOST * before
        assert after >= (1 if before else 0)
        assert after >= int(before / MOST)


def test_learning_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most calls of a deployment that is known are not looked at; memory is bounded."""
    monkeypatch.setattr(calibration, "MAX_DEPLOYMENTS", 3)
    known = Calibration()
    assert sum(known.wanted("a") for _ in range(OFTEN + 10 * SELDOM)) == OFTEN + 10
    for name in "bcdefg":
        known.wanted(name)
        assert len(known._known) <= 3
