"""What a worker remembers of how much is left of deployments' own limits."""

from __future__ import annotations

import pytest

from gateway.limits.headroom import MOST, SLOT_SECONDS, Headroom
from gateway.limits.limitset import LimitSet, Member, Names
from gateway.types import Deployment, LimitSpec, Provider, QuotaSpec

DEPLOYMENT = Deployment("p/m", Provider("p", "mock", ""), "m")
RATE = LimitSpec("provider", "p", "requests", 100, period=50.0, count=100)
SLOTS = LimitSpec("provider", "p", "concurrency", 4)
QUOTA = QuotaSpec("provider", "p", "requests", "day", 1000)


def heard(specs: list[LimitSpec | QuotaSpec], numbers: list[int]) -> tuple[Headroom, list[float]]:
    """A memory that heard this reply, and its clock."""
    now = [100.0]
    headroom = Headroom(lambda: now[0])
    limits = LimitSet.of([Member(spec, "p") for spec in specs], Names("0", "w"))
    headroom.told(DEPLOYMENT, limits, [1, 1, 0, 0, *(number for pair in numbers for number in (pair, 0))])
    return headroom, now


@pytest.mark.parametrize(
    ("specs", "numbers", "share", "later"),
    [
        ([RATE], [25], 0.25, 0.35),
        ([SLOTS], [1], 0.25, 0.25 + 5 / SLOT_SECONDS),
        ([QUOTA], [900], 0.1, 0.1),
        ([RATE, QUOTA, SLOTS], [50, 700, 4], 0.3, 0.3),
        ([RATE], [100], 1.0, 1.0),
    ],
)
def test_the_tightest_limit_counts_and_refills(
    specs: list[LimitSpec | QuotaSpec], numbers: list[int], share: float, later: float
) -> None:
    """The smallest share of all; rates and slots come back as time passes, quotas do not."""
    headroom, now = heard(specs, numbers)
    assert headroom.of(DEPLOYMENT) == pytest.approx(share)
    now[0] += 5
    assert headroom.of(DEPLOYMENT) == pytest.approx(later)


def test_what_is_full_is_empty_until_then() -> None:
    """A refusal leaves nothing, and everything when its wait is over; without a wait, nothing."""
    headroom, now = heard([RATE], [90])
    headroom.full(DEPLOYMENT, 10.0)
    assert headroom.of(DEPLOYMENT) == 0.0
    now[0] += 10
    assert headroom.of(DEPLOYMENT) == 1.0
    headroom.full(DEPLOYMENT, None)
    now[0] += 1000
    assert headroom.of(DEPLOYMENT) == 0.0


def test_unheard_of_is_unknown_and_memory_is_bounded() -> None:
    """Nothing was heard: None. Names that clients invent cannot fill it."""
    headroom = Headroom(lambda: 0.0)
    assert headroom.of(DEPLOYMENT) is None
    for at in range(MOST + 10):
        headroom.full(Deployment(f"p/{at}", DEPLOYMENT.provider, str(at)), 1.0)
    assert len(headroom._heard) <= MOST
