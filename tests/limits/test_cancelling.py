"""Calls that are cancelled at any of their awaits hold nothing afterwards."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from gateway.errors import QuotaUnavailable
from gateway.limits.demand import Used
from gateway.limits.gate import Gate, Reservation
from gateway.limits.limitset import LimitSet
from gateway.storage.batch import Item
from gateway.storage.redis import RedisClient
from tests.limits.conftest import (
    LedgerOf,
    MakeGate,
    about,
    ahead,
    counter,
    fresh,
    held,
    limit_set,
    need,
    quota,
    rate,
    records,
    slots,
    take,
)

AGE = 86400.0 * 1000


def mixed(room: int = 10**6) -> LimitSet:
    """One of each kind, in a set whose records are its own."""
    return limit_set(
        slots(room),
        rate("requests", room, AGE),
        rate("tokens", 100 * room, AGE),
        quota("tokens", 100 * room),
        quota("cost", 10**15),
        worker=fresh("w"),
    )


async def all_held(gate: Gate, redis: RedisClient, limits: LimitSet) -> list[Any]:
    """What stands in every row, and how many records there are."""
    return [
        await held(redis, limits, 0),
        round(await ahead(redis, limits, 1)),
        round(await ahead(redis, limits, 2)),
        await counter(gate, redis, limits, 3),
        await counter(gate, redis, limits, 4),
        len(await records(redis, limits)),
    ]


async def test_ten_thousand_calls_of_which_half_are_cancelled(gate: Gate, redis: RedisClient) -> None:
    """Calls cancelled at random moments give everything back: what is held is what the survivors hold, to the unit."""
    limits = mixed()
    demand = need(7, output=3, fixed=11, price=13)
    chance = random.Random(5)
    holding: list[Reservation] = []
    cancelled = 0

    async def call() -> None:
        holding.append(await take(gate, limits, demand=demand))

    for _ in range(20):
        tasks = [asyncio.ensure_future(call()) for _ in range(500)]
        victims = chance.sample(tasks, 250)
        while victims:
            for _ in range(min(len(victims), chance.randrange(60))):
                victims.pop().cancel()
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(one is None or isinstance(one, asyncio.CancelledError) for one in outcomes)
        cancelled += sum(one is not None for one in outcomes)
    await gate.close()
    left = len(holding)
    assert cancelled > 1000
    assert left + cancelled == 10_000
    assert len(gate.live) == left
    assert await all_held(gate, redis, limits) == [
        left, pytest.approx(left, abs=1), pytest.approx(7 * left, abs=20), (7 * left, 7 * left), (50 * left, 50 * left),
        left,
    ]  # fmt: skip
    for reservation in holding:
        gate.settle(reservation, Used(2, 5))
    await gate.close()
    assert await all_held(gate, redis, limits) == [
        0, pytest.approx(left, abs=1), pytest.approx(2 * left, abs=20), (2 * left, 0), (5 * left, 0), 0
    ]  # fmt: skip


@pytest.mark.parametrize("steps", range(14))
async def test_cancelled_at_every_await(make_gate: MakeGate, redis: RedisClient, steps: int) -> None:
    """From the first question for the store's life to the last set's answer: after any step everything is as before."""
    gate = make_gate()
    own, common = mixed(5), limit_set(slots(5, scope="global"), rate("tokens", 500, AGE, scope="global"))
    reservation = Reservation(fresh("c"))
    task = asyncio.ensure_future(gate.reserve(reservation, [own, common], need(7, output=3), about("a")))
    for _ in range(steps):
        await asyncio.sleep(0)
    if steps >= 10:
        # Far enough for an answer to be on its way; where exactly it is then does not matter.
        await asyncio.sleep(0.0005 * (steps - 9))
    task.cancel()
    done = not isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
    if done:
        gate.release(reservation)
        gate.live.clear()
    await gate.close()
    for counted in (await counter(gate, redis, own, 3), await counter(gate, redis, own, 4)):
        assert counted in (None, (0, 0))
    assert [await held(redis, limits, 0) for limits in (own, common)] == [0, 0]
    assert [round(await ahead(redis, own, 1)), round(await ahead(redis, own, 2))] == [0, 0]
    assert round(await ahead(redis, common, 1)) == 0
    assert await records(redis, own) == {}
    assert gate.live == {}


async def test_cancelled_with_the_answer_at_hand(gate: Gate, redis: RedisClient) -> None:
    """A call cancelled after its answer came, but before it ran again, holds nothing."""
    limits = mixed(5)
    gate.settle(await take(gate, limits, 1), Used(1))
    await gate.close()
    before = await all_held(gate, redis, limits)
    task = asyncio.ensure_future(take(gate, limits, 7))
    channel = gate.channel("0")
    delivered = channel._deliver

    def deliver(batch: list[Item], results: list[Any]) -> None:
        delivered(batch, results)
        task.cancel()

    channel._deliver = deliver  # type: ignore[method-assign]
    with pytest.raises(asyncio.CancelledError):
        await task
    channel._deliver = delivered  # type: ignore[method-assign]
    await gate.close()
    assert await all_held(gate, redis, limits) == before
    assert gate.live == {}


async def test_an_answer_that_nobody_waits_for_is_given_back(gate: Gate, redis: RedisClient) -> None:
    """A call cancelled while its question was on the way: what the store held for it is free again."""
    limits = mixed(5)
    gate.settle(await take(gate, limits, 1), Used(1))
    await gate.close()
    before = await all_held(gate, redis, limits)
    sent = asyncio.Event()
    channel = gate.channel("0")
    call = channel._call

    async def calling(batch: list[Item]) -> list[Any]:
        sent.set()
        return await call(batch)

    channel._call = calling  # type: ignore[method-assign]
    tasks = [asyncio.ensure_future(take(gate, limits, 7)) for _ in range(3)]
    await sent.wait()
    tasks[0].cancel()
    tasks[2].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, Reservation) for one in found] == [False, True, False]
    await gate.close()
    assert (await held(redis, limits, 0), await counter(gate, redis, limits, 3)) == (1, (8, 7))
    assert isinstance(found[1], Reservation)
    gate.release(found[1])
    await gate.close()
    assert await all_held(gate, redis, limits) == before


async def test_an_attempt_that_nobody_waits_for_is_given_back(gate: Gate, redis: RedisClient) -> None:
    """The same for a deployment's limits, which keep no record; who shares the batch gets its answer."""
    own, deployment = limit_set(), limit_set(slots(5, scope="provider"), rate("tokens", 500, AGE, scope="provider"))
    reservations = [Reservation(fresh("c")) for _ in range(3)]
    for reservation in reservations:
        await gate.reserve(reservation, [own], need(7), about("a"))
    sent = asyncio.Event()
    channel = gate.channel("0")
    call = channel._call

    async def calling(batch: list[Item]) -> list[Any]:
        sent.set()
        return await call(batch)

    channel._call = calling  # type: ignore[method-assign]
    tasks = [asyncio.ensure_future(gate.reserve(one, [deployment], need(7))) for one in reservations]
    await sent.wait()
    tasks[0].cancel()
    async with asyncio.timeout(10):
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, asyncio.CancelledError) for one in found] == [True, False, False]
    await gate.close()
    assert await held(redis, deployment, 0) == 2
    assert round(await ahead(redis, deployment, 1)) == 14


