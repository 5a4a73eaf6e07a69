"""One pool of connections, and transactions on it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.storage.sql.errors import DatabaseUnavailable, cause_of, is_away
from gateway.storage.sql.urls import parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import URL, Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

POOL = 4
"""Connections at once: the bookkeeper's writer, its readers, and one to spare."""
POOL_WAIT = 10.0
CONNECT_WAIT = 5
BUSY_WAIT = 10.0
"""Seconds that SQLite waits for another process's write to end."""
STATEMENT_MS = 30_000
LOCK_MS = 10_000
IDLE_MS = 60_000
_WRITES = "gateway_writes"


class Database:
    """Connections to SQLite (WAL) or PostgreSQL. Every failure that means "away" is a DatabaseUnavailable; no wait for
    a server is without end.

    `url` is `postgresql://…`, `sqlite:///…`, or the path of a SQLite file. Raises OperatorError for anything else.
    Nothing is opened before the first use.
    """

    def __init__(self, url: str | Path, *, echo: bool = False) -> None:
        parsed = parse(url, asynchronous=True)
        self.is_postgres = parsed.get_backend_name() == "postgresql"
        self._engine = _engine(parsed, echo=echo)

    def __repr__(self) -> str:
        return f"<Database {'postgresql' if self.is_postgres else 'sqlite'}>"

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that may write: committed at the end, rolled back by any exception. On SQLite it holds the
        write lock from its start. Raises DatabaseUnavailable."""
        async with _mapped(), self._engine.connect() as connection:
            await connection.execution_options(**{_WRITES: True})
            async with connection.begin():
                yield connection

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading: one snapshot on SQLite, rolled back at the end. Raises DatabaseUnavailable."""
        async with _mapped(), self._engine.connect() as connection:
            yield connection

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


@asynccontextmanager
async def _mapped() -> AsyncIterator[None]:
    try:
        yield
    except DatabaseUnavailable:
        raise
    except Exception as error:  # only those that say "away" are mapped; the rest goes on
        if is_away(error):
            raise DatabaseUnavailable(cause_of(error)) from error
        raise


def _engine(url: URL, *, echo: bool) -> AsyncEngine:
    options: dict[str, Any] = {
        "echo": echo,
        "hide_parameters": True,
        "pool_size": POOL,
        "max_overflow": 0,
        "pool_timeout": POOL_WAIT,
    }
    if url.get_backend_name() == "postgresql":
        settings = {
            "statement_timeout": STATEMENT_MS,
            "lock_timeout": LOCK_MS,
            "idle_in_transaction_session_timeout": IDLE_MS,
            "timezone": "UTC",
            "jit": "off",  # our statements are short, or wide: compiling them takes longer than running them
        }
        arguments: dict[str, Any] = {"connect_timeout": CONNECT_WAIT, "application_name": "llm-gateway"}
        if "options" not in url.query:
            arguments["options"] = " ".join(f"-c {name}={value}" for name, value in settings.items())
        from gateway.storage.sql.sessions import Session  # noqa: PLC0415 - imports psycopg, which SQLite does without

        arguments["async_creator_fn"] = Session.connect
        # An idle connection may have died with its server: asking first costs less than a failed batch.
        return create_async_engine(url, connect_args=arguments, pool_pre_ping=True, pool_recycle=1800, **options)
    engine = create_async_engine(url, connect_args={"timeout": BUSY_WAIT}, **options)
    event.listen(engine.sync_engine, "connect", prepare_sqlite)
    event.listen(engine.sync_engine, "begin", begin_sqlite)
    return engine


def prepare_sqlite(connection: Any, _record: Any) -> None:
    """Set up a new SQLite connection: we begin transactions ourselves, readers never wait for the writer."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={int(BUSY_WAIT * 1000)}",
        "journal_mode=WAL",
        "synchronous=FULL",  # what is acknowledged survives a power cut: one fsync a batch
        "foreign_keys=ON",
        "cache_size=-16384",
        "wal_autocheckpoint=8000",  # pages: the hot ones of indexes are copied into the file once, not for every batch
        "temp_store=MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once where it will be needed: a reader that becomes a writer may fail as `busy`."""
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
