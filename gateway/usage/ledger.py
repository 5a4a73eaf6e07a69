"""The ledger in SQL: every attempt once, and rollups that never differ from what the rows say."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import ColumnElement, Select, func, select, union_all

from gateway.storage.sql import months, partitions
from gateway.storage.sql.errors import DatabaseUnavailable, is_conflict
from gateway.storage.sql.tables import series, usage
from gateway.types import LedgerState
from gateway.usage import ledger_sql as sql
from gateway.usage.ledger_rows import decided, loaded, values
from gateway.usage.rollup import CHARGED, EVERYONE, EVERYTHING, OWNERS, USERS, Changes, Series, Span, spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Table
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.storage.sql.database import Database
    from gateway.types import LedgerRow
    from gateway.usage.ledger_rows import Key

SCOPES = {
    "key": "key",
    "team": "team",
    "user": "user_hash",
    "model": "requested_model",
    "provider": "provider",
    "deployment": "deployment",
    "global": None,
}
"""The column that holds the members of each scope."""
TRIES = 10
"""Times a batch is tried while others write the same cells."""
_KNOWN_SERIES = 200_000


class Ledger:
    """Writes attempts and adds up what was used. One per process; several processes may write at once."""

    def __init__(self, database: Database, *, fitting: bool = False) -> None:
        """`fitting`: whatever is written was decoded from events, and so fits its columns."""
        self._database = database
        self._fitting = fitting
        self._series = Series()
        self._stored: set[int] = set()
        """Series that are in the database for certain."""
        self._months: set[partitions.Month] = set()

    async def write(self, rows: Sequence[LedgerRow]) -> int:
        """Book a batch in one transaction; the number of rows that were new, or took the place of an `abandoned` one.

        What is booked already, by (call_id, attempt), is passed over, so a batch may come again. A row's `started_at`
        has to be the same each time. Raises DatabaseUnavailable; then the batch may come again as well.
        """
        batch = decided(rows, fitting=self._fitting)
        if not batch:
            return 0
        if self._database.is_postgres:
            batch = dict(sorted(batch.items()))  # in one order for all writers: no two wait for each other
            await self._make_partitions(batch.values())
        for left in reversed(range(TRIES)):
            try:
                return await self._write(batch)
            except DatabaseUnavailable as error:
                if not left or not is_conflict(error):
                    raise
        raise AssertionError

    async def _write(self, batch: dict[Key, LedgerRow]) -> int:
        changes = Changes(self._series)
        async with self._database.begin() as connection:
            writer = _Postgres(connection) if self._database.is_postgres else _Sqlite(connection)
            fresh, known = await writer.insert(batch)
            changes.count(fresh)
            replaced = [(old, new) for old, new in known if old.state == LedgerState.ABANDONED != new.state]
            for old, new in replaced:
                await writer.replace(old, new)
                changes.add(old, -1)
                changes.add(new)
            await apply(connection, changes, self._stored)
        self._remember(changes)
        return len(fresh) + len(replaced)

    def _remember(self, changes: Changes) -> None:
        if len(self._stored) > _KNOWN_SERIES:
            self._stored.clear()
        self._stored.update(changes.dimensions)

    async def _make_partitions(self, rows: Iterable[LedgerRow]) -> None:
        """The months of these rows, where they are not there yet."""
        wanted = {partitions.wanted(row.started_at) for row in rows} - {None} - self._months
        for month in filter(None, wanted):
            await months.make(self._database, month)
            self._months.add(month)

    async def used(self, scope: str, name: str, kind: str, start_us: int, end_us: int) -> int:
        """What a member of a scope was charged from `start_us` up to, not including, `end_us`.

        `kind` is `requests`, `tokens` (input and output) or `cost` (nano-USD; unpriced attempts add nothing). Raises
        DatabaseUnavailable.
        """
        grains = {"key": OWNERS, "team": OWNERS, "user": USERS, "global": EVERYTHING}.get(scope, EVERYONE)
        parts = [_used(span, SCOPES[scope], name, kind) for span in spans(start_us, end_us, grains)]
        if not parts:
            return 0
        # One statement, and so one snapshot: what is taken off is never newer than what it is taken from.
        added = union_all(*parts).subquery("parts")
        async with self._database.connect() as connection:
            return int((await connection.execute(select(func.sum(added.c.amount)))).scalar_one())


def _used(span: Span, column: str | None, name: str, kind: str) -> Select[int]:
    table = sql.ROLLUPS.get(span.table, usage)
    amount = (func.coalesce(func.sum(_amount(table, kind)), 0) * span.sign).label("amount")
    time = table.c.started_at if table is usage else table.c.start
    query = select(amount).where(time >= span.start, time < span.end)
    if table is usage:
        query = query.where(usage.c.state.in_(CHARGED))
        return query if column is None else query.where(usage.c[column] == name)
    if column is None:
        return query
    return query.where(table.c.series.in_(select(series.c.id).where(series.c[column] == name)))


def _amount(table: Table, kind: str) -> ColumnElement[int]:
    if kind == "tokens":
        return table.c.input_tokens + table.c.output_tokens
    if kind == "cost":
        return table.c.cost_nano_usd
    if kind != "requests":
        raise ValueError(kind)
    return func.length(usage.c.call_id) * 0 + 1 if table is usage else table.c.requests


class _Sqlite:
    """One writer at a time: what is not there when we look is not there when we insert."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, batch: Mapping[Key, LedgerRow]) -> tuple[list[LedgerRow], list[tuple[LedgerRow, LedgerRow]]]:
        """The rows that are new, now inserted; and those that were there, with what is there."""
        ids = msgspec.json.encode(list({call_id for call_id, _ in batch})).decode()
        found = await self._connection.exec_driver_sql(sql.SQLITE_KNOWN, (ids,))
        known = {(row.call_id, row.attempt): row for row in map(loaded, found)}
        fresh = [row for key, row in batch.items() if key not in known]
        if fresh:
            await self._connection.exec_driver_sql(sql.SQLITE_INSERT, [values(row) for row in fresh])
        return fresh, [(old, batch[key]) for key, old in known.items() if key in batch]

    async def replace(self, old: LedgerRow, new: LedgerRow) -> None:
        await self._connection.exec_driver_sql(sql.SQLITE_DELETE, (old.call_id, old.attempt))
        await self._connection.exec_driver_sql(sql.SQLITE_INSERT, [values(new)])


