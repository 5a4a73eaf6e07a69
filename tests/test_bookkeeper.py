"""The bookkeeper as a process: killed, locked out, in the wrong order; the ledger has every event once."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.sql.partitions import ahead
from gateway.usage.consumer import usage_key
from gateway.usage.events import encode_entry, encode_event
from gateway.usage.ledger_client import LedgerClient
from gateway.usage.rpc import ledger_socket
from gateway.usage.spool import Spool
from tests.bookkeeping.books import START, calls, fill, row, tiny_file_system
from tests.support.app import until
from tests.support.gateway import GatewayProcess
from tests.support.postgres import server as postgres_server
from tests.support.store import own_store
from tests.support.waiting import eventually
from tests.test_supervisor import CONFIG, alive, bookkeeper_of, chat, server_of, workers_of

KEY = usage_key("0")
PATIENT = RedisOptions(timeout=10.0, connect_timeout=10.0)

RUN = """
import sys
from pathlib import Path
from gateway.bookkeeper import BookkeeperBoot, run_bookkeeper
from gateway.settings import load_settings
PATCH
run_bookkeeper(BookkeeperBoot(load_settings(), sys.argv[1], Path(sys.argv[2])))
"""
DIES_BEFORE_ACK = """
import os, signal
from gateway.storage.streams import StreamGroup
async def die(self, ids):
    os.kill(os.getpid(), signal.SIGKILL)
