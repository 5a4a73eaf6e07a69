"""The script and the local cap against one plain model: each decision, wait, remaining and reset, as time goes by."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.limits.limitset import LimitSet, give_back
from gateway.limits.local import LocalLimits
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import Script, connect
from gateway.types import LimitSpec
from tests.limits.conftest import PATIENT, rate, slots

START = 1_790_000_000_000_000
"""Microseconds; the size of today's, for the rounding that goes with it."""
SLACK = 40
"""Microseconds that rounding may add over one course."""
LEASE = 5_000_000
_names = itertools.count(1)


@dataclass
class Model:
    """GCRA and slots in exact numbers. Times are microseconds."""

    specs: list[LimitSpec]
    tats: dict[int, Fraction] = field(default_factory=dict)
    slots: dict[int, dict[str, int]] = field(default_factory=dict)

    def unit(self, at: int) -> Fraction:
        spec = self.specs[at]
        return Fraction(spec.period) * 1_000_000 / spec.capacity

    def needed(self, at: int, tokens: int, now: int) -> Fraction:
        """How long this limit makes the call wait; nothing when it has room."""
        spec = self.specs[at]
        if spec.kind == "concurrency":
            living = [end for end in self.slots.get(at, {}).values() if end > now]
            return Fraction(1_000_000 if len(living) >= spec.capacity else 0)
        cost = tokens if spec.kind == "tokens" else 1
        return self.tat(at, now) - now + (cost - spec.capacity - Fraction(1, 100)) * self.unit(at)

    def tat(self, at: int, now: int) -> Fraction:
        return max(self.tats.get(at, Fraction(0)), Fraction(now))

    def reserve(self, label: str, tokens: int, now: int) -> None:
        for at, spec in enumerate(self.specs):
            if spec.kind == "concurrency":
                self.slots.setdefault(at, {})[label] = now + LEASE
            else:
                self.tats[at] = self.tat(at, now) + (tokens if spec.kind == "tokens" else 1) * self.unit(at)

    def settle(self, label: str, more: int, now: int, *, request: int = 0) -> None:
        for at, spec in enumerate(self.specs):
            if spec.kind == "concurrency":
                self.slots.get(at, {}).pop(label, None)
            else:
                self.tats[at] = self.tat(at, now) + (more if spec.kind == "tokens" else request) * self.unit(at)

    def renew(self, label: str, now: int) -> None:
        for held in self.slots.values():
            held[label] = now + LEASE

    def check(self, reply: list[float], tokens: int, now: int) -> bool:
        """Compare an answer given for a call at `now`; whether it admitted."""
        waits = [self.needed(at, tokens, now) for at in range(len(self.specs))]
        longest = max(waits)
        if reply[0]:
            assert longest <= SLACK
            assert list(reply[1:3]) == [0, 0]
        else:
            assert longest > -SLACK
            assert waits[int(reply[1]) - 1] >= longest - SLACK
            assert abs(reply[2] - longest) <= SLACK + 1
        return bool(reply[0])

    def check_state(self, reply: list[float], now: int) -> None:
        """Compare what an answer says is left, after the call."""
        for at, spec in enumerate(self.specs):
            remaining, reset = reply[3 + 2 * at : 5 + 2 * at]
            if spec.kind == "concurrency":
                assert reset == 0
                continue
            before = self.tat(at, now) - now
            assert abs(reset - before) <= SLACK + 1
            exact = spec.capacity - before / self.unit(at) + Fraction(1, 100)
            slack = Fraction(SLACK) / self.unit(at)
            assert max(0, (exact - slack).__floor__()) <= remaining <= max(0, (exact + slack).__floor__())


PERIODS = st.sampled_from([0.5, 1.0, 60.0, 86400.0])
COUNTS = st.sampled_from([1, 2, 3, 7, 9, 60])


