"""Several processes at one limit: the count holds to the unit, round after round."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import pytest

from gateway.errors import InsufficientQuota, RateLimited
from gateway.limits.demand import Used
from gateway.limits.gate import Gate, Reservation
from gateway.limits.limitset import LimitSet
from gateway.limits.outage import Backing
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import RedisClient, connect
from gateway.telemetry.base import SilentObserver
from gateway.types import LimitSpec, QuotaSpec
from tests.limits.conftest import PATIENT, LedgerOf, fresh, limit_set, need, quota, rate, slots, take
from tests.support.waiting import eventually

PROCESSES = 4
ROUNDS = 20
CALLS = 500 // PROCESSES
TEN = 10
AGE = 86400.0 * 365

KINDS: dict[str, tuple[LimitSpec | QuotaSpec, ...]] = {
    "requests": (rate("requests", TEN, AGE),),
    "tokens": (rate("tokens", 7 * TEN + 6, AGE),),
    "concurrency": (slots(TEN),),
    "budget": (quota("cost", 1000 * TEN + 999),),
    "all": (rate("requests", 11, AGE, scope="team"), rate("tokens", 77, AGE), slots(TEN), quota("cost", 10_999)),
}
COST = need(7, output=3, fixed=700, price=100)


async def together(redis: RedisClient, what: str) -> None:
    """Return once every process has come this far."""
    await redis.execute("INCR", f"ready:{what}")

    async def ready() -> bool:
        return int(await redis.get(f"ready:{what}") or 0) >= PROCESSES

    await eventually(ready)


async def ask(gate: Gate, limits: LimitSet) -> list[Reservation]:
    """All calls at once: those that were admitted. A refusal must be one of the two that limits have."""
    calls = (take(gate, limits, demand=COST) for _ in range(CALLS))
    found = await asyncio.gather(*calls, return_exceptions=True)
    strange = [one for one in found if not isinstance(one, Reservation | RateLimited | InsufficientQuota)]
    assert not strange, strange
    return [one for one in found if isinstance(one, Reservation)]


def contender(url: str, names: Sequence[str], kind: str, number: int) -> list[int]:
    """One process: in each round 125 calls at once, when every process is ready; how many were admitted."""

    async def run() -> list[int]:
        redis = connect(url, PATIENT)
        gate = Gate(redis, SilentObserver(), time.monotonic, Backing(PROCESSES, LedgerOf()))
        admitted = []
        for name in names:
            limits = limit_set(*KINDS[kind], name=name, worker=f"w{number}")
            await together(redis, f"{name}:begin")
            held = await ask(gate, limits)
            admitted.append(len(held))
            # Nobody ends before everybody has asked: else slots would be used twice.
            await together(redis, f"{name}:end")
            for reservation in held:
                gate.settle(reservation, Used(7, 1000))
        assert not any(reservation.degraded for reservation in gate.live.values())
        await gate.close()
        await redis.close()
        return admitted

    return asyncio.run(run())


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
def test_four_processes(shared_server: EmbeddedRedis, pool: ProcessPoolExecutor, kind: str) -> None:
    """500 calls at once from four processes against room for ten: exactly ten are admitted, in each of 20 rounds."""
    names = [fresh(kind) for _ in range(ROUNDS)]
    runs = [pool.submit(contender, shared_server.url, names, kind, number) for number in range(PROCESSES)]
    found = [run.result(timeout=100) for run in runs]
    assert Counter(map(sum, zip(*found, strict=True))) == {TEN: ROUNDS}
