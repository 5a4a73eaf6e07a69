"""Several processes at one limit: the count holds to the unit."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor

from gateway.errors import RateLimited
from gateway.limits.gate import Gate
from gateway.limits.limitset import LimitSet
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import connect
from gateway.telemetry.base import SilentObserver
from tests.limits.conftest import PATIENT, fresh, rate, slots

PROCESSES = 4


def contender(url: str, name: str, number: int) -> int:
    """One process: 125 calls at once, after every process is ready; how many were admitted."""

    async def run() -> int:
        redis = connect(url, PATIENT)
        gate = Gate(redis, SilentObserver(), time.monotonic, PROCESSES)
        limits = LimitSet.of([rate("requests", 10, 86400.0, name=name), slots(40, name=name, scope="team")])
        await redis.execute("INCR", f"ready:{name}")
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if int(await redis.get(f"ready:{name}") or 0) >= PROCESSES:
                break
            await asyncio.sleep(0.001)
        calls = (gate.reserve(f"{number}-{at}", limits, 0) for at in range(125))
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert all(not isinstance(one, Exception) or isinstance(one, RateLimited) for one in found), found
        await gate.close()
        await redis.close()
        return sum(not isinstance(one, BaseException) for one in found)

    return asyncio.run(run())


def test_four_processes(shared_server: EmbeddedRedis) -> None:
    """500 calls from four processes against a limit of ten: exactly ten are admitted, twice in a row."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        for _ in range(2):
            name = fresh()
            runs = [pool.submit(contender, shared_server.url, name, number) for number in range(PROCESSES)]
            assert sum(run.result(timeout=60) for run in runs) == 10
