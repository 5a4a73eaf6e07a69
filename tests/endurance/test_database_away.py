"""The database goes away, or the bookkeeper is killed: no client notices, and every attempt is booked once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from gateway.usage.estimate import input_tokens
from tests.support import postgres
from tests.support.gateway import eventually

from .books import differences, summary
from .configs import config, secret
from .conftest import Report
from .load import Tally, always, chat, client, clients
from .rig import Rig, rig, settled
from .sizes import sizes

MODEL = "mock-small"
CONFIG = config(
    {MODEL: "price: {input: 1, output: 2}"},
    {
        "money": "limits: {requests: 100k/min}, quotas: [{period: day, cost: 1000}]",
        "free": "limits: {concurrency: 100}",
    },
)
CLIENTS, ENOUGH = 8, 100


async def _under_load(under: Rig, trouble: Callable[[], Awaitable[None]], report: Report) -> None:
    """Nobody notices the trouble, and the books agree when it is over."""
    tallies = {name: Tally() for name in ("money", "free")}
    bodies = {name: chat(under.port, secret(name), MODEL) for name in tallies}
    works = [partial(client, under.port, always(bodies[name]), tallies[name], pause=0.01) for name in tallies]
    async with clients(works * (CLIENTS // len(works))):
        # A worker's first call of a budget waits for what the ledger says of it: that is before the trouble.
        async with asyncio.timeout(60):
            while tallies["money"].admitted < ENOUGH:  # noqa: ASYNC110 - the load generator counts
                await asyncio.sleep(0.05)
        await trouble()
        await asyncio.sleep(0.5)
    for tally in tallies.values():
        assert set(tally.statuses) == {200}, (tally.statuses, tally.codes)
        assert not tally.broken
    admitted = sum(tally.admitted for tally in tallies.values())
    given = input_tokens(chat(0, "", MODEL).partition(b"\r\n\r\n")[2])
    waited = settled(lambda: differences(under.bill(), under.ledger(), given), 60)
    bill, books = under.bill(), under.ledger()
    report(f"{admitted} calls; all booked {waited:.1f} s after; {summary(bill, books)}")
    assert len(books) == len(bill) == admitted
    assert under.in_rollups() == len(books)


@sizes("seconds", 1.5, 10.0)
async def test_sqlite_is_locked(seconds: float, tmp_path: Path, report: Report) -> None:
    """Somebody else writes to the file for seconds."""
    with rig(CONFIG, tmp_path) as under:

        async def locked() -> None:
            with closing(sqlite3.connect(under.state / "gateway.db", isolation_level=None, timeout=30)) as base:
                base.execute("BEGIN EXCLUSIVE")
                await asyncio.sleep(seconds)
                base.execute("ROLLBACK")

        await _under_load(under, locked, report)


@sizes("seconds", 1.0, 10.0)
async def test_postgres_is_stopped(seconds: float, tmp_path: Path, report: Report) -> None:
    """The server is shut down and started again."""
    with postgres.server() as server, rig(CONFIG, tmp_path, database_url=server.create()) as under:

        async def stopped() -> None:
            await asyncio.to_thread(server.stop)
            await asyncio.sleep(seconds)
            await asyncio.to_thread(server.start)

        await _under_load(under, stopped, report)


@sizes("kills", 1, 10)
async def test_the_bookkeeper_is_killed(kills: int, tmp_path: Path, report: Report) -> None:
    """kill -9, again and again; its successors take up what it left."""
    with rig(CONFIG, tmp_path) as under:

        async def killed() -> None:
            for _ in range(kills):
                there = partial(eventually, lambda: under.children("bookkeeper"), "a bookkeeper", 30)
                (found,) = await asyncio.to_thread(there)
                await asyncio.sleep(0.3)
                await asyncio.to_thread(under.kill, found)

        await _under_load(under, killed, report)
