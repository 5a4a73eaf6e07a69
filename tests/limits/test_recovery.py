"""When the store is back: what it missed is said again, once, and what it may have done unheard is not done twice."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import time

import pytest

from gateway.errors import GatewayError
from gateway.limits.demand import Used
from gateway.limits.gate import Gate, Reservation
from gateway.limits.limitset import LimitSet
from gateway.storage.embedded import EmbeddedRedis
from tests.limits.conftest import (
    JournalOf,
    LedgerOf,
    Outside,
    about,
    ahead,
    counter,
    event,
    events,
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
from tests.limits.test_degraded import TROUBLES, killed, paused
from tests.support.waiting import eventually, pause

AGE = 86400.0 * 1000
WORKERS = 2


def mixed() -> LimitSet:
    return limit_set(
        rate("tokens", 10_000, AGE), rate("requests", 100, AGE), slots(50), quota("tokens", 10_000), worker=fresh("w")
    )


async def rows(outside: Outside, gate: Gate, limits: LimitSet) -> list[object]:
    """What stands in the store, in whole units."""
    redis = outside.observer
    return [
        round(await ahead(redis, limits, 0)),
        round(await ahead(redis, limits, 1)),
        await held(redis, limits, 2),
        await counter(gate, redis, limits, 3),
        len(await records(redis, limits)),
    ]


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_settlements_are_repeated_exactly_once(own_server: EmbeddedRedis, outside: Outside, trouble: str) -> None:
    """Calls that end while the store is away are settled when it is back: nothing is refunded twice, nothing leaks."""
    gate = outside.gate(WORKERS)
    limits = mixed()
    running = [await take(gate, limits, 100) for _ in range(10)]
    epoch = gate.epochs.known("0")
    assert await rows(outside, gate, limits) == [1000, 10, 10, (1000, 1000), 10]
    await outside.observer.execute("WAITAOF", 1, 0, 5000)
    with TROUBLES[trouble](own_server):
        for at, reservation in enumerate(running):
            gate.settle(reservation, Used(10 * at))
        await gate.close()
    await outside.back()
    await outside.back()
    assert (await rows(outside, gate, limits))[:3] == [450, 10, 0]
    assert await records(outside.observer, limits) == {}
    if gate.epochs.known("0") == epoch:
        assert await counter(gate, outside.observer, limits, 3) == (450, 0)


async def test_a_settlement_that_was_heard_late_counts_once(
    own_server: EmbeddedRedis, outside: Outside, journal: JournalOf
) -> None:
    """A paused server carries out what it was sent once it runs again: said a second time, that changes nothing."""
    gate = outside.gate(WORKERS)
    limits = mixed()
    for _ in range(5):
        reservation = await take(gate, limits, 100)
        assert not reservation.degraded
        with paused(own_server):
            gate.settle(reservation, Used(30), event(reservation.call_id))
            await gate.close()
            assert len(gate.unsent) == 1
        await outside.back()
        assert event(reservation.call_id) in journal.events
    assert await rows(outside, gate, limits) == [150, 5, 0, (150, 0), 0]
    told = await events(outside.observer, limits)
    assert all(told.count(one) <= 1 for one in journal.events), "the ledger takes each row once, from either way"


async def test_an_attempt_that_was_heard_late_is_not_refunded_twice(
    own_server: EmbeddedRedis, outside: Outside
) -> None:
    """A deployment's limits have no record that tells: what may have been given back already stays taken."""
    gate = outside.gate(WORKERS)
    own, deployment = mixed(), limit_set(rate("tokens", 10_000, AGE, scope="provider"), slots(9, scope="provider"))
    for used in (0, 30, 150):
        reservation = Reservation(fresh("c"))
        await gate.reserve(reservation, [own], need(100), about("a"))
        await gate.reserve(reservation, [deployment], need(100))
        assert not reservation.degraded
        before = await ahead(outside.observer, deployment, 0)
        with paused(own_server):
            gate.settle(reservation, Used(used))
            await gate.close()
        await outside.back()
        change = await ahead(outside.observer, deployment, 0) - before
        assert used - 100 - 1 <= change
        assert await held(outside.observer, deployment, 1) == 0
    assert await held(outside.observer, own, 2) == 0


async def test_a_late_settlement_frees_only_its_own_attempt(own_server: EmbeddedRedis, outside: Outside) -> None:
    """The second attempt at a deployment keeps its slot when the end of the first is said again."""
    gate = outside.gate(WORKERS)
    own, deployment = mixed(), limit_set(slots(9, scope="provider"))
    reservation = Reservation(fresh("c"))
    await gate.reserve(reservation, [own], need(100), about("a"))
    await gate.reserve(reservation, [deployment], need(100))
    with paused(own_server):
        gate.settle_attempt(reservation, 1, Used())
        await gate.close()
        assert gate.unsent
    await gate.epochs.ask("0")
    await gate.reserve(reservation, [deployment], need(100))
    assert not reservation.degraded
    await outside.back()
    assert await held(outside.observer, deployment, 0) == 1
    gate.settle(reservation, Used())
    await outside.back()
    assert await held(outside.observer, deployment, 0) == 0


