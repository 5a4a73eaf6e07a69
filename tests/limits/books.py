"""A bookkeeper on a real database, workers that spend, and looks at their counters."""

from __future__ import annotations

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gateway.bookkeeper import BookkeeperBoot, Books, shards_of
from gateway.limits.demand import Demand, Used
from gateway.limits.gate import Gate, Reservation
from gateway.limits.limitset import LimitSet, Member, Names
from gateway.limits.reaper import Reaper
from gateway.limits.workers import worker_name
from gateway.ports import Clock
from gateway.settings import Settings
from gateway.spending import Spending
from gateway.storage.embedded import EmbeddedRedis, running_url
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.sql.database import Database
from gateway.storage.streams import stream_options
from gateway.telemetry.base import SilentObserver
from gateway.telemetry.bookkeeping import BookkeepingMetrics
from gateway.types import LedgerRow, LedgerState, LimitSpec, QuotaSpec
from gateway.usage.events import encode_event
from tests.support.ledger import opened, row, sqlite_file, stored

PATIENT = RedisOptions(timeout=10.0)
KEY = "ci"
TEAM = "research"
_calls = itertools.count(1)


def quota(kind: str, amount: int, *, name: str = KEY, period: str = "total", **more: Any) -> QuotaSpec:
    """A quota of a key, unless it says otherwise; of a period that does not end while a test runs."""
    return QuotaSpec(more.pop("scope", "key"), name, kind, period, amount, **more)


def sets(*specs: LimitSpec | QuotaSpec, worker: str = "w", shard: str = "0") -> LimitSet:
    """These limits, decided together."""
    return LimitSet.of([Member(spec, spec.name) for spec in specs], Names(shard, worker))


async def eventually(condition: Callable[[], Awaitable[Any]], seconds: float = 15.0) -> Any:
    """Poll until it gives something true, and return that."""
    deadline = time.monotonic() + seconds
    while not (found := await condition()):
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.01)
    return found


@dataclass
class Boot:
    """What a worker needs to know."""

    settings: Settings
    workers: int = 1


@dataclass
class Till:
    """One worker: its gate, with upkeep, journal and line to the ledger."""

    redis: RedisClient
    spending: Spending
    name: str
    open: dict[str, Reservation] = field(default_factory=dict)

    @property
    def gate(self) -> Gate:
        return self.spending.gate

    def sets(self, *specs: LimitSpec | QuotaSpec) -> LimitSet:
        return sets(*specs, worker=self.name)

    def event(self, call_id: str, state: LedgerState = LedgerState.SETTLED, **fields: Any) -> bytes:
        """A row of this call that began now."""
        fields = {"started_at": int(self.gate.store_clock() * 1e6), "key": KEY, "team": TEAM, **fields}
        return encode_event([row(call_id=call_id, state=state, **fields)])

    async def begin(
        self,
        limits: LimitSet | Sequence[LimitSet],
        demand: Demand | None = None,
        *,
        call_id: str = "",
        user: str | None = None,
        charged: tuple[int, int, int] = (1, 0, 0),
        **fields: Any,
    ) -> Reservation:
        """Reserve for one call; `charged` is what a dead worker's call is charged with, as tokens and nano-USD."""
        call_id = call_id or f"{self.name}-{next(_calls)}"
        reservation = Reservation(call_id, user)
        fields = {"user_hash": user, "status": 500, "reason": "worker_crash", **fields}
        event = self.event(
            call_id, LedgerState.ABANDONED, input_tokens=charged[1], output_tokens=0, cost_nano_usd=charged[2], **fields
        )
        chosen = [limits] if isinstance(limits, LimitSet) else limits
        await self.gate.reserve(reservation, chosen, demand or Demand(), (event, charged))
        self.open[call_id] = reservation
        return reservation

    def end(self, reservation: Reservation, tokens: int = 0, cost: int = 0, **fields: Any) -> None:
        """Settle it: the ledger gets a row of that."""
        self.open.pop(reservation.call_id, None)
        fields = {"user_hash": reservation.user, **fields}
        event = self.event(
            reservation.call_id, input_tokens=tokens, output_tokens=0, cost_nano_usd=cost, **fields
        )
        self.gate.settle(reservation, Used(tokens, cost), event)

    async def done(self) -> None:
        """Everything settled is with the store."""
        await self.gate.close()

    async def counters(self, limits: LimitSet, user: str | None = None) -> list[tuple[int, int] | None]:
        """Of each quota what is used and what of it is reserved; None: there is no counter."""
        await self.done()
        shard = limits.names.shard
        epoch = self.gate.epochs.known(shard) or await self.gate.epochs.ask(shard)
        frame = limits.frame(user, epoch, self.gate.store_clock())
        found = [await self.redis.execute("HMGET", frame.keys[3 + at], "u", "r") for at in limits.quotas]
        return [None if used is None else (int(used), int(held)) for used, held in found]

    async def close(self) -> None:
        await self.spending.close()
        await self.redis.close()


@dataclass
class Desk:
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
        spending = Spending(Boot(self.settings, workers), redis, SilentObserver(), clock, name)
        self.tills.append(Till(redis, spending, name))
        await spending.start()
        return self.tills[-1]

    async def rows(self) -> dict[tuple[str, int], LedgerRow]:
        """The ledger, once everything that waited is booked."""
        await self.books._caught_up()
        return await stored(self.database)


@asynccontextmanager
async def desk(url: str, directory: Path, *, duties: bool = True) -> AsyncIterator[Desk]:
    """A desk with an empty ledger."""
    settings = Settings(data_dir=directory)
    redis = connect(url, stream_options(16))
    reaper = Reaper(redis, shards_of(redis), time.time)
    async with opened(sqlite_file(directory)) as database:
        books = Books(BookkeeperBoot(settings, url), redis, BookkeepingMetrics(), database, reaper)
        await books.open()
        tasks = [asyncio.create_task(duty) for duty in books.duties()] if duties else []
        made = Desk(url, settings, redis, database, books, reaper)
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
    tasks = [asyncio.create_task(till.spending.run()) for till in tills]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def store() -> Iterator[EmbeddedRedis]:
    """A server of a test's own, to be flushed, paused and killed."""
    with tempfile.TemporaryDirectory(prefix="gw-") as directory:
        server = EmbeddedRedis(Path(directory))
        server.start()
        try:
            yield server
        finally:
            server.stop()


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
    async def hire(cls, found: Desk, *specs: LimitSpec | QuotaSpec) -> Clerk:
        """One that admits by these limits."""
        return await cls.start(found.url, found.settings.data_dir, specs)

    @classmethod
    async def start(cls, url: str, data_dir: Path, specs: Sequence[LimitSpec | QuotaSpec]) -> Clerk:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.limits.clerk", url, str(data_dir),
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
async def clerks(found: Desk, count: int, *specs: LimitSpec | QuotaSpec) -> AsyncIterator[list[Clerk]]:
    """Workers in processes of their own."""
    hired = await asyncio.gather(*(Clerk.hire(found, *specs) for _ in range(count)))
    try:
        yield list(hired)
    finally:
        for clerk in hired:
            await clerk.end()
