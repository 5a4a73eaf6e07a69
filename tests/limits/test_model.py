"""The script and the local cap against one plain model: each decision, wait, remaining and reset, as time goes by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, RateLimited, RequestExceedsLimit
from gateway.limits.demand import Used
from gateway.limits.gate import Gate, Reservation
from gateway.limits.limitset import LimitSet
from gateway.limits.local import LocalLimits
from gateway.limits.outage import Backing
from gateway.storage.embedded import EmbeddedRedis
from gateway.telemetry.base import SilentObserver
from gateway.types import LimitSpec
from tests.limits.conftest import LedgerOf, about, fresh, key_of, limit_set, need, rate, slots
from tests.limits.model import (
    LEASE,
    START,
    STEPS,
    Buckets,
    TimedScript,
    rates_and_throttles,
    renewing,
    reserving,
    settling,
    spec_lists,
)

THOROUGH = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
EARLY = 2_000
"""Microseconds before the told time at which a caller must still be refused."""


@pytest.fixture(scope="module")
def timed(shared_server: EmbeddedRedis) -> Iterator[TimedScript]:
    found = TimedScript(shared_server)
    yield found
    found.close()


@settings(max_examples=120, deadline=None, suppress_health_check=THOROUGH)
@given(spec_lists(), STEPS)
def test_script_is_the_model(timed: TimedScript, specs: list[LimitSpec], steps: list[Any]) -> None:
    """Whatever is reserved, settled, renewed and given back, however time passes: the script answers as the model."""
    limits, model, now = limit_set(*specs), Buckets(specs), START
    open_calls: list[tuple[str, int]] = []
    for number, (pause, verb, tokens, which) in enumerate(steps):
        now += pause
        if verb == "reserve":
            label = f"c{number}"
            reply = timed.ask(limits, now, reserving(label, tokens))[0]
            if model.check(reply, tokens, now):
                model.reserve(label, tokens, now)
                open_calls.append((label, tokens))
            model.check_state(reply, now)
        elif open_calls:
            label, reserved = open_calls[which % len(open_calls)]
            if verb == "renew":
                timed.ask(limits, now, renewing(label))
                model.renew(label, now)
                continue
            open_calls.remove((label, reserved))
            if verb == "settle":
                timed.ask(limits, now, settling(label, tokens - reserved))
                model.settle(label, tokens - reserved, now)
            else:
                timed.ask(limits, now, settling(label, -reserved, request=-1))
                model.settle(label, -reserved, now, request=-1)


@settings(max_examples=50, deadline=None, suppress_health_check=THOROUGH)
@given(spec_lists(), st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_a_batch_is_its_items(timed: TimedScript, specs: list[LimitSpec], costs: list[int]) -> None:
    """Items in one batch get the answers they would get one by one at the same moment."""
    limits, model = limit_set(*specs), Buckets(specs)
    items = [reserving(f"c{at}", tokens) for at, tokens in enumerate(costs)]
    for at, (tokens, reply) in enumerate(zip(costs, timed.ask(limits, START, *items), strict=True)):
        if model.check(reply, tokens, START):
            model.reserve(f"c{at}", tokens, START)
        model.check_state(reply, START)
    timed.ask(limits, START, *(settling(f"c{at}", 0) for at in range(len(costs))))
    for at in range(len(costs)):
        model.settle(f"c{at}", 0, START)
    model.check(timed.ask(limits, START, reserving("last", 1))[0], 1, START)


# ---- the wait that callers are told ----------------------------------------------------------------------------------


class Caller:
    """Asks the gate at times of its own choice."""

    def __init__(self, timed: TimedScript, limits: LimitSet) -> None:
        self.timed = timed
        self.limits = limits
        self.gate = timed.wait(self._make())

    async def _make(self) -> Gate:
        gate = Gate(self.timed.client, SilentObserver(), time.monotonic, Backing(ledger=LedgerOf()))
        gate._source = self.timed  # type: ignore[assignment]
        return gate

    def ask(self, now: int, tokens: int) -> Reservation | GatewayError:
        """What the gate says at that time."""
        self.timed.now = now
        reservation = Reservation(fresh("c"))
        try:
            self.timed.wait(self.gate.reserve(reservation, [self.limits], need(tokens), about("a")))
        except GatewayError as error:
            return error
        return reservation

    def settle(self, reservation: Reservation, tokens: int) -> None:
        self.timed.wait(self._settle(reservation, tokens))

    async def _settle(self, reservation: Reservation, tokens: int) -> None:
        self.gate.settle(reservation, Used(tokens))
        await self.gate.close()


@settings(max_examples=100, deadline=None, suppress_health_check=THOROUGH)
@given(
    rates_and_throttles(),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0, 1, 777, 50_000]), st.integers(-9, 40)), max_size=20),
)
def test_waiting_as_told_is_enough_and_no_more_than_needed(
    timed: TimedScript, specs: list[Any], course: list[tuple[int, int, int]]
) -> None:
    """Under any mix of limits, bursts and debts: who comes exactly when told is admitted, 2 ms earlier nobody is."""
    caller, now = Caller(timed, limit_set(*specs)), START
    for tokens, pause, more in course:
        now += pause
        answer = caller.ask(now, tokens)
        if isinstance(answer, RequestExceedsLimit):
            continue
        if isinstance(answer, GatewayError):
            assert isinstance(answer, RateLimited)
            assert answer.retry_after
            wait = round(answer.retry_after * 1e6)
            if wait > EARLY:
                early = caller.ask(now + wait - EARLY, tokens)
                assert isinstance(early, RateLimited)
                assert early.retry_after == pytest.approx(EARLY / 1e6, abs=3e-6)
            now += wait
            answer = caller.ask(now, tokens)
            assert isinstance(answer, Reservation), (wait, answer)
        if more >= 0:
            caller.settle(answer, more)


@settings(max_examples=20, deadline=None, suppress_health_check=THOROUGH)
@given(st.sampled_from([1, 3, 7, 30]), st.sampled_from([1.0, 60.0]), st.sampled_from([0, 1, 5]), st.integers(2, 5))
def test_an_obedient_client_gets_the_whole_rate(
    timed: TimedScript, count: int, period: float, burst: int, periods: int
) -> None:
    """Whoever always waits as told gets the bucket and then one unit per interval: never more, and never less."""
    caller, now = Caller(timed, limit_set(rate("requests", count, period, burst=burst))), START
    admitted, last = 0, START + int(periods * period * 1e6)
    while now <= last:
        answer = caller.ask(now, 0)
        if isinstance(answer, Reservation):
            admitted += 1
        else:
            assert isinstance(answer, RateLimited)
            now += round((answer.retry_after or 0) * 1e6)
    passed = min(now, last) - START
    exact = (burst or count) + passed * count / (period * 1e6)
    assert int(exact + 0.02) - 1 <= admitted <= int(exact + 0.02)


@pytest.mark.parametrize(("kind", "count", "tokens"), [("requests", 50, 0), ("tokens", 3000, 60)])
def test_the_servers_own_clock_is_no_different(timed: TimedScript, kind: str, count: int, tokens: int) -> None:
    """The script as it is, with a bucket that is moved back by the told wait: admitted at once."""
    limits = limit_set(rate(kind, count, 1.0, burst=max(1, tokens) * 2))
    key = key_of(limits, 0)

    async def course() -> None:
        gate = Gate(timed.client, SilentObserver(), time.monotonic)
        for _ in range(10):
            refused: list[RateLimited] = []
            while not refused:
                try:
                    await gate.reserve(Reservation(fresh("c")), [limits], need(tokens), about("a"))
                except RateLimited as error:
                    refused.append(error)
            wait = refused[0].retry_after
            assert wait is not None
            assert 0 < wait <= 0.07
            tat = float(await timed.client.get(key) or 0)
            await timed.client.set(key, repr(tat - wait * 1e6), 10.0)
            await gate.reserve(Reservation(fresh("c")), [limits], need(tokens), about("a"))
        await gate.close()

    timed.wait(course())


# ---- one worker's cap ------------------------------------------------------------------------------------------------


def local_reserve(local: LocalLimits, limits: LimitSet, label: str, tokens: int) -> list[float]:
    return local.reserve(limits, limits.frame(None, "", 0.0).keys, label, tokens)


def local_settle(local: LocalLimits, limits: LimitSet, label: str, more: int) -> None:
    local.settle(limits, limits.frame(None, "", 0.0).keys, label, more)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec_lists(), STEPS)
def test_local_is_the_model(specs: list[LimitSpec], steps: list[Any]) -> None:
    """One worker's local cap decides as the script does, but for leases, which it has no need of."""
    now = START
    local = LocalLimits(lambda: (now - START) / 1e6 + 1000.0, workers=1)
    limits, model = limit_set(*specs), Buckets(specs)
    open_calls: list[tuple[str, int]] = []
    for number, (pause, verb, tokens, which) in enumerate(steps):
        now += pause
        for held in model.slots.values():
            held.update(dict.fromkeys(held, now + LEASE))
        if verb == "reserve":
            if tokens > limits.largest:
                continue  # the gate refuses these before anyone is asked
            reply = local_reserve(local, limits, f"c{number}", tokens)
            if model.check(reply, tokens, now):
                model.reserve(f"c{number}", tokens, now)
                open_calls.append((f"c{number}", tokens))
            model.check_state(reply, now)
        elif open_calls:
            label, reserved = open_calls.pop(which % len(open_calls))
            local_settle(local, limits, label, tokens - reserved)
            model.settle(label, tokens - reserved, now)