@st.composite
def spec_lists(draw: Any) -> list[LimitSpec]:
    """One to four limits of any kind."""
    name = f"m{next(_names)}"
    found = []
    for scope in draw(
        st.lists(st.sampled_from(["key", "team", "user", "global"]), min_size=1, max_size=4, unique=True)
    ):
        kind = draw(st.sampled_from(["requests", "tokens", "concurrency"]))
        if kind == "concurrency":
            found.append(slots(draw(st.integers(1, 3)), name=name, scope=scope))
        else:
            count, burst = draw(COUNTS), draw(st.one_of(st.just(0), COUNTS))
            found.append(rate(kind, count, draw(PERIODS), name=name, burst=burst, scope=scope))
    return found


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 1_000, 333_333, 1_000_000, 4_000_001, 20_000_000, 90_000_000]),
        st.sampled_from(["reserve", "reserve", "reserve", "settle", "renew", "return"]),
        st.integers(0, 9),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=25,
)


class TimedScript:
    """The gate's own script with the clock as an argument."""

    def __init__(self, server: EmbeddedRedis) -> None:
        source = files("gateway.limits").joinpath("lua/gate.lua").read_bytes()
        timed = source.replace(b"call('TIME')", b"{tonumber(ARGV[2]), tonumber(ARGV[3])}")
        assert timed.count(b"ARGV[3]") == 1
        self.loop = asyncio.new_event_loop()
        self.client = connect(server.url, PATIENT)
        self.script = Script(self.client, "timed", timed)

    def run(self, limits: LimitSet, now: int, *items: list[Any]) -> list[Any]:
        """The answers to these items, all of the same limits, in one call."""
        places = list(range(1, len(limits.keys) + 1))
        blob = msgspec.msgpack.encode([(places, item) for item in items])
        seconds, micros = divmod(now, 1_000_000)
        reply = self.loop.run_until_complete(self.script.run(limits.keys, (blob, seconds, micros)))
        found: list[Any] = msgspec.msgpack.decode(reply)
        assert len(found) == len(items)
        return found

    def close(self) -> None:
        self.loop.run_until_complete(self.client.close())
        self.loop.close()


@pytest.fixture(scope="module")
def timed(shared_server: EmbeddedRedis) -> Iterator[TimedScript]:
    found = TimedScript(shared_server)
    yield found
    found.close()


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(spec_lists(), STEPS)
def test_script_is_the_model(timed: TimedScript, specs: list[LimitSpec], steps: list[Any]) -> None:
    """Whatever is reserved, settled, renewed and given back, however time passes: the script answers as the model."""
    limits, model, now = LimitSet.of(specs), Model(specs), START
    open_calls: list[tuple[str, int]] = []
    for number, (pause, verb, tokens, which) in enumerate(steps):
        now += pause
        if verb == "reserve":
            label, rows = f"c{number}", limits.args(tokens)
            reply = timed.run(limits, now, [1, label, LEASE, rows])[0]
            if model.check(reply, tokens, now):
                model.reserve(label, tokens, now)
                open_calls.append((label, tokens))
            model.check_state(reply, now)
        elif open_calls:
            label, reserved = open_calls[which % len(open_calls)]
            if verb == "renew":
                timed.run(limits, now, [3, label, LEASE, limits.changes(0)])
                model.renew(label, now)
                continue
            open_calls.remove((label, reserved))
            if verb == "settle":
                timed.run(limits, now, [2, label, limits.changes(tokens - reserved)])
                model.settle(label, tokens - reserved, now)
            else:
                timed.run(limits, now, [2, label, give_back(limits.args(reserved))])
                model.settle(label, -reserved, now, request=-1)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(spec_lists(), st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_a_batch_is_its_items(timed: TimedScript, specs: list[LimitSpec], costs: list[int]) -> None:
    """Items in one batch get the answers they would get one by one at the same moment."""
    limits, model = LimitSet.of(specs), Model(specs)
    items = [[1, f"c{at}", LEASE, limits.args(tokens)] for at, tokens in enumerate(costs)]
    for at, (tokens, reply) in enumerate(zip(costs, timed.run(limits, START, *items), strict=True)):
        if model.check(reply, tokens, START):
            model.reserve(f"c{at}", tokens, START)
        model.check_state(reply, START)
    closing = [[2, f"c{at}", limits.changes(0)] for at in range(len(costs))]
    timed.run(limits, START, *closing)
    for at in range(len(costs)):
        model.settle(f"c{at}", 0, START)
    model.check(timed.run(limits, START, [1, "last", LEASE, limits.args(1)])[0], 1, START)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spec_lists(), STEPS)
