"""Databases with the ledger's tables, rows to put there, and what the rollups should then say."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select, text

from gateway.storage.sql import partitions
from gateway.storage.sql.database import Database
from gateway.storage.sql.migrate import migrate
from gateway.storage.sql.tables import series, usage
from gateway.types import LedgerRow, LedgerState, TokenSource
from gateway.usage.histogram import BOUNDS
from gateway.usage.ledger_rows import loaded
from gateway.usage.ledger_sql import COUNTERS, ROLLUPS
from gateway.usage.rollup import DAY, HOUR

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from tests.support.postgres import Postgres

START = 1_793_494_800_000_000
"""2026-11-01T01:00:00Z in microseconds."""
SECOND = 1_000_000
_numbers = itertools.count(1)


def row(**changes: Any) -> LedgerRow:
    """An attempt that was settled, with an id of its own."""
    base = LedgerRow(
        call_id=f"call-{next(_numbers)}",
        attempt=1,
        request_id="req",
        state=LedgerState.SETTLED,
        started_at=START,
        key="ci",
        team="research",
        user_hash=None,
        route="chat",
        service="chat",
        requested_model="fast",
        provider="openai",
        deployment="openai/gpt-4o",
        model="gpt-4o",
        stream=False,
        status=200,
        reason="ok",
        input_tokens=10,
        output_tokens=5,
        token_source=TokenSource.PROVIDER,
        cost_nano_usd=1000,
        price_version="v1",
        ttft_ms=120.0,
        duration_ms=900.0,
        config_revision="r1",
        provider_type="openai",
    )
    return msgspec.structs.replace(base, **changes)


@lru_cache(maxsize=1)
def _template() -> Path:
    path = Path(tempfile.mkdtemp(prefix="gw-db-")) / "template.db"
    migrate(path)
    return path


def sqlite_file(directory: Path) -> str:
    """A migrated SQLite file of one's own; its URL."""
    path = directory / "gateway.db"
    shutil.copy(_template(), path)
    return f"sqlite:///{path}"


def postgres_database(server: Postgres) -> str:
    """A migrated PostgreSQL database of one's own; its URL."""
    return server.copy(migrate)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """A pool that is closed at the end."""
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


async def clear_administration(database: Database) -> None:
    """Take out what those who administer left: their log, themselves, what the vault keeps."""
    tables = ("admin_sessions", "admin_tokens", "admin_users", "audit_log", "audit_head", "vault_secrets")
    async with database.begin() as connection:
        for table in tables:
            await connection.execute(text(f"DELETE FROM {table}"))
        first = "INSERT INTO audit_head (id, seq, hash, keyed, seal) VALUES (1, 0, '', 0, '')"
        await connection.execute(text(first))


async def emptied(database: Database) -> None:
    """Take every row out."""
    async with database.begin() as connection:
        for table in ("usage", "usage_series", *ROLLUPS):
            await connection.execute(text(f"DELETE FROM {table}"))


async def stored(database: Database) -> dict[tuple[str, int], LedgerRow]:
    """Every row of `usage`."""
    async with database.connect() as connection:
        rows = [loaded(found) for found in (await connection.execute(select(usage)))]
    return {(found.call_id, found.attempt): found for found in rows}


Sums = dict[tuple[Any, ...], dict[str, int]]


async def rollups(database: Database) -> dict[str, Sums]:
    """Every cell that is not all zeros, by its start and what its series stands for; its counters that are not zero."""
    found: dict[str, Sums] = {}
    async with database.connect() as connection:
        for name, table in ROLLUPS.items():
            # The totals belong to no series.
            query = select(table.c.start, *series.c[1:], *(table.c[count] for count in COUNTERS)).join_from(
                table, series, series.c.id == table.c.series, isouter=name == "usage_total_hour"
            )
            width = len(series.c)
            cells = {
                tuple(values[:width]): {
                    count: value for count, value in zip(COUNTERS, values[width:], strict=True) if value
                }
                for values in await connection.execute(query)
            }
            found[name] = {cell: counts for cell, counts in cells.items() if counts}
    return found


def expected(rows: Iterable[LedgerRow]) -> dict[str, Sums]:
    """What the rollups have to say about these rows, added up the plain way."""
    found: dict[str, dict[tuple[Any, ...], Counter[str]]] = {name: {} for name in ROLLUPS}
    for one in rows:
        what = (one.route, one.service, one.requested_model, one.provider, one.deployment, one.model)
        day, month = one.started_at // DAY * DAY, partitions.month_of(one.started_at).start_us
        places: list[tuple[str, int, str | None]] = [
            ("usage_hour", one.started_at // HOUR * HOUR, None),
            ("usage_day", day, None),
            ("usage_month", month, None),
        ]
        if one.user_hash is not None:
            places += [("usage_user_day", day, one.user_hash), ("usage_user_month", month, one.user_hash)]
        for table, start, user in places:
            cell = (start, one.key, one.team, user, *what)
            found[table].setdefault(cell, Counter()).update(counted(one))
        owner = (day, one.key, one.team, None, *[""] * 6)
        found["usage_owner_day"].setdefault(owner, Counter()).update(counted(one))
        total = (one.started_at // HOUR * HOUR, *[None] * 9)
        found["usage_total_hour"].setdefault(total, Counter()).update(counted(one))
    return {
        table: {cell: {n: c for n, c in counts.items() if c} for cell, counts in cells.items()}
        for table, cells in found.items()
    }


def counted(one: LedgerRow) -> dict[str, int]:
    """What one row counts for."""
    charged = one.state != LedgerState.RELEASED
    found = {"attempts": 1, "errors": int(one.reason != "ok")}
    if not charged:
        return {**found, "released_nano_usd": one.cost_nano_usd or 0}
    found |= {"requests": 1, "cost_nano_usd": one.cost_nano_usd or 0, "unpriced": int(one.cost_nano_usd is None)}
    found |= {name: getattr(one, name) for name in COUNTERS if name.endswith("_tokens")}
    if one.state == LedgerState.ABANDONED:
        return {**found, "abandoned": 1}
    found[f"l{sum(bound < one.duration_ms for bound in BOUNDS)}"] = 1
    if one.ttft_ms is not None:
        found[f"t{sum(bound < one.ttft_ms for bound in BOUNDS)}"] = 1
    return found


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory for one example of a property test."""
    with tempfile.TemporaryDirectory(prefix="gw-db-") as directory:
        yield Path(directory)