@pytest.mark.parametrize(("workers", "capacity", "share"), [(1, 10, 10), (2, 10, 5), (4, 10, 2), (40, 10, 1)])
def test_local_share(workers: int, capacity: int, share: int) -> None:
    """Each worker holds its share of every limit, and at least one."""
    local = LocalLimits(lambda: 5.0, workers)
    for limits in (limit_set(rate("requests", capacity, 60.0)), limit_set(slots(capacity))):
        answers = [local_reserve(local, limits, f"c{at}", 0)[0] for at in range(share + 2)]
        assert answers == [1] * share + [0, 0]


def test_local_takes_a_large_call_when_its_share_is_full() -> None:
    """A call larger than a worker's share but not than the limit passes on a full bucket, and is paid off later."""
    limits = limit_set(rate("tokens", 100, 100.0))
    now = 0.0
    local = LocalLimits(lambda: now, workers=4)
    assert local_reserve(local, limits, "a", 80)[0] == 1
    admitted, _, wait, *_ = local_reserve(local, limits, "b", 25)
    assert admitted == 0
    now = wait / 1e6
    assert local_reserve(local, limits, "b", 25)[0] == 1
    assert wait / 1e6 == pytest.approx(80 * 4, rel=0.01)


def test_local_gives_back_what_it_took() -> None:
    """Calls that come to nothing leave the bucket as it was, large ones too."""
    limits = limit_set(rate("tokens", 100, 100.0), rate("requests", 8, 100.0))
    local = LocalLimits(lambda: 0.0, workers=4)
    for tokens in (80, 10, 25, 99):
        assert local_reserve(local, limits, "a", tokens)[0] == 1
        local.settle(limits, limits.frame(None, "", 0.0).keys, "a", -tokens, -1)
    reply = local_reserve(local, limits, "b", 0)
    assert (reply[4], reply[6]) == (25, 1)


