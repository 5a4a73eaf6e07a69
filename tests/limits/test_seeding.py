"""A quota's counter that is missing is started from the ledger and from what calls under way hold; it is never 0."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.errors import InsufficientQuota, QuotaUnavailable, RateLimited
from gateway.limits.clock import StoreClock
from gateway.limits.gate import Reservation
from gateway.limits.limitset import LimitSet
from gateway.limits.outage import Question
from gateway.limits.seeding import Seeder
from tests.limits.books import Bookkeeping
from tests.limits.tills import CENT, KEY, ONE, TEAM, Till, quota, spend
from tests.support.waiting import eventually


async def how_many(till: Till, limits: LimitSet, count: int = 20) -> int:
    """How many of so many calls at once are admitted."""
    calls = (till.begin(limits, ONE) for _ in range(count))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, Reservation | RateLimited | InsufficientQuota) for one in results), results
    return sum(isinstance(one, Reservation) for one in results)


def key_of(till: Till, limits: LimitSet, at: int = 0) -> str:
    """The counter's key."""
    epoch = till.gate.epochs.known("0") or ""
    return limits.frame(None, epoch, till.gate.store_clock()).keys[3 + limits.quotas[at]]


async def forget(till: Till, limits: LimitSet) -> None:
    """The store loses this counter."""
    assert await till.redis.execute("DEL", key_of(till, limits)) == 1


async def test_lost_while_idle(till: Till) -> None:
    """A counter that is gone comes back with what the ledger says, to the last call, even if nothing was booked yet."""
    limits = till.sets(quota("cost", 10 * CENT))
    for used in (3, 4):
        await spend(till, limits, used)
        await forget(till, limits)
    assert await how_many(till, limits) == 3
    assert await till.counters(limits) == [(10 * CENT, 3 * CENT)]


async def test_lost_while_calls_run(found: Bookkeeping, till: Till) -> None:
    """What calls under way reserved counts, whichever worker serves them, and they settle as if nothing had been."""
    other = await found.till()
    limits = till.sets(quota("cost", 10 * CENT))
    await spend(till, limits, 2)
    mine = [await till.begin(limits, ONE) for _ in range(2)]
    theirs = [await other.begin(other.sets(quota("cost", 10 * CENT)), ONE) for _ in range(3)]
    await forget(till, limits)
    assert await how_many(till, limits) == 3
    assert await till.counters(limits) == [(10 * CENT, 8 * CENT)]
    for call in mine:
        till.end(call, cost=CENT // 2)
    for call in theirs:
        other.end(call, cost=0)
    await other.done()
    assert await till.counters(limits) == [(6 * CENT, 3 * CENT)]


async def test_a_quota_that_is_new(till: Till) -> None:
    """A quota that is configured in the middle of a period counts what was used before it was there."""
    await spend(till, till.sets(), 6)
    for period in ("hour", "day", "week", "month", "year", "total"):
        limits = till.sets(quota("cost", 8 * CENT, period=period), quota("requests", 7, period=period))
        call = await till.begin(limits, ONE)
        if period != "hour":  # the hour may just have ended
            assert await till.counters(limits) == [(7 * CENT, CENT), (7, 1)]
            with pytest.raises(RateLimited):
                await till.begin(limits, ONE)
        till.gate.release(call)
    await till.done()


async def test_a_new_period_begins_at_nothing(found: Bookkeeping) -> None:
    """When a period ends the next call has the whole amount; a call of the old period settles in the old one."""
    till = await found.till()
    now = base = time.time() // 60 * 60
    clock = StoreClock(lambda: now)
    clock._offset = 0.0
    clock.heard = lambda now_us, at: None  # type: ignore[method-assign]
    till.gate.store_clock = clock
    limits = till.sets(quota("cost", 10 * CENT, period="minute"))
    old = [await till.begin(limits, ONE) for _ in range(10)]
    old_key = limits.frame(None, till.gate.epochs.known("0") or "", now).keys[3]
    with pytest.raises(RateLimited):
        await till.begin(limits, ONE)
    now = base + 60.0
    assert await how_many(till, limits) == 10
    for call in old:
        till.end(call, cost=CENT // 2)
    await till.done()
    assert await till.counters(limits) == [(10 * CENT, 10 * CENT)]
    assert await till.redis.execute("HMGET", old_key, "u", "r") == [str(5 * CENT).encode(), b"0"]


class SlowLedger:
    """Lets things happen between a question to the ledger and the answer's use."""

    def __init__(self, ledger: Any, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self._ledger = ledger
        self._meanwhile = meanwhile
        self.questions = 0

    async def used(self, windows: list[Question]) -> list[int]:
        self.questions += 1
        answer: list[int] = await self._ledger.used(windows)
        if self.questions < 4:
            await self._meanwhile()
        return answer


async def test_settled_while_the_ledger_answers(till: Till) -> None:
    """A call that is settled after the ledger was asked and before its answer arrives is counted, and counted once."""
    limits = till.sets(quota("cost", 10 * CENT))
    running = [await till.begin(limits, ONE) for _ in range(5)]

    async def settle_one() -> None:
        till.end(running.pop(), cost=CENT)
        await till.done()

    slow = SlowLedger(till.metering.ledger, settle_one)
    till.gate._seeder = Seeder(till.redis, slow)  # type: ignore[arg-type]
    await forget(till, limits)
    assert await how_many(till, limits) == 5
    assert slow.questions == 4
    assert await till.counters(limits) == [(10 * CENT, 7 * CENT)]


async def test_two_workers_start_one_counter(found: Bookkeeping, till: Till) -> None:
    """Workers that miss the same counter at once agree on it, and admit what is left together."""
    others = [till, *[await found.till() for _ in range(3)]]
    spec = quota("cost", 10 * CENT)
    await spend(till, till.sets(spec), 4)
    await forget(till, till.sets(spec))
    admitted = await asyncio.gather(*(how_many(one, one.sets(spec)) for one in others))
    assert sum(admitted) == 6


async def test_many_quotas_at_once(found: Bookkeeping, till: Till) -> None:
    """Every missing counter of a decision is started, the others are left alone."""
    specs = [quota("cost", 10 * CENT), quota("requests", 9), quota("requests", 8, scope="team", name=TEAM)]
    limits = till.sets(*specs)
    await spend(till, limits, 5)
    await till.redis.execute("DEL", key_of(till, limits, 0), key_of(till, limits, 2))
    assert await how_many(till, limits) == 3
    assert await till.counters(limits) == [(8 * CENT, 3 * CENT), (8, 3), (8, 3)]


async def test_no_ledger_no_admission(found: Bookkeeping, till: Till) -> None:
    """Without the ledger's word a missing counter stays missing: 503, and nothing is admitted on a guess."""
    limits = till.sets(quota("cost", 10 * CENT))
    await spend(till, limits, 1)
    await forget(till, limits)
    await found.books._server.close()
    till.metering.ledger._timeout = 0.3
    with pytest.raises(QuotaUnavailable):
        await till.begin(limits, ONE)
    assert await till.counters(limits) == [None]


async def test_names_with_colons(found: Bookkeeping, till: Till) -> None:
    """Keys, teams and models of any name find their own use in the ledger."""
    for name in ("a:b", "team:x", "ft:gpt-4o:org::id", "a b/c#1"):
        limits = till.sets(quota("requests", 3, name=name))
        till.end(await till.begin(limits, ONE, key=name), key=name)
        await till.done()
        await forget(till, limits)
        assert [await how_many(till, limits)] == [2], name
    assert await eventually(found.rows)
    assert KEY not in {row.key for row in (await found.rows()).values()}