def test_local_is_the_model(specs: list[LimitSpec], steps: list[Any]) -> None:
    """One worker's local cap decides as the script does, but for leases, which it has no need of."""
    now = START
    local = LocalLimits(lambda: (now - START) / 1e6 + 1000.0, workers=1)
    limits, model = LimitSet.of(specs), Model(specs)
    open_calls: list[tuple[str, int]] = []
    for number, (pause, verb, tokens, which) in enumerate(steps):
        now += pause
        for held in model.slots.values():
            held.update(dict.fromkeys(held, now + LEASE))
        if verb == "reserve":
            if any(spec.kind == "tokens" and tokens > spec.capacity for spec in specs):
                continue  # the gate refuses these before anyone is asked
            reply = local.reserve(limits, f"c{number}", tokens)
            if model.check(reply, tokens, now):
                model.reserve(f"c{number}", tokens, now)
                open_calls.append((f"c{number}", tokens))
            model.check_state(reply, now)
        elif open_calls:
            label, reserved = open_calls.pop(which % len(open_calls))
            local.settle(limits, label, tokens - reserved)
            model.settle(label, tokens - reserved, now)


@pytest.mark.parametrize(("workers", "capacity", "share"), [(1, 10, 10), (2, 10, 5), (4, 10, 2), (40, 10, 1)])
def test_local_share(workers: int, capacity: int, share: int) -> None:
    """Each worker holds its share of every limit, and at least one."""
    limits = LimitSet.of([rate("requests", capacity, 60.0, name="x")])
    local = LocalLimits(lambda: 5.0, workers)
    assert [local.reserve(limits, f"c{at}", 0)[0] for at in range(share + 2)] == [1] * share + [0, 0]
    limits = LimitSet.of([slots(capacity, name="y")])
    assert [local.reserve(limits, f"c{at}", 0)[0] for at in range(share + 2)] == [1] * share + [0, 0]


def test_local_takes_a_large_call_when_its_share_is_full() -> None:
    """A call larger than a worker's share but not than the limit passes on a full bucket, and is paid off later."""
    limits = LimitSet.of([rate("tokens", 100, 100.0, name="x")])
    now = 0.0
    local = LocalLimits(lambda: now, workers=4)
    assert local.reserve(limits, "a", 80)[0] == 1
    admitted, _, wait, *_ = local.reserve(limits, "b", 25)
    assert admitted == 0
    now = wait / 1e6
    assert local.reserve(limits, "b", 25)[0] == 1
    assert wait / 1e6 == pytest.approx(80 * 4, rel=0.01)


def test_local_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buckets that are full again are forgotten once there are many."""
    monkeypatch.setattr("gateway.limits.local.MAX_KEYS", 10)
    now = 0.0
    local = LocalLimits(lambda: now, workers=1)
    for at in range(100):
        now += 1.0
        local.reserve(LimitSet.of([rate("requests", 1, 5.0, name=f"n{at}")]), "c", 0)
        assert len(local._tat) <= 10


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
    limits = LimitSet.of([rate("requests", 1, 1.0, name="x")])
    assert dict(limits.headers([0, seconds * 1e6]))[b"x-ratelimit-reset-requests"] == text.encode()