def test_local_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets that are full again are forgotten once there are many."""
    monkeypatch.setattr("gateway.limits.local.MAX_KEYS", 10)
    now = 0.0
    local = LocalLimits(lambda: now, workers=1)
    for _ in range(100):
        now += 1.0
        local_reserve(local, limit_set(rate("requests", 1, 5.0)), "c", 0)
        assert len(local._buckets) <= 10


def test_local_begins_where_the_store_stood() -> None:
    """The shares of all workers together hold what was left in the store when it was heard last."""
    limits = limit_set(rate("requests", 100, 100.0))
    for ahead, left in ((0, 100), (40_000_000, 60), (100_000_000, 0), (130_000_000, 0)):
        heard = ([1, 0, 0, 0, 0, ahead], 50.0)
        took = 0
        for _ in range(4):
            local = LocalLimits(lambda: 50.0, workers=4)
            keys = limits.frame(None, "", 0.0).keys
            took += sum(local.reserve(limits, keys, "c", 0, heard)[0] == 1 for _ in range(110))
        assert took == left


def test_local_keeps_what_it_took_over_many_outages() -> None:
    """A bucket that was carried over is not handed out again; one that was not counts beside what the store says."""
    limits = limit_set(rate("requests", 100, 100.0))
    keys, now = limits.frame(None, "", 0.0).keys, 50.0
    local = LocalLimits(lambda: now, workers=2)
    heard = ([1, 0, 0, 0, 0, 20_000_000], 50.0)
    assert sum(local.reserve(limits, keys, "c", 0, heard)[0] == 1 for _ in range(60)) == 40
    (bucket,) = local.owed()
    name = bucket.name
    assert (bucket.upto - bucket.base) * local.share == pytest.approx(40.0)
    assert not list(local.owed()), "it is on its way"
    local.answered(bucket, applied=False)
    assert [again.name for again in local.owed()] == [name], "the same again"
    local.answered(bucket, applied=True)
    assert not list(local.owed())
    now = 51.0
    assert sum(local.reserve(limits, keys, "c", 0, heard)[0] == 1 for _ in range(60)) == 0, "half a unit came back"
    now = 52.0
    assert sum(local.reserve(limits, keys, "c", 0, heard)[0] == 1 for _ in range(60)) == 1
    heard = ([1, 0, 0, 0, 0, 60_000_000], 52.0)
    assert sum(local.reserve(limits, keys, "c", 0, heard)[0] == 1 for _ in range(60)) == 19, "and the one before"
    local.settle(limits, keys, "c", 0, -5)
    (bucket,) = local.owed()
    assert (bucket.upto - bucket.base) * local.share == pytest.approx(15.0)


DURATIONS = [
    (0, "0s"),
    (0.000001, "1ms"),
    (0.012, "12ms"),
    (0.029, "29ms"),
    (0.0291, "30ms"),
    (0.9991, "1s"),
    (1, "1s"),
    (1.5, "1.5s"),
    (1.001, "1.001s"),
    (59.999, "59.999s"),
    (59.9999, "1m0s"),
    (60, "1m0s"),
    (61.2, "1m2s"),
    (360, "6m0s"),
    (3599.5, "1h0m0s"),
    (3600, "1h0m0s"),
    (86399, "23h59m59s"),
    (90061, "25h1m1s"),
]


@pytest.mark.parametrize(("seconds", "text"), DURATIONS)
def test_durations_are_gos(seconds: float, text: str) -> None:
    """Durations read as Go prints them, rounded up to the millisecond, above a minute to the second."""
    limits = limit_set(rate("requests", 1, 1.0))
    assert dict(limits.headers([1, 0, 0, 0, 0, seconds * 1e6]))[b"x-ratelimit-reset-requests"] == text.encode()
