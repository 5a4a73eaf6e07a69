"""The controller of overload: what it promises for any turns, and how it does against a model of a loop."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.overload import PERIOD
from gateway.http.throttle import BURST, FLOOR, LEAST_SHARE, PATIENCE, PER_LOOK, WINDOW, Throttle

TARGET = 0.03
TURNS = st.one_of(st.floats(0, 0.05), st.floats(0, 2))


def feed(throttle: Throttle, turn: float, seconds: float) -> None:
    """Turns of this length, for so long."""
    spent = 0.0
    while spent < seconds:
        throttle.sample(turn, PERIOD + turn)
        spent += PERIOD + turn


@given(st.lists(TURNS, max_size=60), st.integers(0, 300))
def test_for_any_turns(turns: list[float], in_flight: int) -> None:
    """The share stays within its bounds, nothing is refused while it is whole, and few calls are never refused."""
    throttle = Throttle(TARGET)
    for turn in turns:
        before = throttle.shedding
        assert throttle.sample(turn, PERIOD + turn) is (throttle.shedding is not before)
        assert LEAST_SHARE <= throttle.share <= 1
        if not throttle.shedding:
            assert throttle.share == 1
        elif in_flight < FLOOR:
            assert throttle.admits(in_flight)


@given(st.lists(TURNS, max_size=60))
def test_calm_ends_it(turns: list[float]) -> None:
    """Whatever happened, a loop that is on time for some seconds takes everybody in."""
    throttle = Throttle(TARGET)
    for turn in turns:
        throttle.sample(turn, PERIOD + turn)
    feed(throttle, 0.0, WINDOW * 70)
    assert not throttle.shedding


@given(st.lists(TURNS, min_size=10, max_size=60))
def test_switched_off(turns: list[float]) -> None:
    """With a target of 0 nothing is refused."""
    throttle = Throttle(0)
    for turn in turns:
        assert not throttle.sample(turn, PERIOD + turn)
    assert not throttle.shedding


@given(st.floats(LEAST_SHARE, 1), st.integers(1, 2000))
def test_the_share_is_kept_exactly(share: float, calls: int) -> None:
    """Of any number of calls in a row, so many are taken in as the share says, give or take one."""
    throttle = Throttle(TARGET, shedding=True, share=share, room=calls)
    admitted = sum(throttle.admits(FLOOR) for _ in range(calls))
    assert abs(admitted - share * calls) <= 1
    assert throttle.refused == calls - admitted


def test_a_peak_is_nothing() -> None:
    """One turn of two seconds, or heavy ones for less than half a second, begin nothing; heavy ones that go on do."""
    throttle = Throttle(TARGET)
    throttle.sample(2.0, 2.0)
    feed(throttle, 0.0, WINDOW)
    assert not throttle.shedding
    feed(throttle, TARGET * 1.5, WINDOW * (PATIENCE - 2))
    assert not throttle.shedding
    feed(throttle, TARGET * 1.5, WINDOW * 4)
    assert throttle.shedding


def test_a_rush() -> None:
    """More calls than a burst and what looks make room for: shedding begins at once, each look lets so many more in,
    and calm ends it. A burst itself is nothing, nor is a rush where few run or shedding is switched off."""
    throttle = Throttle(TARGET, room=BURST)
    throttle.room -= BURST
    throttle.sample(0.0, PERIOD)
    assert (throttle.room, throttle.shedding) == (PER_LOOK, False)
    throttle.room = -1
    assert not throttle.crowded(FLOOR - 1)
    assert not Throttle(0, room=-1).crowded(FLOOR)
    assert throttle.crowded(FLOOR)
    assert not throttle.crowded(FLOOR), "it has begun already"
    assert not throttle.admits(FLOOR)
    throttle.sample(TARGET * 0.75, PERIOD)
    assert [throttle.admits(FLOOR) for _ in range(PER_LOOK + 2)] == [True] * PER_LOOK + [False] * 2
    assert throttle.refused == 3
    assert throttle.admits(FLOOR - 1), "few are never refused"
    feed(throttle, 0.0, WINDOW * 3)
    assert (throttle.shedding, throttle.room) == (False, BURST)


def test_between_calm_and_heavy_it_stays() -> None:
    """Turns between half the target and the target move the share neither way."""
    throttle = Throttle(TARGET, shedding=True, share=0.4)
    feed(throttle, TARGET * 0.75, 5)
    assert throttle.share == 0.4


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
                self.throttle.sample(cost, self.now - self.looked)
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
