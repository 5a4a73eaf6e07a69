"""The store breaks under load in every way it can: rates go on by local caps, money stays exact, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from time import monotonic

import pytest
import redis

from gateway.storage.embedded import EmbeddedRedis
from gateway.usage.estimate import input_tokens
from tests.support.store import own_store

from .books import differences, summary
from .configs import config, secret
from .conftest import Report
from .load import Tally, chat, client, clients
from .rig import client_of, rig, settled
from .sizes import few_when_small, sizes

MODEL, DEAR = "mock-small", "mock-fault/tokens-4"
RATE, BURST = 60, 60
BUDGET, PRICE = 0.3, 0.001
"""USD; the second is the price of a call."""
CONFIG = config(
    {MODEL: "price: {input: 0, output: 0}", DEAR: f"price: {{input: 0, output: 0, per_request: {PRICE}}}"},
    {
        "rated": f"limits: {{requests: {{rate: {RATE}/s, burst: {BURST}}}}}",
        "money": f"quotas: [{{period: total, cost: {BUDGET}}}]",
        "free": "limits: {concurrency: 100}",
    },
)
GENEROUS = 5.0
"""Seconds: a p99 above this is a hang, not a slow machine."""


@contextmanager
def _server() -> Iterator[EmbeddedRedis]:
    """A store of our own, where its socket's path is short."""
    with own_store() as server:
        yield server


def _pid(server: EmbeddedRedis) -> int:
    assert server.pid is not None
    return server.pid


async def _revived(server: EmbeddedRedis) -> None:
    """Start it again, and return once it answers."""
    async with asyncio.timeout(20):
        while True:
            server.check()
            with suppress(redis.RedisError), closing(client_of(server.url)) as store:
                if store.ping():
                    return
            await asyncio.sleep(0.05)


def _tell(server: EmbeddedRedis, *command: str) -> None:
    with closing(client_of(server.url)) as store:
        store.execute_command(*command)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def _paused(server: EmbeddedRedis) -> AsyncIterator[None]:
    os.kill(_pid(server), signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(_pid(server), signal.SIGCONT)


@asynccontextmanager
async def _killed(server: EmbeddedRedis) -> AsyncIterator[None]:
    os.kill(_pid(server), signal.SIGKILL)
    yield
    await _revived(server)


@asynccontextmanager
async def _restarted(server: EmbeddedRedis) -> AsyncIterator[None]:
    os.kill(_pid(server), signal.SIGKILL)
    await _revived(server)
    yield


@asynccontextmanager
async def _flushed(server: EmbeddedRedis) -> AsyncIterator[None]:
    _tell(server, "FLUSHALL")
    yield


@asynccontextmanager
async def _read_only(server: EmbeddedRedis) -> AsyncIterator[None]:
    _tell(server, "CONFIG", "SET", "replica-serve-stale-data", "yes")
    _tell(server, "REPLICAOF", "127.0.0.1", "1")
    yield
    _tell(server, "REPLICAOF", "NO", "ONE")


@asynccontextmanager
async def _full(server: EmbeddedRedis) -> AsyncIterator[None]:
    _tell(server, "CONFIG", "SET", "maxmemory", "1")
    yield
    _tell(server, "CONFIG", "SET", "maxmemory", "0")


@asynccontextmanager
async def _slow(server: EmbeddedRedis) -> AsyncIterator[None]:
    """It runs for 5 ms of every 65."""

    async def drag() -> None:
        while True:
            os.kill(_pid(server), signal.SIGSTOP)
            await asyncio.sleep(0.06)
            os.kill(_pid(server), signal.SIGCONT)
            await asyncio.sleep(0.005)

    task = asyncio.create_task(drag())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        os.kill(_pid(server), signal.SIGCONT)


FAULTS = {
    "paused": _paused,
    "killed": _killed,
    "restarted": _restarted,
    "flushed": _flushed,
    "read_only": _read_only,
    "full": _full,
    "slow": _slow,
}
LIMITED = {"rated": (6, 0.0), "money": (4, 0.02), "free": (2, 0.005)}
"""How many clients each key has, and how long they rest."""


async def _under_load(fault: Callable[[], Awaitable[None]], port: int, seconds: float) -> dict[str, Tally]:
    """What the clients of each key got before, during and after the fault."""
    models = {"rated": MODEL, "money": DEAR, "free": MODEL}
    tallies = {name: Tally() for name in LIMITED}
    works = [
        partial(client, port, partial(chat, port, secret(name), models[name], text="x"), tallies[name], pause=pause)
        for name, (count, pause) in LIMITED.items()
        for _ in range(count)
    ]
    async with clients(works):
        await asyncio.sleep(seconds)
        await fault()
        await asyncio.sleep(seconds)
    return tallies


@pytest.mark.parametrize("fault", few_when_small(FAULTS, "paused", "killed", "flushed", "read_only"))
@sizes("seconds", 1.0, 5.0)
async def test_the_store_breaks(seconds: float, fault: str, tmp_path: Path, report: Report) -> None:
    """No rate-limited call fails or exceeds its limit by more than is published; no budget is overdrawn; the ledger is
    the provider's bill."""
    during: list[float] = []
    with _server() as server, rig(CONFIG, tmp_path, store_url=server.url) as under:

        async def happens() -> None:
            during.append(monotonic())
            async with FAULTS[fault](server):
                await asyncio.sleep(seconds)
            during.append(monotonic())

        tallies = await _under_load(happens, under.port, seconds)
        rated, money, free = tallies["rated"], tallies["money"], tallies["free"]
        gone, back = during
        added = {name: tally.p99(gone, back) - tally.p99(0.0, gone) for name, tally in tallies.items()}
        most = BURST + RATE * (rated.last - rated.first)
        failures = Counter((status, code) for _, status, code in money.failures)
        waited = sum(gone <= at <= back and took > 0.04 for at, took in rated.times)
        report(f"{waited} of {sum(gone <= at <= back for at, _ in rated.times)} rated calls waited 40 ms")
        late = ", ".join(f"{name} {1000 * value:.0f} ms" for name, value in added.items())
        report(f"added p99 {late}; rated {rated.admitted} of {most:.0f} allowed")
        report(f"money {money.admitted} of {BUDGET / PRICE:.0f}, {dict(failures)}; {dict(money.codes)}")
        given = input_tokens(chat(0, "", MODEL, text="x").partition(b"\r\n\r\n")[2])
        settled(under.quiet, 90)
        settled(lambda: differences(under.bill(), under.ledger(), given), 30)
        bill, books = under.bill(), under.ledger()
        report(summary(bill, books))
        assert under.in_rollups() == len(books)
        # One window: what a store forgot, or what workers that do not notice in the same moment took meanwhile.
        assert rated.admitted <= most + BURST
        for tally in (rated, free):
            assert not tally.failures, tally.failures[:5]
            assert not tally.broken
            assert tally.p99(gone, back) < GENEROUS
        spent = sum(row.cost_nano_usd or 0 for row in books.values() if row.key == "money" and row.state != "released")
        assert spent <= BUDGET * 1e9
        assert set(failures) <= {(503, "quota_unavailable")}