async def test_cancelled_while_the_ledger_is_asked(gate: Gate, redis: RedisClient, ledger: LedgerOf) -> None:
    """One of many who wait for a counter to be started leaves: the others get it, and nothing is held for who left."""
    limits = mixed(5)
    asked, answer = asyncio.Event(), asyncio.Event()
    used = ledger.used

    async def slow(windows: Any) -> list[int]:
        asked.set()
        await answer.wait()
        return await used(windows)

    ledger.used = slow  # type: ignore[method-assign]
    tasks = [asyncio.ensure_future(take(gate, limits, 7)) for _ in range(3)]
    await asked.wait()
    tasks[0].cancel()
    await asyncio.sleep(0)
    answer.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(one, Reservation) for one in found] == [False, True, True]
    await gate.close()
    assert await counter(gate, redis, limits, 3) == (14, 14)
    assert await held(redis, limits, 0) == 2


async def test_a_counter_that_cannot_be_started_holds_nothing(gate: Gate, redis: RedisClient, ledger: LedgerOf) -> None:
    """While the ledger is away a missing counter is no zero: the call is refused, and its rates are untouched."""
    limits = mixed(5)
    ledger.away = True
    with pytest.raises(QuotaUnavailable):
        await take(gate, limits, 7)
    await gate.close()
    assert await all_held(gate, redis, limits) == [0, 0, 0, None, None, 0]
    ledger.away = False
    ledger.spent = 490
    with pytest.raises(Exception, match="quota of 500 tokens"):
        await take(gate, limits, 11)
