"""When the store pauses or dies: calls go on under a local cap, and the shared limits are back when it is."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator

import pytest

from gateway.errors import RateLimited
from gateway.limits.gate import Gate, Reservation
from gateway.limits.limitset import LimitSet
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import RedisClient, RedisOptions, connect
from tests.limits.conftest import PATIENT, Decisions, rate, slots
from tests.storage.waiting import until, until_async

WORKERS = 2


@pytest.fixture
async def impatient(own_server: EmbeddedRedis, decisions: Decisions) -> AsyncIterator[Gate]:
    """A gate as a worker has it, on a server that will fail."""
    client = connect(own_server.url, RedisOptions(timeout=0.05))
    found = Gate(client, decisions, time.monotonic, WORKERS)
    yield found
    await found.close()
    await client.close()


def mixed() -> LimitSet:
    name = "degraded"
    return LimitSet.of([rate("requests", 100, 86400.0, name=name), slots(6, name=name)])


async def reserve_many(gate: Gate, limits: LimitSet, label: str, count: int) -> list[Reservation]:
    calls = (gate.reserve(f"{label}{at}", limits, 0) for at in range(count))
    found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, Reservation | RateLimited) for one in found), found
    return [one for one in found if isinstance(one, Reservation)]


async def back(gate: Gate) -> None:
    """Wait until a call is admitted by the store again."""
    limits = LimitSet.of([rate("requests", 10**6, 86400.0, name="probe")])

    async def shared() -> bool:
        try:
            reservation = await gate.reserve("probe", limits, 0)
        except RateLimited:
            return False
        assert reservation is not None
        gate.settle(reservation, 0)
        return not reservation.degraded

    await until_async(shared)
    await gate.close()


async def test_paused_server(own_server: EmbeddedRedis, impatient: Gate, decisions: Decisions) -> None:
    """A paused server's limits fall to a share per worker; its slots are free again once calls end and it is back."""
    gate, limits = impatient, mixed()
    os.kill(own_server.pid or 0, signal.SIGSTOP)
    try:
        found = await reserve_many(gate, limits, "a", 10)
        assert len(found) == 6 // WORKERS
        assert all(reservation.degraded for reservation in found)
        assert set(decisions.words()) == {"degraded", "refused"}
        gate.settle(found.pop(), 0)
        assert len(await reserve_many(gate, limits, "b", 3)) == 1
        assert dict(found[0].headers)[b"x-ratelimit-limit-requests"] == b"100"
    finally:
        os.kill(own_server.pid or 0, signal.SIGCONT)
    await back(gate)


async def test_calls_of_unknown_fate_hold_no_slot(own_server: EmbeddedRedis, impatient: Gate) -> None:
    """A paused server may carry out what nobody waited for: the slots it gave are freed when those calls end."""
    gate, limits = impatient, mixed()
    observer = connect(own_server.url, PATIENT)
    await back(gate)
    os.kill(own_server.pid or 0, signal.SIGSTOP)
    try:
        found = await reserve_many(gate, limits, "a", 3)
        assert all(reservation.degraded for reservation in found)
    finally:
        os.kill(own_server.pid or 0, signal.SIGCONT)
    await back(gate)
    for reservation in found:
        gate.settle(reservation, 0)
    await gate.close()
    assert await held(observer, limits) == 0
    await observer.close()


async def held(redis: RedisClient, limits: LimitSet) -> int:
    return int(await redis.execute("ZCARD", limits.keys[1]))


async def test_killed_server(own_server: EmbeddedRedis, impatient: Gate) -> None:
    """While the server is dead calls go on under the cap; after its restart the shared count goes on where it stood."""
    gate, limits = impatient, LimitSet.of([rate("requests", 10, 86400.0, name="killed")])
    await back(gate)
    assert len(await reserve_many(gate, limits, "a", 4)) == 4
    await asyncio.sleep(0)
    observer = connect(own_server.url, PATIENT)
    await observer.execute("WAITAOF", 1, 0, 5000)
    await observer.close()
    first = own_server.pid
    os.kill(first or 0, signal.SIGKILL)
    until(lambda: own_server._process is not None and own_server._process.poll() is not None)
    assert len(await reserve_many(gate, limits, "b", 20)) == 10 // WORKERS
    until(lambda: own_server.check() and own_server.pid != first)
    await back(gate)
    assert len(await reserve_many(gate, limits, "c", 20)) == 6


async def test_degraded_calls_are_not_renewed(own_server: EmbeddedRedis, decisions: Decisions) -> None:
    """A call admitted by the local cap has no lease to renew: renewing would take a slot from someone else."""
    client = connect(own_server.url, RedisOptions(timeout=0.05))
    now = 1000.0
    gate = Gate(client, decisions, lambda: now, WORKERS)
    limits = LimitSet.of([slots(4, name="renew")])
    os.kill(own_server.pid or 0, signal.SIGSTOP)
    try:
        reservation = await gate.reserve("a", limits, 0)
    finally:
        os.kill(own_server.pid or 0, signal.SIGCONT)
    assert reservation is not None
    assert reservation.degraded
    await back(gate)
    observer = connect(own_server.url, PATIENT)
    await observer.execute("DEL", limits.keys[0])
    now = 2000.0
    gate.renew()
    await gate.close()
    assert await observer.execute("ZCARD", limits.keys[0]) == 0
    await observer.close()
    await client.close()
