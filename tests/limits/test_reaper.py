"""What dead workers left open: freed, charged with what was known last, and booked once."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from gateway.errors import RateLimited
from gateway.limits.limitset import Names
from gateway.limits.reaper import SETTLING_SECONDS, Reaper
from gateway.limits.upkeep import AUDIT_SECONDS
from gateway.storage.errors import StoreUnavailable
from gateway.types import LimitSpec
from tests.limits.books import Bookkeeping, Clerk, clerks
from tests.limits.tills import CENT, KEY, ONE, Till, quota
from tests.support.waiting import eventually, pause

BUDGET = quota("cost", 10 * CENT)
SLOTS = LimitSpec("key", KEY, "concurrency", 6, 0.0, 6)
ELSEWHERE = "9f0c1a52-0000-4000-8000-000000000000-4026531836:{}:1:0a0b0c0d"
"""A worker of another host."""


async def at_work(clerk: Clerk, count: int = 5) -> list[str]:
    """So many calls that it has under way, each charged with a quarter of a cent if it dies."""
    order = {"do": "reserve", "count": count, "demand": {"fixed_cost": CENT}, "charged": [1, 30, CENT // 4]}
    assert await clerk.ask(order) == {"admitted": count}
    calls: list[str] = await clerk.ask({"do": "calls"})
    return calls


async def slots_held(till: Till) -> int:
    return int(await till.redis.execute("ZCARD", till.sets(SLOTS).frame(None, "", 0.0).keys[3]))


async def overdue(found: Bookkeeping, worker: str) -> None:
    """Its heartbeat ran out."""
    await found.redis.execute("ZADD", Names("0", "").workers, 1, worker)


def settled_reaper(found: Bookkeeping) -> tuple[Reaper, list[float]]:
    """One for which the store has answered long enough, and its clock."""
    now = [0.0]
    return Reaper(found.redis, ["0"], lambda: now[0]), now


async def test_killed(found: Bookkeeping, till: Till) -> None:
    """kill -9: slots and reservations are free at once, each open call has one `abandoned` row, and is charged with
    its last checkpoint."""
    async with clerks(found, 1, SLOTS, BUDGET) as (clerk,):
        calls = await at_work(clerk)
        assert await clerk.ask({"do": "note", "charged": [1, 80, CENT // 2]}) == 5
        assert await till.counters(till.sets(BUDGET)) == [(5 * CENT, 5 * CENT)]
        assert await found.reaper.run_once() == 0
        clerk.process.kill()
        await clerk.process.wait()
        assert await found.reaper.run_once() == 5
        assert await found.reaper.run_once() == 0
    assert await slots_held(till) == 0
    assert await till.counters(till.sets(BUDGET)) == [(5 * CENT // 2, 0)]
    rows = await found.rows()
    assert sorted(rows) == sorted((call, 1) for call in calls)
    assert {(row.state, row.input_tokens, row.cost_nano_usd) for row in rows.values()} == {("abandoned", 80, CENT // 2)}
    names = Names("0", clerk.name)
    assert not await found.redis.execute("EXISTS", names.open)
    assert await found.redis.execute("ZSCORE", names.workers, clerk.name) is None


async def test_killed_before_anybody_asks(found: Bookkeeping, till: Till) -> None:
    """A counter that is started after a worker was killed has what that worker is charged with, reaped or not."""
    async with clerks(found, 1, BUDGET) as (clerk,):
        await at_work(clerk)
        clerk.process.kill()
        await clerk.process.wait()
        counter = till.sets(BUDGET).frame(None, till.gate.epochs.known("0") or "", 0.0).keys[3]
        assert await found.redis.execute("DEL", counter) == 1
        call = await till.begin(till.sets(BUDGET), ONE)
        assert await till.counters(till.sets(BUDGET)) == [(5 * CENT // 4 + CENT, CENT)]
        till.gate.release(call)
        assert await found.reaper.run_once() == 0
        assert await till.counters(till.sets(BUDGET)) == [(5 * CENT // 4, 0)]


async def test_two_reapers(found: Bookkeeping, till: Till) -> None:
    """Reapers that run at once book each call once."""
    async with clerks(found, 2, BUDGET) as workers:
        for clerk in workers:
            await at_work(clerk)
        for clerk in workers:
            clerk.process.kill()
            await clerk.process.wait()
        reapers = [Reaper(found.redis, ["0"], time.time) for _ in range(6)]
        assert sum(await asyncio.gather(*(reaper.run_once() for reaper in reapers))) == 10
    assert len(await found.rows()) == 10
    assert await till.counters(till.sets(BUDGET)) == [(10 * CENT // 4, 0)]


@pytest.mark.parametrize("checkpoint", [False, True])
async def test_stopped_and_thought_dead(found: Bookkeeping, till: Till, checkpoint: bool) -> None:
    """A worker that stood still beyond its heartbeat is reaped; what it settles when it goes on takes the place of the
    `abandoned` rows, and is not charged a second time."""
    reaper, now = settled_reaper(found)
    async with clerks(found, 1, SLOTS, BUDGET) as (clerk,):
        calls = await at_work(clerk)
        pause(clerk.process.pid)
        await reaper.run_once()
        now[0] = SETTLING_SECONDS
        assert await reaper.run_once() == 0
        await overdue(found, clerk.name)
        assert await reaper.run_once() == 5
        assert await slots_held(till) == 0
        charged = (5 * CENT // 4, 0)
        assert await till.counters(till.sets(BUDGET)) == [charged]
        assert {row.state for row in (await found.rows()).values()} == {"abandoned"}
        os.kill(clerk.process.pid, signal.SIGCONT)
        if checkpoint:
            assert await clerk.ask({"do": "note", "charged": [1, 80, CENT // 2]}) == 5
            assert await till.counters(till.sets(BUDGET)) == [charged]
        assert await clerk.ask({"do": "settle", "tokens": 90, "cost": CENT}) == 5
        assert await till.counters(till.sets(BUDGET)) == [charged]
        rows = await found.rows()
        assert sorted(rows) == sorted((call, 1) for call in calls)
        assert {(row.state, row.input_tokens, row.cost_nano_usd) for row in rows.values()} == {("settled", 90, CENT)}
        assert await slots_held(till) == 0
        # It is alive again, and its next calls count as any other's.
        assert await clerk.ask({"do": "reserve", "count": 2, "demand": {"fixed_cost": CENT}}) == {"admitted": 2}
        assert await clerk.ask({"do": "settle", "cost": CENT}) == 2
        assert await till.counters(till.sets(BUDGET)) == [(charged[0] + 2 * CENT, 0)]


async def test_attempts_are_not_charged_twice(found: Bookkeeping, till: Till) -> None:
    """What a call holds beyond its first set is reaped with it, and its settlement afterwards changes nothing."""
    reaper, now = settled_reaper(found)
    other = await found.till(name=ELSEWHERE.format(7))
    own, provider = other.sets(BUDGET), other.sets(quota("cost", 10 * CENT, scope="provider", name="openai"))
    call = await other.begin([own, provider], ONE, charged=(1, 5, CENT // 4))
    assert await other.counters(provider) == [(CENT, CENT)]
    await reaper.run_once()
    now[0] = SETTLING_SECONDS
    await overdue(found, other.name)
    assert await reaper.run_once() == 2
    other.end(call, 9, CENT)
    assert await other.counters(own) == await other.counters(provider) == [(CENT // 4, 0)]
    rows = await found.rows()
    assert [(row.state, row.cost_nano_usd) for row in rows.values()] == [("settled", CENT)]


async def test_other_hosts(found: Bookkeeping, till: Till) -> None:
    """A worker of another host is believed to live until its heartbeat ran out, and not reaped by a reaper for which
    the store has only just come back."""
    reaper, now = settled_reaper(found)
    other = await found.till(name=ELSEWHERE.format(11))
    call = await other.begin(other.sets(BUDGET), ONE)
    for at in (0.0, 10.0, SETTLING_SECONDS, 1000.0):
        now[0] = at
        assert await reaper.run_once() == 0
    await overdue(found, other.name)
    assert await Reaper(found.redis, ["0"], lambda: now[0]).run_once() == 0
    assert await found.reaper.run_once() == 0
    broken, reaper._redis = reaper._redis, _Away()  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable):
        await reaper.run_once()
    reaper._redis = broken
    assert await reaper.run_once() == 0
    now[0] += SETTLING_SECONDS - 1
    assert await reaper.run_once() == 0
    now[0] += 1
    assert await reaper.run_once() == 1
    other.end(call, cost=CENT)
    assert await till.counters(till.sets(BUDGET)) == [(0, 0)]


class _Away:
    async def execute(self, *command: object) -> None:
        raise StoreUnavailable("down", str(command[0]))


async def test_strangers_are_freed(found: Bookkeeping) -> None:
    """What the store holds for calls that their living worker does not know is freed after two looks, and not booked;
    calls that it knows stay."""
    ahead = [0.0]
    till = await found.till(clock=lambda: time.monotonic() + ahead[0])
    limits = till.sets(SLOTS, BUDGET)
    known = await till.begin(limits, ONE)
    for _ in range(3):
        lost = await till.begin(limits, ONE)
        del till.gate.live[lost.call_id]
    assert await till.counters(limits) == [(4 * CENT, 4 * CENT)]
    for _ in range(2):
        assert await till.counters(limits) == [(4 * CENT, 4 * CENT)]
        ahead[0] += AUDIT_SECONDS
        await till.metering.upkeep.tick()
    assert await till.counters(limits) == [(CENT, CENT)]
    assert await slots_held(till) == 1
    till.end(known, cost=CENT // 2)
    assert await till.counters(limits) == [(CENT // 2, 0)]
    assert [row.call_id for row in (await found.rows()).values()] == [known.call_id]


async def test_checkpoints_of_streams(found: Bookkeeping) -> None:
    """The upkeep puts down every two seconds how far a stream has come: that is what its abandoned row says."""
    ahead = [0.0]
    till = await found.till(clock=lambda: time.monotonic() + ahead[0], name=ELSEWHERE.format(12))
    call = await till.begin(till.sets(BUDGET), ONE)
    relayed = 0

    def checkpoint() -> tuple[bytes, tuple[int, int, int]]:
        event = till.event(call.call_id, "abandoned", input_tokens=relayed, cost_nano_usd=relayed)  # type: ignore[arg-type]
        return event, (1, relayed, relayed)

    call.checkpoint = checkpoint
    for relayed in (100, 250):  # noqa: B007 - the checkpoint reads it
        ahead[0] += 2.0
        await till.metering.upkeep.tick()
        await till.done()
    reaper, now = settled_reaper(found)
    await reaper.run_once()
    now[0] = SETTLING_SECONDS
    await overdue(found, till.name)
    assert await reaper.run_once() == 1
    assert await till.counters(till.sets(BUDGET)) == [(250, 0)]
    ((row),) = (await found.rows()).values()
    assert (row.state, row.input_tokens, row.cost_nano_usd) == ("abandoned", 250, 250)


async def test_bookkeeper_does_it(found: Bookkeeping, till: Till) -> None:
    """A killed worker's slots are free as soon as the bookkeeper has looked."""
    async with clerks(found, 1, SLOTS) as (clerk,):
        await at_work(clerk, 6)
        with pytest.raises(RateLimited):
            await till.begin(till.sets(SLOTS))
        clerk.process.kill()
        await clerk.process.wait()

        async def reaped() -> bool:
            await found.books._caught_up()
            return await slots_held(till) == 0

        await eventually(reaped)
    assert len(await found.rows()) == 6
