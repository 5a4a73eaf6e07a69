"""What is remembered of calls that were settled of late, and for how long."""

from __future__ import annotations

import gc
import weakref

import pytest

from gateway.limits.demand import Demand, Used
from gateway.limits.limitset import LimitSet
from gateway.limits.recent import REMEMBERED_SECONDS, SLICE_SECONDS, Recent
from gateway.limits.reservation import Hold

from .conftest import frame_of, limit_set, quota, rate


class Marked(Hold, weakref=True):
    """One whose end can be seen."""


def hold_of(limits: LimitSet, name: str) -> Marked:
    return Marked(name, limits, frame_of(limits), Demand(), 0, user="u")


@pytest.fixture
def plain() -> LimitSet:
    return limit_set(rate("requests", 10))


@pytest.fixture
def counted() -> LimitSet:
    return limit_set(rate("requests", 10), quota("tokens", 1000))


def test_the_last_two_seconds_are_there_in_order(plain: LimitSet, counted: LimitSet) -> None:
    """Whatever is younger is told again with its set's keys; what is clearly older is forgotten."""
    recent, shard = Recent(), plain.names.shard
    for tick in range(100):
        limits = plain if tick % 2 else counted
        recent.add(tick / 10, hold_of(limits, f"c{tick}"), b"%d" % tick, Used(tokens=tick, cost=7))
        found = [int(event) for _, _, event in recent.events(shard)]
        assert found == list(range(found[0], tick + 1))
        assert tick / 10 - REMEMBERED_SECONDS - 2 * SLICE_SECONDS - 0.1 <= found[0] / 10
        assert found[0] / 10 <= max(0.0, tick / 10 - REMEMBERED_SECONDS)
    for limits, frame, event in recent.events(shard):
        assert limits is (plain if int(event) % 2 else counted)
        assert frame == frame_of(limits)
    assert not list(recent.events("elsewhere"))


def test_nothing_is_forgotten_while_the_store_is_in_doubt(plain: LimitSet) -> None:
    """What was settled just before it went away is there when it is back, however long that takes; then it is old."""
    recent, shard, doubts = Recent(), plain.names.shard, [False]
    recent.in_doubt = lambda: doubts[0]
    recent.add(0.0, hold_of(plain, "before"), b"0", Used())
    doubts[0] = True
    for at in range(1, 30):
        recent.add(float(at), hold_of(plain, f"late{at}"), b"%d" % at, Used())
    assert [int(event) for _, _, event in recent.events(shard)] == list(range(30))
    doubts[0] = False
    recent.add(30.0, hold_of(plain, "after"), b"30", Used())
    assert [int(event) for _, _, event in recent.events(shard)] == [28, 29, 30]


def test_what_quotas_counted(plain: LimitSet, counted: LimitSet) -> None:
    """Of sets with quotas alone, and of the last two seconds to the moment."""
    recent = Recent()
    for at, limits, name in ((0.0, counted, "old"), (0.1, plain, "free"), (1.0, counted, "a"), (1.9, counted, "b")):
        recent.add(at, hold_of(limits, name), b"e", Used(tokens=5, cost=7))
    found = list(recent.quotas(counted.names.shard, 2.5))
    assert [(one.hold, one.user, one.limits, one.amounts) for one in found] == [
        ("a", "u", counted, (1, 5, 7)),
        ("b", "u", counted, (1, 5, 7)),
    ]
    assert not list(recent.quotas("elsewhere", 2.5))


def test_no_hold_is_kept(plain: LimitSet, counted: LimitSet) -> None:
    """At thousands of calls a second each object that is kept for two seconds is megabytes."""
    recent = Recent()
    holds = [hold_of(limits, "c") for limits in (plain, counted)]
    ends = [weakref.ref(hold) for hold in holds]
    for hold in holds:
        recent.add(1.0, hold, b"e", Used())
    del hold, holds
    gc.collect()
    assert [end() for end in ends] == [None, None]
