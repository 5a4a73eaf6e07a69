"""A quota's counter that does not say what the ledger says is found, and started anew from there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.limits.comparison import Comparison
from gateway.limits.demand import Demand
from gateway.limits.limitset import LimitSet, Member, Names
from gateway.limits.outage import Question
from tests.limits.books import Bookkeeping, bookkeeping, store, upkept
from tests.limits.conftest import LedgerOf
from tests.limits.tills import CENT, ONE, TEAM, Till, quota, spend
from tests.support.waiting import eventually


def key_of(till: Till, limits: LimitSet) -> str:
    """The counter's key."""
    return limits.frame(None, till.gate.epochs.known("0") or "", till.gate.store_clock()).keys[3]


async def settled(till: Till, limits: LimitSet) -> int:
    """What the counter says was used, without what is reserved; 0 where there is none."""
    used, held = await till.redis.execute("HMGET", key_of(till, limits), "u", "r")
    return int(used or 0) - int(held or 0)


async def spend_until(till: Till, limits: LimitSet, cents: int) -> None:
    """Call until the counter says so."""

    async def says() -> bool:
        till.end(await till.begin(limits, Demand()), cost=0)
        return await settled(till, limits) == cents * CENT

    assert await eventually(says)


async def test_what_was_spent_while_a_quota_was_not_configured(found: Bookkeeping, till: Till) -> None:
    """A quota that was taken away and put back within its period counts what was spent in between: on the worker that
    saw it go, and on one that started since."""
    for one in (till, await found.till()):
        await spend(till, till.sets(quota("cost", 100 * CENT)), 2)
        before = await settled(till, till.sets(quota("cost", 100 * CENT)))
        await spend(till, till.sets(), 6)
        await spend_until(one, one.sets(quota("cost", 100 * CENT)), before // CENT + 6)


async def test_what_users_spent_while_they_had_no_quota(till: Till) -> None:
    """Counters of users, too, each by itself; what calls under way hold stays reserved."""

    def each() -> LimitSet:
        member = Member(quota("cost", 100 * CENT, scope="user", name="each"), f"each:team:{TEAM}", True, f"team:{TEAM}")
        return LimitSet.of([member], Names("0", till.name))

    running = await till.begin(each(), ONE, user="ada")
    for user in ("ada", "bob"):
        till.end(await till.begin(each(), ONE, user=user), cost=CENT)
        for _ in range(3):
            till.end(await till.begin(till.sets(), ONE, user=user), cost=CENT)
    await till.done()
    now = each()
    for user in ("ada", "bob"):

        async def counted(user: str = user) -> bool:
            till.end(await till.begin(now, Demand(), user=user), cost=0)
            epoch = till.gate.epochs.known("0") or ""
            key = now.frame(user, epoch, till.gate.store_clock()).keys[3]
            found = await till.redis.execute("HMGET", key, "u", "r")
            held = CENT if user == "ada" else 0
            return bool(found == [str(4 * CENT + held).encode(), str(held).encode()])

        assert await eventually(counted)
    till.end(running, cost=CENT)


async def test_a_counter_that_keeps_up_stays(till: Till) -> None:
    """What agrees with the ledger is left alone, with what is reserved: it is the same counter afterwards."""
    limits = till.sets(quota("cost", 100 * CENT))
    await spend(till, limits, 3)
    running = [await till.begin(limits, ONE) for _ in range(2)]
    await till.redis.execute("HSET", key_of(till, limits), "same", 1)
    again = till.sets(quota("cost", 100 * CENT))
    till.end(await till.begin(again, ONE), cost=CENT)
    assert await eventually(lambda: till.gate._seeder.compare.idle)
    assert await till.redis.execute("HGET", key_of(till, limits), "same") == b"1"
    for call in running:
        till.end(call, cost=CENT)
    await till.done()
    assert await till.counters(limits) == [(6 * CENT, 0)]


@pytest.mark.parametrize("used", [True, False])
async def test_what_a_call_held_without_the_store_is_given_back(tmp_path: Path, *, used: bool) -> None:
    """A call that began while the store was away may use much, which its quota counts once the store is back; when it
    has ended, or was never sent, the quota counts what it used."""
    with store() as server:
        async with bookkeeping(server.url, tmp_path) as made:
            (till,) = await made.pair(server.url)
            limits = till.sets(quota("cost", 100 * CENT))
            async with upkept(till):
                till.end(await till.begin(limits, ONE), cost=CENT)
                server.stop()
                running = await till.begin(limits, Demand(fixed_cost=50 * CENT), charged=(1, 0, 2 * CENT))
                assert running.degraded
                server.start()

                async def counts() -> int:
                    till.end(await till.begin(limits, Demand()), cost=0)
                    return await settled(till, limits) // CENT

                assert await eventually(counts) >= 51
                if used:
                    till.end(running, cost=CENT)
                else:
                    till.gate.release(running)

                async def is_right() -> bool:
                    return await counts() == (2 if used else 1)

                assert await eventually(is_right, seconds=60.0)


async def test_a_fault_is_told_and_the_next_counters_are_looked_at(
    till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes wrong with some counters is in the log, and is not the end of looking."""
    asked: list[int] = []

    class Odd(LedgerOf):
        async def used(self, windows: Sequence[Question]) -> list[int]:
            asked.append(len(windows))
            if len(asked) == 1:
                raise ValueError("odd")
            return await super().used(windows)

    epoch = till.gate.epochs.known("0") or ""
    compare = Comparison(till.redis, Odd(), lambda shard: epoch)
    for amount in (1, 2):
        limits = till.sets(quota("cost", amount * CENT))
        compare.admitted(limits, limits.frame(None, epoch, till.gate.store_clock()), None)
        assert await eventually(lambda: compare.idle)
    assert asked == [1, 1]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "counters of quotas could not be compared with the ledger"
    ]
    await compare.close()
