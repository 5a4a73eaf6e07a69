"""What workers tell each other of deployments through a real store, and what they do without one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

from gateway.errors import UpstreamServerError
from gateway.health.board import Board
from gateway.health.hints import CHANNEL, OUT, Hints, told_out
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.types import Deployment, Provider
from tests.support.app import store_url, unique
from tests.support.waiting import eventually

from .board_rig import Changes

PROVIDER = Provider("p", "openai", "http://127.0.0.1")


class Worker:
    """A board that talks."""

    def __init__(self, url: str, deployment: Deployment) -> None:
        self.changes = Changes()
        self.deployment = deployment
        self.redis: RedisClient = connect(url, RedisOptions(timeout=1.0))
        self.board = Board(self.changes, time.monotonic, Random(1))
        self.board.keep([deployment])
        self.hints = Hints(self.redis, self.board, unique("worker"), time.monotonic)
        self.task = asyncio.create_task(self.hints.run())

    @property
    def out(self) -> bool:
        return not self.board.usable(self.deployment)

    def fail(self) -> None:
        for _ in range(5):
            ticket = self.board.enter(self.deployment)
            assert ticket is not None
            self.board.leave(ticket, UpstreamServerError())

    def trial(self) -> None:
        record = self.board.of(self.deployment)
        record.out_until = 0.001
        ticket = self.board.enter(self.deployment)
        assert ticket is not None
        assert ticket.trial
        self.board.leave(ticket, None)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.redis.close()


@asynccontextmanager
async def workers(count: int, url: str = "") -> AsyncIterator[list[Worker]]:
    """Workers that listen already."""
    deployment = Deployment(f"p/{unique('m')}", PROVIDER, "m")
    made = [Worker(url or store_url(), deployment) for _ in range(count)]
    try:
        if not url:
            await until(lambda: all(worker.hints._listener.alive for worker in made), 10)
        yield made
    finally:
        for worker in made:
            await worker.close()


async def until(condition: Callable[[], bool], seconds: float = 2.0) -> None:
    """Two seconds are what is promised."""
    await eventually(condition, seconds=seconds)


async def test_others_honour_an_opening_within_two_seconds() -> None:
    """And its end: what the first finds well again is back everywhere."""
    async with workers(3) as (first, *others):
        first.fail()
        await until(lambda: all(worker.out for worker in others))
        for worker in others:
            assert worker.board.of(worker.deployment).out_for == "breaker"
            assert worker.changes.all[-1].told
        first.trial()
        await until(lambda: not any(worker.out for worker in others))
        assert [worker.board.state_of(worker.deployment.id) for worker in others] == ["healthy"] * 2


async def test_one_that_comes_later_reads_what_was_said() -> None:
    """The state stands in a hash for as long as it holds."""
    async with workers(1) as (first,):
        first.fail()
        late = Worker(store_url(), first.deployment)
        try:
            await until(lambda: late.out, 10)
            left = late.board.of(late.deployment).out_until - time.monotonic()
            mine = first.board.of(first.deployment).out_until - time.monotonic()
            assert abs(left - mine) < 1.0
            first.trial()
            await until(lambda: not late.out)
        finally:
            await late.close()
        assert await first.redis.execute("HEXISTS", OUT, first.deployment.id) == 0


async def test_who_only_looks_changes_nothing() -> None:
    """It reads what is out, with the seconds that are left; what is over or of another version is left where it is."""
    redis = connect(store_url(), RedisOptions(timeout=1.0))
    now = round(time.time() * 1000)
    there = {
        b"p/out": b'%d ["p/out","breaker",60.0,"timeout","w"]' % (now + 20_000),
        b"p/over": b'%d ["p/over","breaker",9.0,"timeout","w"]' % (now - 1),
        b"p/odd": b"%d nonsense" % (now + 20_000),
    }
    try:
        for field, value in there.items():
            await redis.execute("HSET", OUT, field, value, key=OUT)
        found = {hint.deployment: hint for hint in await told_out(redis) if hint.deployment.encode() in there}
        assert found.keys() == {"p/out"}
        assert (found["p/out"].out_for, found["p/out"].cause) == ("breaker", "timeout")
        assert 10 < found["p/out"].seconds <= 20
        assert [await redis.execute("HGET", OUT, field, key=OUT) for field in there] == list(there.values())
    finally:
        await redis.execute("HDEL", OUT, *there, key=OUT)
        await redis.close()


async def test_nonsense_on_the_channel_harms_nobody() -> None:
    """What cannot be read is of another version."""
    async with workers(2) as (first, second):
        for message in (b"", b"{", b"[1]", b'["p/m","breaker","x","y","z"]', b"\xff"):
            await first.redis.execute("PUBLISH", CHANNEL, message)
        second.fail()
        await until(lambda: first.out)


async def test_without_a_store_each_finds_out_alone() -> None:
    """Nothing fails, nothing waits; what holds still is told once the store is there."""
    async with workers(2, "redis://127.0.0.1:1") as (first, second):
        first.fail()
        await asyncio.sleep(0)
        assert first.out
        assert not second.out
        first.trial()
        await until(lambda: not first.out)
        assert not first.task.done()


async def test_what_was_found_while_the_store_was_away_is_told_later() -> None:
    """The newest of each deployment, with the time that is left."""
    async with workers(2) as (first, second):
        first.task.cancel()
        await asyncio.gather(first.task, return_exceptions=True)
        first.fail()
        assert not second.out
        first.task = asyncio.create_task(first.hints.run())
        await until(lambda: second.out)