class _Postgres:
    """Several writers at once: the unique key decides who inserts."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def insert(self, batch: Mapping[Key, LedgerRow]) -> tuple[list[LedgerRow], list[tuple[LedgerRow, LedgerRow]]]:
        """As the other's."""
        payload = sql.usage_json([values(row) for row in batch.values()])
        done = await self._connection.exec_driver_sql(sql.PG_INSERT, (payload,))
        inserted = {tuple(row) for row in done}
        fresh, known = [], []
        for key, row in batch.items():
            if key in inserted:
                fresh.append(row)
            # What was booked for good stays: only what the reaper booked, or books now, needs a look.
            elif row.state != LedgerState.ABANDONED:
                found = await self._connection.exec_driver_sql(sql.PG_KNOWN, (*key, row.started_at))
                known += [(loaded(old), row) for old in found]
        return fresh, known

    async def replace(self, old: LedgerRow, new: LedgerRow) -> None:
        await self._connection.exec_driver_sql(sql.PG_DELETE, (old.call_id, old.attempt, old.started_at))
        await self._connection.exec_driver_sql(sql.PG_INSERT, (sql.usage_json([values(new)]),))


async def apply(connection: AsyncConnection, changes: Changes, stored: set[int]) -> None:
    """Add to the rollups, in the transaction that changed the rows. `stored` are series known to be there."""
    postgres = connection.dialect.name == "postgresql"
    new = [(found, *changes.dimensions[found]) for found in sorted(changes.dimensions.keys() - stored)]
    if new and postgres:
        await connection.exec_driver_sql(sql.PG_SERIES, (sql.series_json(new),))
    elif new:
        await connection.exec_driver_sql(sql.SQLITE_SERIES, new)
    for table, cells in changes.tables().items():
        if not cells:
            continue
        if postgres:
            await connection.exec_driver_sql(sql.PG_ROLLUP[table], (sql.rollup_json(cells),))
        else:
            rows = [(*cell, *counters) for cell, counters in sorted(cells.items())]
            await connection.exec_driver_sql(sql.SQLITE_ROLLUP[table], rows)


def batches(rows: Iterable[LedgerRow], size: int = 500) -> Iterable[list[LedgerRow]]:
    """Rows in batches of a good size for `write`."""
    iterator = iter(rows)
    while batch := list(islice(iterator, size)):
        yield batch
