"""A bookkeeper on a real database, with workers in this process and in others."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gateway.bookkeeper import BookkeeperBoot, Books, shards_of
from gateway.limits.reaper import Reaper
from gateway.limits.workers import worker_name
from gateway.metering import Metering
from gateway.ports import Clock
from gateway.settings import Settings
from gateway.storage.companions import Companions
from gateway.storage.embedded import EmbeddedRedis, running_url
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.sql.database import Database
from gateway.storage.streams import stream_options
from gateway.telemetry.base import SilentObserver
from gateway.telemetry.bookkeeping import BookkeepingMetrics
from gateway.types import LedgerRow, LimitSpec, QuotaSpec
from tests.limits.tills import PATIENT, Boot, Till
from tests.support.ledger import opened, sqlite_file, stored
from tests.support.store import own_store


@dataclass
class Bookkeeping:
    """The bookkeeper's work, in this process, on a database and a store of its own."""

    url: str
    settings: Settings
    redis: RedisClient
    database: Database
    books: Books
    reaper: Reaper
    tills: list[Till] = field(default_factory=list)

    async def till(self, *, clock: Clock = time.monotonic, workers: int = 1, name: str = "") -> Till:
        """A worker, which the store knows to live."""
        redis, name = connect(self.url, PATIENT), name or worker_name()
        return await self._open(
            Till(redis, Metering(Boot(self.settings, workers), redis, SilentObserver(), clock, name), name)
        )

    async def pair(self, *ways: str) -> list[Till]:
        """The workers of one machine, in a hurry as they are, each with its own way to the store."""
        companions = Companions(len(ways))
        tills: list[Till] = []
        for place, url in enumerate(ways):
            redis = connect(url, RedisOptions(timeout=0.2, lookout=companions.lookout(place)))
            patient, name = connect(url, RedisOptions(timeout=1.0)), f"{worker_name()}-{place}"
            boot = Boot(self.settings, len(ways))
            metering = Metering(boot, redis, SilentObserver(), time.monotonic, name, patient)
            tills.append(await self._open(Till(redis, metering, name, patient=patient)))
        return tills

    async def _open(self, till: Till) -> Till:
        self.tills.append(till)
        await till.metering.start()
        return till

    async def rows(self) -> dict[tuple[str, int], LedgerRow]:
        """The ledger, once everything that waited is booked."""
        await self.books._caught_up()
        return await stored(self.database)


@asynccontextmanager
async def bookkeeping(url: str, directory: Path, *, duties: bool = True) -> AsyncIterator[Bookkeeping]:
    """It, with an empty ledger."""
    settings = Settings(data_dir=directory)
    redis = connect(url, stream_options(16))
    reaper = Reaper(redis, shards_of(redis), time.time)
    async with opened(sqlite_file(directory)) as database:
        books = Books(BookkeeperBoot(settings, url), redis, BookkeepingMetrics(), database, reaper)
        await books.open()
        tasks = [asyncio.create_task(duty) for duty in books.duties()] if duties else []
        made = Bookkeeping(url, settings, redis, database, books, reaper)
        try:
            yield made
        finally:
            for till in made.tills:
                await till.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await books.close()
            await redis.close()


@asynccontextmanager
async def upkept(*tills: Till) -> AsyncIterator[None]:
    """Their upkeep runs meanwhile."""
    tasks = [asyncio.create_task(till.metering.run()) for till in tills]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def store() -> Iterator[EmbeddedRedis]:
    """A server of a test's own, to be flushed, paused and killed."""
    with own_store() as server:
        yield server


def restart(server: EmbeddedRedis) -> None:
    """kill -9, and a new process on the same data."""
    process = server._process
    assert process is not None
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while not (server.check() and _answers(server)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _answers(server: EmbeddedRedis) -> bool:
    return running_url(server._data_dir) is not None


Order = dict[str, Any]


class Clerk:
    """A worker in a process of its own, to be stopped and killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.name = ""

    @classmethod
    async def hire(cls, found: Bookkeeping, *specs: LimitSpec | QuotaSpec) -> Clerk:
        """One that admits by these limits."""
        return await cls.start(found.url, found.settings.data_dir, specs)

    @classmethod
    async def start(cls, url: str, data_dir: Path, specs: Sequence[LimitSpec | QuotaSpec]) -> Clerk:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.limits.worker", url, str(data_dir),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        clerk = cls(process)
        limits = [spec for spec in specs if isinstance(spec, LimitSpec)]
        quotas = [spec for spec in specs if isinstance(spec, QuotaSpec)]
        hello = await clerk.ask({"limits": limits, "quotas": quotas})
        clerk.name = hello["name"]
        return clerk

    async def ask(self, order: Order) -> Any:
        """Give an order, and wait for what came of it."""
        self.tell(order)
        return await self.answer()

    def tell(self, order: Order) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(msgspec.json.encode(order) + b"\n")

    async def answer(self) -> Any:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        assert line, f"the worker ended: {self.process.returncode}"
        return msgspec.json.decode(line)

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        self.process._transport.close()  # type: ignore[attr-defined]


@asynccontextmanager
async def clerks(found: Bookkeeping, count: int, *specs: LimitSpec | QuotaSpec) -> AsyncIterator[list[Clerk]]:
    """Workers in processes of their own."""
    hired = await asyncio.gather(*(Clerk.hire(found, *specs) for _ in range(count)))
    try:
        yield list(hired)
    finally:
        for clerk in hired:
            await clerk.end()
