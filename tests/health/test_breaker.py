"""The breaker against a plain model of its rules, and the retry budget."""

from __future__ import annotations

from collections import deque
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.health.breaker import (
    JITTER,
    MOST_FAILURES,
    MOST_SECONDS,
    OPEN_AFTER,
    OPEN_SECONDS,
    SETTLED_SECONDS,
    WINDOW,
    Breaker,
)
from gateway.health.budget import FLOOR, SHARE, SPAN, Budget


class BreakerModel(RuleBasedStateMachine):
    """Follows a breaker with lists and sums."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.chance = Random(1)
        self.now = 1000.0
        self.in_row = 0
        self.ended: int | None = None
        self.window: deque[bool] = deque(maxlen=WINDOW)
        self.open = False
        self.openings = 0
        self.closed_at: float | None = None

    @initialize(seed=st.integers(0, 1 << 30))
    def begin(self, seed: int) -> None:
        self.chance = Random(seed)

    @rule(seconds=st.floats(0, 100))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: not self.open)
    @rule()
    def success(self) -> None:
        self.ended = self.breaker.succeeded()
        assert self.ended == self.in_row
        self.in_row = 0
        self.window.append(True)

    @precondition(lambda self: not self.open)
    @rule(at_once=st.booleans() | st.just(False) | st.just(False))
    def failure(self, at_once: bool) -> None:
        self._failed(self.breaker.failed(self.now, self.chance, at_once=at_once), at_once=at_once, ended=0)

    @precondition(lambda self: not self.open and self.ended is not None)
    @rule()
    def what_was_answered_breaks_off(self) -> None:
        """It was one attempt, and stays one; what it had ended goes on."""
        ended, self.ended = self.ended, None
        assert ended is not None
        seconds = self.breaker.failed(self.now, self.chance, ended=ended)
        newest = next((at for at in range(len(self.window) - 1, -1, -1) if self.window[at]), None)
        if newest is not None:
            del self.window[newest]
        self._failed(seconds, at_once=False, ended=ended)

    def _failed(self, seconds: float | None, *, at_once: bool, ended: int) -> None:
        self.in_row += ended + 1
        self.window.append(False)
        too_many = len(self.window) == WINDOW and self.window.count(False) > MOST_FAILURES
        opens = at_once or self.in_row >= OPEN_AFTER or too_many
        assert (seconds is not None) == opens
        if seconds is not None:
            self._opened(seconds)

    @precondition(lambda self: self.open)
    @rule()
    def trial_fails(self) -> None:
        self._opened(self.breaker.opened(self.now, self.chance))

    @precondition(lambda self: self.open)
    @rule()
    def trial_is_answered(self) -> None:
        self.breaker.closed(self.now)
        self.open, self.closed_at = False, self.now
        self.in_row = OPEN_AFTER - 1
        self.window.clear()

    def _opened(self, seconds: float) -> None:
        settled = self.closed_at is not None and self.now - self.closed_at >= SETTLED_SECONDS
        self.openings = 1 if settled else self.openings + 1
        wanted = min(MOST_SECONDS, OPEN_SECONDS * self.openings)
        assert wanted * (1 - JITTER) <= seconds <= wanted * (1 + JITTER)
        self.open, self.closed_at, self.in_row = True, None, 0
        self.window.clear()

    @invariant()
    def it_stays_closed_only_below_both_bounds(self) -> None:
        if not self.open:
            assert self.breaker.failures == self.in_row < OPEN_AFTER
            assert self.breaker.seen == len(self.window)
            assert self.breaker.window.bit_count() == self.window.count(False)


TestBreaker = BreakerModel.TestCase
TestBreaker.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def test_the_open_time_grows_to_its_bound_and_is_spread() -> None:
    """5 s times how often, at most 25 s, ±20 %."""
    chance = Random(3)
    breaker = Breaker()
    for count in range(1, 9):
        seconds = breaker.opened(float(count), chance)
        assert 0.8 <= seconds / min(25.0, 5.0 * count) <= 1.2
    spread = [Breaker().opened(0.0, chance) for _ in range(200)]
    assert max(spread) > 5.8
    assert min(spread) < 4.2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_the_budget_counts_the_last_ten_seconds(events: list[tuple[float, bool]]) -> None:
    """Whatever the pace: a second try is left while this second had fewer than three, or the last ten seconds fewer
    than a fifth of their first tries."""
    budget, now, seen = Budget(), 50.0, []
    for pause, again in events:
        now += pause
        budget.count(now, again=again)
        seen.append((int(now), again))
        recent = [(second, retry) for second, retry in seen if second > int(now) - SPAN]
        retries = sum(retry for _, retry in recent)
        this_second = sum(retry for second, retry in recent if second == int(now))
        wanted = this_second < FLOOR or retries < SHARE * (len(recent) - retries)
        assert budget.leaves(now) == wanted


@given(st.integers(1, 400), st.integers(1, 20))
def test_retries_are_a_fifth_beyond_the_floor(rate: int, seconds: int) -> None:
    """An upstream that always fails, at any load: attempts stay within 1.2 times the calls, and three a second."""
    budget, calls, retries = Budget(), 0, 0
    for second in range(seconds):
        for call in range(rate):
            now = second + call / rate
            budget.count(now, again=False)
            calls += 1
            if budget.leaves(now):
                budget.count(now, again=True)
                retries += 1
    assert retries <= 0.2 * calls + FLOOR * seconds
    assert retries >= min(rate, FLOOR) * seconds