StreamGroup.done = die
"""
TOLD_EARLY = """
import os, signal
import gateway.bookkeeper as module
connect = module.connect
def told(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    return connect(*arguments)
module.connect = told
"""


LOOKS_OFTEN = """
from gateway.storage.sql import months
months.LOOK_SECONDS = 0.05
"""


class Bookkeeping:
    """A bookkeeper without its gateway."""

    def __init__(self, directory: Path, server: EmbeddedRedis, data_dir: Path | None = None) -> None:
        self.data_dir = data_dir or directory / "state"
        self.metrics = directory / "metrics"
        self.metrics.mkdir(exist_ok=True)
        self.log = directory / "bookkeeper.log"
        self._server = server
        self._process: subprocess.Popen[bytes] | None = None
        self.env: dict[str, str] = {}

    @property
    def database(self) -> Path:
        return self.data_dir / "gateway.db"

    def start(self, patch: str = "") -> None:
        """`patch` runs before it."""
        env = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "DATABASE_"))}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(RUN).replace("PATCH", patch), self._server.url, self.metrics],
                env={**env, "GATEWAY_DATA_DIR": str(self.data_dir), **self.env},
                stderr=log,
            )

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None
        return self._process.wait(20)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(20)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    with own_store() as server:
        yield server


@pytest.fixture
async def redis(server: EmbeddedRedis) -> AsyncIterator[RedisClient]:
    client = connect(server.url, PATIENT)
    yield client
    await client.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes; needs root."""
    with tiny_file_system(tmp_path / "disk") as found:
        yield found


@pytest.fixture
def books(tmp_path: Path, server: EmbeddedRedis) -> Iterator[Bookkeeping]:
    found = Bookkeeping(tmp_path, server)
    yield found
    found.close()


async def add(redis: RedisClient, *call_ids: str) -> None:
    await redis.execute("XADD", KEY, "*", "e", encode_entry([encode_event([row(one)]) for one in call_ids]))


async def until_empty(redis: RedisClient) -> None:
    deadline = time.monotonic() + 20
    while await redis.execute("XLEN", KEY) or (await redis.execute("XPENDING", KEY, "ledger"))[0]:
        assert time.monotonic() < deadline, "events are left"
        await asyncio.sleep(0.02)


async def test_killed_between_commit_and_acknowledgement(books: Bookkeeping, redis: RedisClient) -> None:
    """`kill -9` after the commit and before the acknowledgement: the same events come again, and no row twice."""
    ids = [f"c{number}" for number in range(100)]
    await add(redis, *ids)
    books.start(DIES_BEFORE_ACK)
    assert books.wait() == -signal.SIGKILL
    assert calls(books.database) == sorted(ids)
    assert await redis.execute("XLEN", KEY) == 1
    books.start()
    await until_empty(redis)
    assert books.stop() == 0
    assert calls(books.database) == sorted(ids)


@pytest.mark.slow
async def test_killed_again_and_again(books: Bookkeeping, redis: RedisClient) -> None:
    """`kill -9` at random moments while events come by stream and by spool: each is booked once."""
    chance = random.Random(7)
    spool = Spool(books.data_dir / "spool", "w1")
    ids: list[str] = []
    for _ in range(3):
        booked = len(calls(books.database))
        books.start()
        deadline, more = time.monotonic() + 40, chance.randrange(1, 15)
        while more:
            streamed, spooled = f"stream-{len(ids)}", f"spool-{len(ids)}"
            await add(redis, streamed)
            spool.append([encode_event([row(spooled)])])
            ids += [streamed, spooled]
            await asyncio.sleep(0.005)
            assert time.monotonic() < deadline, "it books nothing"
            # Dead a moment after it has begun to book.
            more -= len(calls(books.database)) > booked
        books.kill()
    spool.close()
    books.start()
    await until_empty(redis)
    await eventually(lambda: len(calls(books.database)) >= len(ids), "every row")
    assert books.stop() == 0
    assert calls(books.database) == sorted(ids)
    assert list((books.data_dir / "spool").iterdir()) == []


async def test_told_to_end_while_it_begins(books: Bookkeeping, redis: RedisClient) -> None:
    """SIGTERM during its start: what waits is booked all the same, and it ends well."""
    await add(redis, "waits")
    books.start(TOLD_EARLY)
    assert books.wait() == 0
    assert calls(books.database) == ["waits"]


async def test_a_locked_database_is_waited_for(books: Bookkeeping, redis: RedisClient) -> None:
    """While another process holds SQLite's lock events stay in the stream; then they are booked."""
    books.start()
    await add(redis, "before")
    await eventually(lambda: calls(books.database), "the first row")
    with closing(sqlite3.connect(books.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await add(redis, "locked")
        await eventually(lambda: pending(books) == 1, "a backlog")
        other.execute("ROLLBACK")
    await until_empty(redis)
    assert calls(books.database) == ["before", "locked"]
    assert books.stop() == 0


def pending(books: Bookkeeping) -> float:
    """The backlog that `/metrics` would show."""
    from gateway.telemetry import shared  # noqa: PLC0415 - the reader's side
    from gateway.telemetry.tallies import Snapshot  # noqa: PLC0415

    found = shared.read(books.metrics, Snapshot("test")).gauges.get("gateway_ledger_backlog", {})
    return found.get((), (0.0, 0.0))[0]


async def test_a_full_disk_is_waited_for(
    tmp_path: Path, tiny_disk: Path, server: EmbeddedRedis, redis: RedisClient
) -> None:
    """When SQLite's disk is full events stay in the stream; with room again they are booked."""
    disk = tiny_disk
    books = Bookkeeping(tmp_path, server, disk / "state")
    try:
        books.start()
        await add(redis, "before")
        await eventually(lambda: calls(books.database), "the first row")
        await until_empty(redis)
        fill(disk / "filler")
        ids = [f"c{number:04}" for number in range(300)]
        await add(redis, *ids)
        await eventually(lambda: "ledger events" in books.log.read_text(), "word of it")
        assert calls(books.database) == ["before"]
        assert await redis.execute("XLEN", KEY) == 1
        (disk / "filler").unlink()
        await until_empty(redis)
        assert calls(books.database) == ["before", *ids]
        assert books.stop() == 0
    finally:
        books.close()


@pytest.mark.slow
async def test_postgres_may_go_and_come(books: Bookkeeping, redis: RedisClient) -> None:
    """On PostgreSQL: stopped and started again under events, nothing is lost and nothing is twice; months to come have
    their partitions again."""
    with postgres_server() as postgres:
        books.env["DATABASE_URL"] = url = postgres.create()
        books.start(LOOKS_OFTEN)
        client = LedgerClient(ledger_socket(books.data_dir), timeout=20)
        question = [("key", "ci", "requests", START, START + 1)]
        await add(redis, "before")
        assert await client.used(question) == [1]
        postgres.stop()
        await add(redis, *(f"c{number}" for number in range(99)))
        await eventually(lambda: pending(books) == 1, "a backlog")
        assert await redis.execute("XLEN", KEY) == 1
        postgres.start()
        await until_empty(redis)
        assert await client.used(question) == [100]
        await client.close()
        last = ahead()[-1].table
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP TABLE {last}".encode())
            there = f"SELECT to_regclass('{last}') IS NOT NULL".encode()
            await eventually(lambda: connection.execute(there).fetchone() == (True,), "the partition")
        assert books.stop() == 0


async def test_a_stopped_bookkeeper_goes_on(books: Bookkeeping, redis: RedisClient) -> None:
    """SIGSTOP, events, SIGCONT: they are booked, and asked-for sums include them."""
    books.start()
    await add(redis, "before")
    await eventually(lambda: calls(books.database), "the first row")
    assert books._process is not None
    books._process.send_signal(signal.SIGSTOP)
    await add(redis, *(f"c{number}" for number in range(50)))
    books._process.send_signal(signal.SIGCONT)
    client = LedgerClient(ledger_socket(books.data_dir), timeout=10)
    assert await client.used([("key", "ci", "requests", START, START + 1)]) == [51]
    await client.close()
    assert books.stop() == 0


async def test_used_includes_stream_and_spool(books: Bookkeeping, redis: RedisClient) -> None:
    """What was added just before the question is in the answer, whichever way it took."""
    books.start()
    client = LedgerClient(ledger_socket(books.data_dir), timeout=15)
    await client.used([])
    spool = Spool(books.data_dir / "spool", "w1")
    for number in range(10):
        await add(redis, f"a{number}")
        spool.append([encode_event([row(f"b{number}")])])
        await spool.flush()
        assert await client.used([("team", "research", "tokens", START, START + 1)]) == [30 * (number + 1)]
    spool.close()
    await client.close()


# ---- beside its gateway ----------------------------------------------------------------------------------------------


def state(gateway: GatewayProcess) -> Path:
    return gateway.directory / "state"


def on_store(gateway: GatewayProcess, work: Callable[[RedisClient], Any]) -> Any:
    """Run something on the gateway's own server."""

    async def run() -> Any:
        client = connect(f"unix://{state(gateway)}/redis/server.sock", PATIENT)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


def loaded(pid: int) -> str:
    """The files that a process has mapped."""
    return Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.slow
@pytest.mark.xdist_group("supervisor")
class TestBesideAGateway:
    def test_workers_never_load_sql(self, tmp_path: Path) -> None:
        """SQLAlchemy is mapped by the bookkeeper alone; the parent and the workers stay small."""
        with GatewayProcess(CONFIG.replace("NAME", "small"), tmp_path, workers=2) as gateway:
            until((state(gateway) / "ledger.sock").exists, "a bookkeeper that listens")
            assert chat(gateway).status == 200
            keeper = bookkeeper_of(gateway)
            assert keeper is not None
            assert gateway.pid is not None
            assert "sqlalchemy" in loaded(keeper)
            for pid in (gateway.pid, *workers_of(gateway)):
                for name in ("sqlalchemy", "psycopg", "genai_prices"):
                    assert name not in loaded(pid)

    def test_a_killed_bookkeeper_is_replaced(self, tmp_path: Path) -> None:
        """SIGKILL: no request notices, and the next one books what came meanwhile."""
        with GatewayProcess(CONFIG.replace("NAME", "replaced"), tmp_path) as gateway:
            until((state(gateway) / "ledger.sock").exists, "a bookkeeper that listens")
            victim = bookkeeper_of(gateway)
            assert victim is not None
            os.kill(victim, signal.SIGKILL)
            on_store(gateway, lambda redis: add(redis, "meanwhile"))
            assert chat(gateway).status == 200
            until(lambda: bookkeeper_of(gateway) not in (None, victim), "another one")
            until(lambda: "meanwhile" in calls(state(gateway) / "gateway.db"), "the row")
            assert "bookkeeper_died" in gateway.stderr()

    def test_it_ends_after_the_workers_and_before_the_store(self, tmp_path: Path) -> None:
        """SIGTERM: while a worker drains the bookkeeper lives; what came last is booked before the store goes."""
        from tests.support.app import Client  # noqa: PLC0415 - one test's

        env = {"GATEWAY_DRAIN_SECONDS": "1"}
        with GatewayProcess(CONFIG.replace("NAME", "order"), tmp_path, env=env) as gateway:
            until((state(gateway) / "ledger.sock").exists, "a bookkeeper that listens")
            keeper, store, (worker,) = bookkeeper_of(gateway), server_of(gateway), workers_of(gateway)
            assert keeper is not None
            assert store is not None
            assert gateway.pid is not None
            with Client(int(gateway.base_url.rpartition(":")[2])) as client:
                body = {"messages": [{"role": "user", "content": "hi"}], "stream": True}
                key = [("authorization", "Bearer supervisor-test-secret-0123456789abcdef")]
                client.post("/v1/chat/completions", {"model": "any/mock-fault/stall-after-1", **body}, key)
                assert client.head().status == 200
                os.kill(keeper, signal.SIGSTOP)
                os.kill(gateway.pid, signal.SIGTERM)
                until(lambda: not alive(worker), "the worker's end")
                on_store(gateway, lambda redis: add(redis, "last"))
                assert alive(keeper)
                assert alive(store)
                os.kill(keeper, signal.SIGCONT)
            until(lambda: not alive(gateway.pid or 0), "the end")
            assert gateway.stop() == 0
            assert not alive(keeper)
            assert not alive(store)
            assert "last" in calls(state(gateway) / "gateway.db")

    def test_a_database_of_a_newer_version_ends_everything(self, tmp_path: Path) -> None:
        """What no restart can mend is told, and the gateway ends with an exit code that says so."""
        with GatewayProcess(CONFIG.replace("NAME", "newer"), tmp_path) as gateway:
            until((state(gateway) / "ledger.sock").exists, "a migrated database")
            gateway.stop()
            with closing(sqlite3.connect(state(gateway) / "gateway.db")) as database, database:
                database.execute("UPDATE alembic_version SET version_num = 'f00d'")
            with suppress(AssertionError):  # it may have ended before it was asked whether it is ready
                gateway.start()
            until(lambda: not alive(gateway.pid or 0), "the end")
            assert gateway.stop() == 4
            assert "f00d" in gateway.stderr()
            assert gateway.stderr().count("books_cannot_be_kept") == 1

    def test_a_database_that_is_away_ends_nothing(self, tmp_path: Path) -> None:
        """Nobody listens at DATABASE_URL: requests are served, the bookkeeper tries again, SIGTERM still works."""
        env = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
        with GatewayProcess(CONFIG.replace("NAME", "away"), tmp_path, env=env) as gateway:
            until(lambda: "database_away" in gateway.stderr(), "word of it")
            assert chat(gateway).status == 200
            assert "bookkeeper_died" not in gateway.stderr()
            assert gateway.stop() == 0


async def test_the_store_may_be_away_at_the_start(books: Bookkeeping, server: EmbeddedRedis) -> None:
    """A bookkeeper that finds no Redis ingests the spool, answers for it, and uses Redis once it is there."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    spool = Spool(books.data_dir / "spool", "w1")
    spool.append([encode_event([row("spooled")])])
    spool.close()
    books.start()
    client = LedgerClient(ledger_socket(books.data_dir), timeout=15)
    try:
        await eventually(lambda: calls(books.database) == ["spooled"], "the spool's row")
        need = ("key", "ci", "requests", START, START + 1, 2, 1)
        assert await client.hold("a", [need]) == -1
        assert await client.hold("b", [need]) == 0
    finally:
        os.kill(server.pid, signal.SIGCONT)
        await client.close()
    redis = connect(server.url, PATIENT)
    with suppress(StoreUnavailable):
        await add(redis, "streamed")
    await eventually(lambda: "streamed" in calls(books.database), "the stream's row")
    await redis.close()
