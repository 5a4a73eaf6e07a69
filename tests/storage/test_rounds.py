"""Work that one of all workers does, each time it comes round."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.storage.rounds import Rounds
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.storage.embedded import EmbeddedRedis
    from gateway.storage.node import NodeClient
    from gateway.storage.redis import RedisClient
    from gateway.storage.rounds import Do

PREFIX = "gw:test-turn:"


def _rounds(client: RedisClient, do: Do, seed: int = 1, at_once: int = 4) -> Rounds:
    return Rounds(client, PREFIX, do, Random(seed), time.monotonic, at_once)


@asynccontextmanager
async def _running(*rounds: Rounds) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in rounds]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_of_all_does_it(make_client: Callable[..., NodeClient]) -> None:
    """Three workers with the same jobs do each of them once a round: what one took, the others leave."""
    done: Counter[str] = Counter()

    async def do(key: str) -> None:
        done[key] += 1

    workers = [_rounds(make_client(), do, seed) for seed in range(3)]
    for worker in workers:
        worker.use({"a": 30.0, "b": 30.0})
    async with _running(*workers):
        await eventually(lambda: set(done) == {"a", "b"}, "what is due")
        client = make_client()
        assert await client.get(f"{PREFIX}a") == b"1"
        # Whoever comes next is refused by the claim, which stands for most of the interval.
        await eventually(
            lambda: all(min(worker._due.values()) > time.monotonic() + 20 for worker in workers), "what is due"
        )
    assert done == {"a": 1, "b": 1}


async def test_it_comes_round_again(make_client: Callable[..., NodeClient]) -> None:
    """A job is done again after its interval, a job that is gone is not."""
    done: Counter[str] = Counter()

    async def do(key: str) -> None:
        done[key] += 1

    worker = _rounds(make_client(), do)
    worker.use({"a": 0.1, "b": 0.1})
    async with _running(worker):
        await eventually(lambda: done["a"] >= 3 and done["b"] >= 3, "what is due")
        worker.use({"a": 0.1})
        seen = done["b"]
        await eventually(lambda: done["a"] >= 8, "what is due")
    assert done["b"] <= seen + 1


async def test_sooner_when_the_job_says_so(make_client: Callable[..., NodeClient]) -> None:
    """A job that wants to be done sooner is, by whom it told so."""
    done: list[float] = []

    async def do(_: str) -> float | None:
        done.append(time.monotonic())
        return 0.05 if len(done) < 4 else None

    worker = _rounds(make_client(), do)
    worker.use({"a": 60.0})
    async with _running(worker):
        await eventually(lambda: len(done) == 4, "what is due")
        await eventually(lambda: worker._due["a"] > time.monotonic() + 40, "what is due")


async def test_few_at_once(make_client: Callable[..., NodeClient]) -> None:
    """However many are due, only so many are done at a time, and none of them twice."""
    running, most, done = 0, 0, Counter[str]()
    gate = asyncio.Event()

    async def do(key: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        done[key] += 1
        await gate.wait()
        running -= 1

    worker = _rounds(make_client(), do, at_once=2)
    worker.use({str(n): 60.0 for n in range(12)})
    worker._due = dict.fromkeys(worker._due, 0.0)
    async with _running(worker):
        await eventually(lambda: running == 2, "what is due")
        gate.set()
        await eventually(lambda: len(done) == 12, "what is due")
    assert most == 2
    assert set(done.values()) == {1}


async def test_a_fault_of_one_job_is_its_own(
    make_client: Callable[..., NodeClient], caplog: pytest.LogCaptureFixture
) -> None:
    """A job that raises is logged, and comes round again; the others are done."""
    done: Counter[str] = Counter()

    async def do(key: str) -> None:
        done[key] += 1
        if key == "bad":
            raise ValueError("broken")

    worker = _rounds(make_client(), do, at_once=1)
    worker.use({"bad": 0.1, "good": 0.1})
    async with _running(worker):
        await eventually(lambda: done["bad"] >= 2 and done["good"] >= 2, "what is due")
    assert "a job of gw:test-turn: failed" in caplog.text


async def test_nobody_works_without_the_store(server: EmbeddedRedis, make_client: Callable[..., NodeClient]) -> None:
    """While Redis is away nobody knows whose turn it is, so nothing is done; afterwards it goes on."""
    done: Counter[str] = Counter()

    async def do(key: str) -> None:
        done[key] += 1

    server.stop()
    worker = _rounds(make_client(), do)
    worker.use({"a": 0.05})
    tries = worker._put_off
    tried: list[str] = []

    def put_off(key: str, seconds: float) -> None:
        tried.append(key)
        tries(key, seconds)

    worker._put_off = put_off  # type: ignore[method-assign]
    async with _running(worker):
        await eventually(lambda: len(tried) > 3, "what is due")
        assert not done
        server.start()
        await eventually(lambda: done["a"] >= 2, "what is due")
