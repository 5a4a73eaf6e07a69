"""Connections: how they are set up, and which failures mean that the database is away."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from gateway.errors import OperatorError
from gateway.settings import Settings
from gateway.storage.sql import sessions
from gateway.storage.sql.database import Database
from gateway.storage.sql.errors import DatabaseUnavailable, cause_of, is_away, is_bad_row, is_conflict
from gateway.storage.sql.urls import database_url, parse
from tests.support.ledger import opened

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncConnection

    from tests.support.postgres import Postgres


async def run(database: Database, *statements: str) -> None:
    """Statements in one transaction."""
    async with database.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def test_sqlite_setup(tmp_path: Path) -> None:
    """SQLite runs in WAL mode, waits for locks, keeps foreign keys, and writes through on commit."""
    async with opened(str(tmp_path / "a.db")) as database, database.connect() as connection:
        found = {
            name: (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        }
    assert found == {"journal_mode": "wal", "busy_timeout": 10_000, "foreign_keys": 1, "synchronous": 2}
    assert repr(database) == "<Database sqlite>"


async def test_postgres_setup(postgres: Postgres) -> None:
    """On PostgreSQL no statement, lock or idle transaction lasts for ever."""
    async with opened(postgres.create()) as database, database.connect() as connection:
        found = [
            (await connection.execute(text(f"SHOW {name}"))).scalar_one()
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone")
        ]
    assert found == ["30s", "10s", "1min", "UTC"]


async def test_rolls_back(tmp_path: Path, postgres: Postgres) -> None:
    """What fails inside `begin` leaves nothing behind."""
    for url in (str(tmp_path / "a.db"), postgres.create()):
        async with opened(url) as database:
            async with database.begin() as connection:
                await connection.execute(text("CREATE TABLE t (n integer PRIMARY KEY)"))
            with pytest.raises(IntegrityError) as raised:
                await run(database, "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)")
            assert is_bad_row(raised.value)
            async with database.connect() as connection:
                assert (await connection.execute(text("SELECT count(*) FROM t"))).scalar_one() == 0


async def test_slow_statement(postgres: Postgres) -> None:
    """A statement that PostgreSQL gives up on means the database is away."""
    async with opened(postgres.create()) as database:
        with pytest.raises(DatabaseUnavailable, match="QueryCanceled"):
            await run(database, "SET LOCAL statement_timeout = '20ms'", "SELECT pg_sleep(5)")


async def test_what_is_said_of_trouble(postgres: Postgres) -> None:
    """The reason is told, also of what was sorted already, and no value of a row."""
    async with opened(postgres.create()) as database:
        with pytest.raises(DatabaseUnavailable) as away:
            await run(database, "SET LOCAL transaction_read_only = on", "CREATE TABLE t ()")
        with pytest.raises(DBAPIError) as wrong:
            await run(database, "SELECT 'secret'::integer")
    assert cause_of(away.value) == "ReadOnlySqlTransaction (25006)"
    assert cause_of(wrong.value) == "InvalidTextRepresentation (22P02)"


async def test_no_server() -> None:
    """A server that nobody runs is away; the error names no password."""
    async with opened("postgresql://u:secret@127.0.0.1:1/none") as database:
        with pytest.raises(DatabaseUnavailable) as raised:
            async with database.connect():
                pass
    assert "secret" not in str(raised.value)


async def test_killed_connection(postgres: Postgres) -> None:
    """A session that the server ends is away; the next transaction gets another."""
    async with opened(postgres.create()) as database:
        with pytest.raises(DatabaseUnavailable):
            await run(database, "SELECT pg_terminate_backend(pg_backend_pid())", "SELECT 1")
        async with database.begin() as connection:
            assert (await connection.execute(text("SELECT 1"))).scalar_one() == 1


async def test_silent_server(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is there and says nothing is away after a while, also for sessions that lay idle; the next
    transactions get others."""
    monkeypatch.setattr(sessions, "SILENCE_SECONDS", 0.3)
    async with opened(postgres.create()) as database, asyncio.timeout(30):
        stopped: list[int] = []
        try:
            async with database.begin() as idle:
                stopped.append(await _backend(idle))
                stopped.append(await _silenced(database))
            os.kill(stopped[0], signal.SIGSTOP)
            async with database.begin() as connection:
                assert await _backend(connection) not in stopped
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)


async def _silenced(database: Database) -> int:
    """Stop the process that serves a session in the middle of it, and see that it is away; the process."""
    async with database.connect() as connection:
        pid = await _backend(connection)
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(DBAPIError) as raised:
            await connection.execute(text("SELECT 1"))
    assert is_away(raised.value)
    return pid


async def _backend(connection: AsyncConnection) -> int:
    """The process that serves this session."""
    return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())


async def test_broken_file(tmp_path: Path) -> None:
    """A file that is no database is away; a statement that is wrong is a bug and stays one."""
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"not a database, " * 100)
    async with opened(str(bad)) as database:
        with pytest.raises(DatabaseUnavailable):
            async with database.begin() as connection:
                await connection.execute(text("SELECT * FROM sqlite_master"))
    async with opened(str(tmp_path / "good.db")) as database:
        with pytest.raises(OperationalError, match="no such table"):
            async with database.connect() as connection:
                await connection.execute(text("SELECT * FROM missing"))


def test_sorting_errors() -> None:
    """Our own errors are neither away nor conflicts."""
    assert not is_away(ValueError())
    assert not is_conflict(ValueError())
    assert not is_bad_row(DatabaseUnavailable())
    assert is_away(TimeoutError())
    assert not is_away(OperationalError("", {}, sqlite3.OperationalError("made by hand")))


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgres://h/d", "postgresql+psycopg"),
        ("postgresql+asyncpg://h/d", "postgresql+psycopg"),
        ("sqlite:///a/b.db", "sqlite+aiosqlite"),
        ("a/b.db", "sqlite+aiosqlite"),
    ],
)
def test_urls(given: str, driver: str) -> None:
    """Every spelling of the two databases leads to the driver we use."""
    assert parse(given, asynchronous=True).drivername == driver


@pytest.mark.parametrize("given", ["mysql://root:secret@h/d", "sqlite://", "sqlite:///:memory:", "http//://secret"])
def test_bad_urls(given: str) -> None:
    """Anything else is the operator's to change; the text holds no credential."""
    with pytest.raises(OperatorError, match="DATABASE_URL") as raised:
        Database(given)
    assert "secret" not in str(raised.value)


def test_default_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without DATABASE_URL the database is a file in the data directory."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert database_url(Settings(data_dir=tmp_path)) == f"sqlite:///{tmp_path}/gateway.db"
    monkeypatch.setenv("DATABASE_URL", "postgresql://h/d")
    assert database_url(Settings(data_dir=tmp_path)) == "postgresql://h/d"
