"""A store that is flushed, killed or replaced: its counters are not believed, and nothing is spent twice or lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.errors import InsufficientQuota, QuotaUnavailable, RateLimited
from gateway.limits import epoch as epochs
from gateway.limits.demand import Demand
from gateway.limits.gate import Reservation
from gateway.limits.limitset import LimitSet, Names
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.errors import StoreUnavailable
from gateway.types import LimitSpec
from tests.limits.books import Bookkeeping, bookkeeping, clerks, restart, store, upkept
from tests.limits.tills import KEY, Till, quota
from tests.support.waiting import eventually

CENT = 10_000_000
ONE = Demand(fixed_cost=CENT)
BUDGET = quota("cost", 10 * CENT)


@dataclass
class Place:
    """A store that can be broken, and the desk on it."""

    server: EmbeddedRedis
    api: Bookkeeping


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with store() as server:
        async with bookkeeping(server.url, tmp_path) as made:
            yield Place(server, made)


async def spend(till: Till, limits: LimitSet, count: int) -> None:
    for _ in range(count):
        till.end(await till.begin(limits, ONE), cost=CENT)
    await till.done()


async def how_many(till: Till, count: int = 20) -> int:
    """How many of so many calls at once are admitted to the budget."""
    calls = (till.begin(till.sets(BUDGET), ONE) for _ in range(count))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, Reservation | RateLimited | InsufficientQuota) for one in results), results
    return sum(isinstance(one, Reservation) for one in results)


async def flush(place: Place, tills: list[Till]) -> None:
    await place.api.redis.execute("FLUSHALL")
    del tills


async def kill(place: Place, tills: list[Till]) -> None:
    """kill -9, and back with what the append-only file holds."""
    await asyncio.to_thread(restart, place.server)
    for till in tills:
        await eventually(lambda till=till: _answers(till))  # type: ignore[misc]


async def _answers(till: Till) -> bool:
    try:
        await till.redis.ping()
    except StoreUnavailable:
        return False
    return till.redis.available


@pytest.mark.parametrize("trouble", [flush, kill])
async def test_remaining_five_of_ten(place: Place, trouble: Callable[..., object]) -> None:
    """The store is flushed, or killed, when five of ten are spent: the other five are admitted, no more."""
    tills = [await place.api.till() for _ in range(3)]
    await spend(tills[0], tills[0].sets(BUDGET), 3)
    await spend(tills[1], tills[1].sets(BUDGET), 2)
    async with upkept(*tills):
        await trouble(place, tills)  # type: ignore[misc]
        assert sum(await asyncio.gather(*(how_many(till) for till in tills))) == 5
        assert await tills[0].counters(tills[0].sets(BUDGET)) == [(10 * CENT, 5 * CENT)]


@pytest.mark.parametrize("trouble", [flush, kill])
async def test_calls_under_way(place: Place, trouble: Callable[..., object]) -> None:
    """What calls under way hold survives the store: other workers cannot spend it, and their settlement is exact."""
    tills = [await place.api.till() for _ in range(3)]
    running = [(till, await till.begin(till.sets(BUDGET), ONE)) for till in tills for _ in range(2)]
    async with upkept(*tills):
        await trouble(place, tills)  # type: ignore[misc]
        assert sum(await asyncio.gather(*(how_many(till) for till in tills))) == 4
        for till, call in running:
            till.end(call, cost=CENT // 2)
        for till in tills:
            await till.done()
        assert await tills[0].counters(tills[0].sets(BUDGET)) == [(7 * CENT, 4 * CENT)]
        rows = await place.api.rows()
        assert sum(row.cost_nano_usd or 0 for row in rows.values()) == 3 * CENT
        assert {row.state for row in rows.values()} == {"settled"}
        assert sum(await asyncio.gather(*(how_many(till) for till in tills))) == 3


async def test_settled_before_anybody_noticed(place: Place) -> None:
    """A call that is settled into a store that was just flushed is counted once."""
    tills = [await place.api.till() for _ in range(2)]
    running = [await tills[0].begin(tills[0].sets(BUDGET), ONE) for _ in range(6)]
    await place.api.redis.execute("FLUSHALL")
    for call in running[:3]:
        tills[0].end(call, cost=CENT)
    await tills[0].done()
    async with upkept(*tills):
        assert await how_many(tills[1]) == 4
        for call in running[3:]:
            tills[0].end(call, cost=0)
        assert await tills[0].counters(tills[0].sets(BUDGET)) == [(7 * CENT, 4 * CENT)]


async def test_events_nobody_had_read(place: Place) -> None:
    """Rows of calls that ended just before the store was flushed reach the ledger, once, though it lost them."""
    till = await place.api.till()
    limits = till.sets(BUDGET)
    begun = [await till.begin(limits, ONE) for _ in range(5)]
    for call in begun:
        till.end(call, cost=CENT)
    await till.done()
    # In one step: nobody can read the events in between.
    await place.api.redis.execute("FLUSHALL")
    async with upkept(till):
        assert await how_many(till) == 5
    rows = await place.api.rows()
    assert {key for key, row in rows.items() if row.state == "settled"} == {(call.call_id, 1) for call in begun}


async def test_noticed_too_late(place: Place) -> None:
    """What calls of a worker hold that noticed a flush only after others went on is added when it does, and settles
    exactly."""
    late, prompt = await place.api.till(), await place.api.till()
    running = [await late.begin(late.sets(BUDGET), ONE) for _ in range(3)]
    await place.api.redis.execute("FLUSHALL")
    await prompt.begin(prompt.sets(BUDGET), ONE)
    assert await prompt.counters(prompt.sets(BUDGET)) == [(CENT, CENT)]
    await late.metering.upkeep.tick()
    assert await late.counters(late.sets(BUDGET)) == [(4 * CENT, 4 * CENT)]
    await late.metering.upkeep.tick()
    for call in running:
        late.end(call, cost=CENT // 2)
    assert await late.counters(late.sets(BUDGET)) == [(CENT + 3 * CENT // 2, CENT)]


async def test_slots_come_back(place: Place) -> None:
    """Slots of calls under way are held again after a flush: concurrency stays what it is."""
    tills = [await place.api.till() for _ in range(2)]
    limit = LimitSpec("key", KEY, "concurrency", 4, 0.0, 4)
    running = [await till.begin(till.sets(limit, BUDGET)) for till in tills for _ in range(2)]
    await place.api.redis.execute("FLUSHALL")
    async with upkept(*tills):
        slots = tills[0].sets(limit, BUDGET).frame(None, "", 0.0).keys[3]

        async def held() -> bool:
            return int(await place.api.redis.execute("ZCARD", slots)) == 4

        await eventually(held)
        with pytest.raises(RateLimited):
            await tills[0].begin(tills[0].sets(limit, BUDGET))
        tills[1].end(running[-1])
        await tills[1].done()
        await tills[0].begin(tills[0].sets(limit, BUDGET))


async def test_records_come_back(place: Place) -> None:
    """After a flush the record of every call under way is there again, under the counters' new names, and the worker
    is known to live."""
    till = await place.api.till()
    call = await till.begin([till.sets(BUDGET), till.sets(quota("requests", 5, name="second"))], ONE)
    names = Names("0", till.name)
    before = await till.redis.execute("HGETALL", names.open)
    await place.api.redis.execute("FLUSHALL")
    async with upkept(till):

        async def there() -> bool:
            found = await till.redis.execute("HGETALL", names.open)
            return (
                len(found) == len(before) and await till.redis.execute("ZSCORE", names.workers, till.name) is not None
            )

        await eventually(there)
    after = await till.redis.execute("HGETALL", names.open)
    assert [bytes(part) for part in list(after)[::2]] == [call.call_id.encode(), f"{call.call_id}#1".encode()]
    epoch = (till.gate.epochs.known("0") or "").encode()
    assert all(epoch in bytes(record) for record in list(after)[1::2])


async def test_counters_of_another_life_are_not_believed(place: Place) -> None:
    """A counter that the restarted store brings back is not used, whatever it says: the ledger is."""
    till = await place.api.till()
    limits = till.sets(BUDGET)
    await spend(till, limits, 5)
    frame = limits.frame(None, till.gate.epochs.known("0") or "", till.gate.store_clock())
    await till.redis.execute("HSET", frame.keys[3], "u", CENT)  # as if the last writes had been lost
    await kill(place, [till])
    async with upkept(till):
        assert await how_many(till) == 5
    assert await till.redis.execute("HGET", frame.keys[3], "u") == str(CENT).encode()


async def test_grace(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a new life no counter is started before every worker had time to put there what its calls hold; a worker
    that knows no other life need not wait."""
    first, second = await place.api.till(), await place.api.till()
    await spend(first, first.sets(BUDGET), 1)
    began = time.monotonic()
    await spend(second, second.sets(quota("requests", 5, name="fresh")), 1)
    assert first.gate.epochs._complete == second.gate.epochs._complete == {}
    await place.api.redis.execute("FLUSHALL")
    began = time.monotonic()
    await spend(first, first.sets(BUDGET), 1)
    assert time.monotonic() - began >= epochs.GRACE_SECONDS - 0.1
    third = await place.api.till()
    assert third.gate.epochs.known("0") == first.gate.epochs.known("0")
    assert third.gate.epochs._complete["0"] <= time.monotonic()