async def test_calls_of_unknown_fate_hold_nothing(own_server: EmbeddedRedis, outside: Outside) -> None:
    """A paused server may admit calls that nobody waits for any more: once it is back only what the cap admitted in
    their place is left."""
    gate = outside.gate(WORKERS)
    limits = mixed()
    gate.settle(await take(gate, limits, 1), Used(1))
    await outside.back()
    assert (await rows(outside, gate, limits))[:3] == [1, 1, 0]
    with paused(own_server):
        found = await asyncio.gather(*(take(gate, limits, 100) for _ in range(5)))
        assert all(reservation.degraded for reservation in found)
    await outside.back()
    assert (await rows(outside, gate, limits))[:3] == [501, 6, 0]
    assert await records(outside.observer, limits) == {}
    for reservation in found:
        gate.settle(reservation, Used(7))
    await outside.back()
    assert (await rows(outside, gate, limits))[:3] == [36, 6, 0]


async def test_quotas_begin_anew_after_an_outage(own_server: EmbeddedRedis, outside: Outside, ledger: LedgerOf) -> None:
    """What was used meanwhile is only in the ledger: the very first call that the store decides again counts it."""
    gate, other = outside.gate(WORKERS), outside.gate(WORKERS)
    limits = limit_set(quota("tokens", 1000))
    gate.settle(await take(gate, limits, 100), Used(100))
    await outside.back()
    epoch = gate.epochs.known("0")
    ledger.spent = 100
    with paused(own_server):
        reservation = await take(gate, limits, 600)
        assert reservation.degraded
        gate.settle(reservation, Used(600))
        assert ledger.spent == 700
    # No round of upkeep: the gate itself must not believe the counter of before.
    await eventually(lambda: outside.clients[0].available, "the store is back")
    with pytest.raises(GatewayError):
        await take(gate, limits, 400)
    await outside.back()
    with pytest.raises(GatewayError):
        await take(gate, limits, 400)
    assert gate.epochs.known("0") == other.epochs.known("0") != epoch
    assert await counter(gate, outside.observer, limits, 0) == (700, 0)


async def test_nothing_leaks_however_the_store_comes_and_goes(own_server: EmbeddedRedis, outside: Outside) -> None:
    """Calls that are admitted, cancelled, noted and settled around pauses and restarts leave no slot and no record."""
    gate = outside.gate(WORKERS)
    limits = limit_set(rate("tokens", 10**6, AGE), slots(10**4), worker=fresh("w"))
    chance = random.Random(11)
    pid = own_server.pid

    async def call() -> None:
        reservation = await take(gate, limits, 10)
        try:
            await asyncio.sleep(chance.random() * 0.3)
            if chance.random() < 0.3:
                gate.note(reservation, about("x"), event("y"))
        finally:
            gate.settle(reservation, Used(chance.randrange(20)))

    tasks: list[asyncio.Task[None]] = []
    for turn in range(24):
        tasks += [asyncio.create_task(call()) for _ in range(20)]
        await asyncio.sleep(0.02)
        for task in chance.sample(tasks[-20:], 5):
            task.cancel()
        if turn % 8 == 3:
            pause(own_server.pid or 0)
        elif turn % 8 == 6:
            os.kill(own_server.pid or 0, signal.SIGCONT)
        elif turn == 15:
            os.kill(own_server.pid or 0, signal.SIGKILL)
        own_server.check()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [one for one in found if one is not None and not isinstance(one, asyncio.CancelledError | GatewayError)]
    assert own_server.pid != pid
    await outside.back()
    await outside.back()
    assert gate.live == {}
    assert await held(outside.observer, limits, 1) == 0
    assert await records(outside.observer, limits) == {}
    assert gate.unsent == {}


async def test_what_ended_just_before_is_told_again_however_late(own_server: EmbeddedRedis, outside: Outside) -> None:
    """A store that dies loses its last moments; it is told of them although it is back long after."""
    later = [0.0]
    gate = outside.gate(1, lambda: time.monotonic() + later[0])
    limits = limit_set(rate("requests", 100))
    running = await take(gate, limits)
    gate.settle(await take(gate, limits), Used(0), event("before"))
    await outside.back()
    assert event("before") in await events(outside.observer, limits)
    with killed(own_server):
        shutil.rmtree(own_server._home / "appendonlydir")
        assert (await take(gate, limits)).degraded
        later[0] = 60.0
        gate.settle(running, Used(0), event("meanwhile"))
    await outside.back()
    assert event("before") in await events(outside.observer, limits)
