"""Token buckets and slots in exact numbers, and the gate's script with the clock as an argument."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.resources import files
from typing import Any

import msgspec
from hypothesis import strategies as st

from gateway.limits.limitset import STATE, LimitSet
from gateway.limits.script import RENEW, RESERVE, SETTLE
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import Script, connect
from gateway.types import LimitSpec, QuotaSpec, RateLimit
from tests.limits.conftest import PATIENT, frame_of, quota, rate, slots

START = 1_790_000_000_000_000
"""Microseconds; the size of today's, for the rounding that goes with it."""
SLACK = 40
"""Microseconds that rounding may add over one course."""
LEASE = 5_000_000


@dataclass
class Buckets:
    """Each rate a bucket that fills evenly up to its capacity and may be in debt; slots with leases. Times are
    microseconds."""

    specs: list[LimitSpec]
    levels: dict[int, tuple[Fraction, int]] = field(default_factory=dict)
    slots: dict[int, dict[str, int]] = field(default_factory=dict)

    def unit(self, at: int) -> Fraction:
        """How long one unit takes to flow in."""
        spec = self.specs[at]
        return Fraction(spec.period) * 1_000_000 / spec.capacity

    def level(self, at: int, now: int) -> Fraction:
        full = Fraction(self.specs[at].capacity)
        level, since = self.levels.get(at, (full, now))
        return min(full, level + (now - since) / self.unit(at))

    def pour(self, at: int, amount: int, now: int) -> None:
        self.levels[at] = min(Fraction(self.specs[at].capacity), self.level(at, now) + amount), now

    def needed(self, at: int, tokens: int, now: int) -> Fraction:
        """How long this limit makes the call wait; nothing when it has room."""
        spec = self.specs[at]
        if spec.kind == "concurrency":
            living = [end for end in self.slots.get(at, {}).values() if end > now]
            return Fraction(1_000_000 if len(living) >= spec.capacity else 0)
        cost = tokens if spec.kind == "tokens" else 1
        return (cost - self.level(at, now) - Fraction(1, 100)) * self.unit(at)

    def reserve(self, label: str, tokens: int, now: int) -> None:
        for at, spec in enumerate(self.specs):
            if spec.kind == "concurrency":
                self.slots.setdefault(at, {})[label] = now + LEASE
            else:
                self.pour(at, -tokens if spec.kind == "tokens" else -1, now)

    def settle(self, label: str, more: int, now: int, *, request: int = 0) -> None:
        for at, spec in enumerate(self.specs):
            if spec.kind == "concurrency":
                self.slots.get(at, {}).pop(label, None)
            else:
                self.pour(at, -more if spec.kind == "tokens" else -request, now)

    def renew(self, label: str, now: int) -> None:
        for held in self.slots.values():
            held[label] = now + LEASE

    def check(self, reply: Sequence[float], tokens: int, now: int) -> bool:
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

    def check_state(self, reply: Sequence[float], now: int) -> None:
        """Compare what an answer says is left, after the call."""
        for at, spec in enumerate(self.specs):
            remaining, reset = reply[STATE + 2 * at : STATE + 2 * at + 2]
            if spec.kind == "concurrency":
                assert reset == 0
                continue
            level = self.level(at, now)
            assert abs(reset - (spec.capacity - level) * self.unit(at)) <= SLACK + 1
            exact, slack = level + Fraction(1, 100), Fraction(SLACK) / self.unit(at)
            assert max(0, (exact - slack).__floor__()) <= remaining <= max(0, (exact + slack).__floor__())


class TimedScript:
    """The gate's own script, to be run at any time; can stand for the gate's."""

    def __init__(self, server: EmbeddedRedis) -> None:
        source = files("gateway.limits").joinpath("lua/gate.lua").read_bytes()
        timed = source.replace(b"call('TIME')", b"{tonumber(ARGV[2]), tonumber(ARGV[3])}")
        assert timed.count(b"ARGV[3]") == 1
        self.now = START
        self.loop = asyncio.new_event_loop()
        self.client = connect(server.url, PATIENT)
        self.script = Script(self.client, "timed", timed)
        self.name = "timed"

    async def run(self, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        """As `Script.run`, at `now`."""
        return await self.script.run(keys, (*args, *divmod(self.now, 1_000_000)))

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it to its end."""
        return self.loop.run_until_complete(work)

    def ask(self, limits: LimitSet, now: int, *items: Sequence[Any]) -> list[Any]:
        """The answers to these items, all of the same limits, in one call."""
        self.now = now
        keys = frame_of(limits).keys
        places = list(range(1, len(keys) + 1))
        blob = msgspec.msgpack.encode(([limits.rows], [(places, 1)], [(1, item) for item in items]))
        told, *found = msgspec.msgpack.decode(self.wait(self.run(keys, (blob,))))
        assert (told, len(found)) == (now, len(items))
        return list(found)

    def close(self) -> None:
        self.wait(self.client.close())
        self.loop.close()


def reserving(label: str, tokens: int) -> tuple[Any, ...]:
    return RESERVE, label, LEASE, tokens, (0, 0, tokens, 0, 0), False


def settling(label: str, more: int, *, request: int = 0) -> tuple[Any, ...]:
    return SETTLE, label, 0, request, more, (0, 0, 0), (0, 0, 0), False


def renewing(label: str) -> tuple[Any, ...]:
    return RENEW, label, LEASE


PERIODS = st.sampled_from([0.5, 1.0, 60.0, 86400.0])
COUNTS = st.sampled_from([1, 2, 3, 7, 9, 60])
SCOPES = st.lists(st.sampled_from(["key", "team", "user", "global"]), min_size=1, max_size=4, unique=True)


@st.composite
def spec_lists(draw: Any) -> list[LimitSpec]:
    """One to four limits of any kind."""
    found = []
    for scope in draw(SCOPES):
        kind = draw(st.sampled_from(["requests", "tokens", "concurrency"]))
        if kind == "concurrency":
            found.append(slots(draw(st.integers(1, 3)), scope=scope))
        else:
            count, burst = draw(COUNTS), draw(st.one_of(st.just(0), COUNTS))
            found.append(rate(kind, count, draw(PERIODS), burst=burst, scope=scope))
    return found


@st.composite
def rates_and_throttles(draw: Any) -> list[LimitSpec | QuotaSpec]:
    """Limits whose waits follow from time alone: rates, and perhaps a quota that throttles once it is used up."""
    found: list[LimitSpec | QuotaSpec] = [one for one in draw(spec_lists()) if one.kind != "concurrency"]
    if not found or draw(st.booleans()):
        kind = draw(st.sampled_from(["requests", "tokens"]))
        slower = RateLimit(draw(COUNTS), draw(PERIODS), draw(st.one_of(st.none(), COUNTS)))
        found.append(quota(kind, draw(st.integers(0, 9)), action="throttle", throttle=slower))
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