async def test_ledger_away_meanwhile(place: Place) -> None:
    """A flushed store and no bookkeeper: quotas say 503 until the ledger answers, and then exactly what is left."""
    till = await place.api.till()
    await spend(till, till.sets(BUDGET), 5)
    await place.api.redis.execute("FLUSHALL")
    await place.api.books._server.close()
    till.metering.ledger._timeout = 0.3
    async with upkept(till):
        with pytest.raises(QuotaUnavailable):
            await till.begin(till.sets(BUDGET), ONE)
        await place.api.books._server.start()
        assert await how_many(till) == 5


@pytest.mark.slow
async def test_flushed_under_load(place: Place) -> None:
    """Four processes spend a budget while the store is flushed again and again: what the ledger has in the end is the
    budget, never more, and what was admitted is what the ledger has."""
    spec = quota("cost", 60 * CENT)
    async with clerks(place.api, 4, spec) as workers:
        admitted = 0
        for round_ in range(6):
            for worker in workers:
                worker.tell({"do": "reserve", "count": 4, "demand": {"fixed_cost": CENT}})
            admitted += sum([(await worker.answer()).get("admitted", 0) for worker in workers])
            if round_ % 2 == 0:
                await place.api.redis.execute("FLUSHALL")
            for worker in workers:
                await worker.ask({"do": "settle", "cost": CENT})
        assert admitted == 60
        words = [await worker.ask({"do": "reserve", "count": 5, "demand": {"fixed_cost": CENT}}) for worker in workers]
        assert words == [{"InsufficientQuota": 5}] * 4
    rows = await place.api.rows()
    assert len(rows) == 60
    assert sum(row.cost_nano_usd or 0 for row in rows.values()) == 60 * CENT
