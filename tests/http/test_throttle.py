"""The controller of overload: what it promises for any turns, and how it does against a model of a loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.overload import PERIOD
from gateway.http.throttle import (
    BURST,
    FIRST,
    FLOOR,
    GENTLEST,
    PATIENCE,
    QUIET,
    RECOVERY,
    STEEPEST,
    WINDOW,
    Throttle,
)

TARGET = 0.03
TURNS = st.one_of(st.floats(0, 0.05), st.floats(0, 2))
RUNNING = st.integers(0, 3000)


def feed(throttle: Throttle, work: float, seconds: float, running: int = FLOOR) -> None:
    """Looks that find this much work, for so long."""
    spent = 0.0
    while spent < seconds:
        throttle.sample(work, PERIOD + work, running)
        spent += PERIOD + work


def shedding(most: float) -> Throttle:
    """One that refuses what is beyond so many calls."""
    return Throttle(TARGET, shedding=True, most=most)


@given(st.lists(st.tuples(TURNS, RUNNING), max_size=60), RUNNING)
def test_for_any_looks(looks: list[tuple[float, int]], running: int) -> None:
    """A change is told when it happens; the bound is never below the floor, and there is none while nobody is refused;
    what it says is what is done, and counted."""
    throttle = Throttle(TARGET)
    for work, under_way in looks:
        before = throttle.shedding
        assert throttle.sample(work, PERIOD + work, under_way) is (throttle.shedding is not before)
        assert throttle.most >= FLOOR
        if not throttle.shedding:
            assert throttle.most == inf
            continue
        refused = throttle.refused
        admitted = throttle.admits(running)
        assert admitted is (running < max(FLOOR, throttle.most))
        assert throttle.refused == refused + (not admitted)


@given(st.lists(st.tuples(TURNS, RUNNING), max_size=60))
def test_calm_ends_it(looks: list[tuple[float, int]]) -> None:
    """Whatever happened, a loop that is on time for some windows, and refuses nobody in them, takes everybody in."""
    throttle = Throttle(TARGET)
    for work, running in looks:
        throttle.sample(work, PERIOD + work, running)
    feed(throttle, 0.0, WINDOW * (QUIET + 4))
    assert not throttle.shedding


@given(st.lists(st.tuples(TURNS, RUNNING), min_size=10, max_size=60))
def test_switched_off(looks: list[tuple[float, int]]) -> None:
    """With a target of 0 nothing is refused."""
    throttle = Throttle(0)
    for work, running in looks:
        assert not throttle.sample(work, PERIOD + work, running)
    assert not throttle.crowded(BURST)
    assert not throttle.shedding


def test_a_peak_is_nothing() -> None:
    """One turn of two seconds, or heavy ones for less than half a second, begin nothing; heavy ones that go on do."""
    throttle = Throttle(TARGET)
    throttle.sample(2.0, 2.0, 500)
    feed(throttle, 0.0, WINDOW)
    assert not throttle.shedding
    feed(throttle, TARGET * 1.5, WINDOW * (PATIENCE - 2))
    assert not throttle.shedding
    feed(throttle, TARGET * 1.5, WINDOW * 4)
    assert throttle.shedding


def test_a_rush() -> None:
    """When a burst waits to begin, nothing is taken in beyond what is under way; calm ends it. Where few run, or
    nothing is to be refused, a rush is nothing."""
    throttle = Throttle(TARGET)
    assert not throttle.crowded(FLOOR - 1)
    assert throttle.crowded(1500)
    assert not throttle.crowded(2000), "it has begun already"
    assert [throttle.admits(running) for running in (FLOOR - 1, 1499, 1500, 2000)] == [True, True, False, False]
    assert throttle.refused == 2
    feed(throttle, 0.0, WINDOW * (QUIET + 3))
    assert not throttle.shedding
    assert throttle.admits(10**6)


def test_as_many_as_make_the_target() -> None:
    """After heavy windows as many calls stay as would have made just the target's work. The first of them may have been
    a peak and leaves most; one a little too heavy takes a little."""
    throttle = shedding(1000)
    feed(throttle, TARGET * 2, WINDOW, 1000)
    assert throttle.most == pytest.approx(1000 * FIRST)
    feed(throttle, TARGET * 2, WINDOW, 1000)
    assert throttle.most == pytest.approx(500)
    feed(throttle, TARGET * 50, WINDOW * 0.5, 1000)
    assert throttle.most == pytest.approx(1000 * STEEPEST)
    feed(throttle, TARGET * 1.01, WINDOW, 400)
    assert throttle.most == pytest.approx(400 * GENTLEST)


def test_between_calm_and_heavy_it_stays() -> None:
    """Work between half the target and the target moves the bound neither way."""
    throttle = shedding(400)
    for _ in range(50):
        feed(throttle, TARGET * 0.75, WINDOW, 400)
        assert not throttle.admits(400)
    assert throttle.most == 400


def test_once_it_sheds_the_mean_counts() -> None:
    """A window begins nothing with one calm look, and takes from the bound by the mean of all of its looks."""
    looks = [(0.0, 0.05), (TARGET * 4, 0.05)]
    throttle = Throttle(TARGET)
    for work, seconds in looks * PATIENCE * 2:
        throttle.sample(work, seconds, 500)
    assert not throttle.shedding
    throttle = shedding(1000)
    for work, seconds in looks:
        throttle.sample(work, seconds, 500)
    assert throttle.standing == pytest.approx(TARGET * 2)
    assert throttle.most == pytest.approx(500 * FIRST)


def window(throttle: Throttle, work: float, *, refuse: bool) -> None:
    """One look that makes a window of its own, after a call that is refused or none."""
    if refuse:
        assert not throttle.admits(10**6)
    throttle.sample(work, WINDOW, FLOOR)


def test_what_ends_it() -> None:
    """So many windows in a row without a refusal; one with a refusal, or a heavy one, and it counts anew."""
    for work in (0.0, TARGET * 0.75):
        for spoilt in (partial(window, work=work, refuse=True), partial(window, work=TARGET * 2, refuse=False)):
            throttle = shedding(400)
            for _ in range(3):
                for _ in range(QUIET - 1):
                    window(throttle, work, refuse=False)
                spoilt(throttle)
            for _ in range(QUIET - 1):
                window(throttle, work, refuse=False)
            assert throttle.shedding
            window(throttle, work, refuse=False)
            assert not throttle.shedding


def test_a_rush_within() -> None:
    """Where more could come in than is under way, and a burst waits, nothing more comes in than is there."""
    throttle = shedding(5000)
    assert not throttle.crowded(1500), "it is no news"
    assert throttle.admits(1499)
    assert not throttle.admits(1500)
    assert not throttle.crowded(2000)
    assert throttle.most == 1500


def test_room_for_calls_that_do_nothing() -> None:
    """Thousands of quiet streams are no reason to refuse what comes beside them: in calm the bound grows from what is
    there, however low it was."""
    throttle = shedding(200)
    assert not throttle.admits(3000)
    feed(throttle, TARGET * 0.1, WINDOW, 3000)
    assert throttle.most == pytest.approx(3000 * RECOVERY)
    assert throttle.admits(3000)


@dataclass
class Loop:
    """A model of an event loop: each turn works off what was ready when it began; a call takes three turns."""

    throttle: Throttle
    work: float
    """Seconds of a whole call."""
    refusal: float
    """Seconds of a refusal."""
    now: float = 0.0
    arrived: float = 0.0
    stages: list[int] = field(default_factory=lambda: [0, 0, 0])
    born: list[float] = field(default_factory=list)
    done: list[tuple[float, float]] = field(default_factory=list)
    """When a call ended, and how long it took."""
    turns: list[float] = field(default_factory=list)
    looked: float = 0.0

    def run(self, until: float, rate: float) -> None:
        """So many calls a second arrive, evenly."""
        while self.now < until:
            began = self.now
            cost = sum(self.stages) * self.work / 3
            finished = self.stages[2]
            self.stages = [0, self.stages[0], self.stages[1]]
            while self.arrived + 1 / rate <= self.now:
                self.arrived += 1 / rate
                if self.throttle.shedding and not self.throttle.admits(sum(self.stages)):
                    cost += self.refusal
                else:
                    self.stages[0] += 1
                    self.born.append(self.arrived)
            self.now = max(began + cost, self.arrived + 1 / rate if not sum(self.stages) else began + cost)
            self.done += [(self.now, self.now - at) for at in self.born[:finished]]
            del self.born[:finished]
            if self.now >= self.looked + PERIOD:
                self.throttle.sample(cost, self.now - self.looked, sum(self.stages))
                self.looked = self.now

    def goodput(self, since: float) -> float:
        """Calls that ended each second."""
        return sum(at >= since for at, _ in self.done) / (self.now - since)

    def p99(self, since: float) -> float:
        """Of the seconds that calls took."""
        taken = sorted(seconds for at, seconds in self.done if at >= since)
        return taken[int(len(taken) * 0.99)]


@pytest.mark.parametrize("factor", [1.5, 3.0, 6.0])
def test_a_loop_under_too_much(factor: float) -> None:
    """In the model, at a multiple of what the loop can do: at least nine tenths of what is left after refusing is done,
    calls stay a few turns long, and once the load is gone nobody is refused any more."""
    work = 0.001
    loop = Loop(Throttle(TARGET), work, refusal=work * 0.02)
    loop.run(20, factor / work)
    possible = (1 - factor * 0.02) / (1 - 0.02) / work
    assert loop.goodput(5) >= 0.9 * possible
    assert loop.p99(5) < 12 * TARGET
    loop.run(30, 0.3 / work)
    assert not loop.throttle.shedding
    # Without it the same load takes longer and longer.
    free = Loop(Throttle(0), work, refusal=0)
    free.run(5, factor / work)
    assert max(seconds for _, seconds in free.done) > 12 * TARGET


def test_below_capacity_nobody_is_refused() -> None:
    """In the model, at nine tenths of what the loop can do, shedding never begins."""
    loop = Loop(Throttle(TARGET), 0.001, refusal=0)
    loop.run(20, 900)
    assert not loop.throttle.shedding
    assert loop.goodput(1) == pytest.approx(900, rel=0.01)
