"""The ledger's statements, written once per database: they run for every batch, so nothing is compiled again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import BigInteger, Boolean, Float, Integer, SmallInteger

from gateway.storage.sql import tables
from gateway.storage.sql.tables import COUNTS, LATENCY, TTFT, series, usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Table

    from gateway.usage.rollup import Cell, Counters

ROLLUPS = {
    table.name: table
    for table in (
        tables.usage_hour,
        tables.usage_day,
        tables.usage_month,
        tables.usage_owner_day,
        tables.usage_user_day,
        tables.usage_user_month,
        tables.usage_total_hour,
    )
}
COUNTERS = (*COUNTS, *LATENCY, *TTFT)
_USAGE = tuple(usage.columns.keys())
_SERIES = tuple(series.columns.keys())

# ---- SQLite: one statement, many times ---------------------------------------------------------------------------


def _sql(*parts: str) -> str:
    """A statement of our own words and column names; values are always bound."""
    return " ".join(parts)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names)


def _marks(count: int) -> str:
    return _list(["?"] * count)


SQLITE_INSERT = _sql("INSERT INTO usage (", _list(_USAGE), ") VALUES (", _marks(len(_USAGE)), ")")
SQLITE_SERIES = _sql("INSERT OR IGNORE INTO usage_series (", _list(_SERIES), ") VALUES (", _marks(len(_SERIES)), ")")
SQLITE_KNOWN = "SELECT * FROM usage WHERE call_id IN (SELECT value FROM json_each(?))"
SQLITE_DELETE = "DELETE FROM usage WHERE call_id = ? AND attempt = ?"
SQLITE_REPRICE = "UPDATE usage SET cost_nano_usd = ?, price_version = ? WHERE call_id = ? AND attempt = ?"
SQLITE_ROLLUP = {
    name: _sql(
        *("INSERT INTO", name, "(start, series,", _list(COUNTERS), ") VALUES (", _marks(len(COUNTERS) + 2), ")"),
        *("ON CONFLICT (start, series) DO UPDATE SET", _list(f"{c} = {c} + excluded.{c}" for c in COUNTERS)),
    )
    for name in ROLLUPS
}

# ---- PostgreSQL: one statement for the whole batch, which travels as JSON ----------------------------------------


def _from_json(table: Table) -> str:
    """The batch as a table, its columns with their types."""
    columns = _list(f"{column.name} {_type(column.type)}" for column in table.columns)
    return f"FROM json_to_recordset(%s::json) AS t({columns})"


def _type(kind: object) -> str:
    names = ((SmallInteger, "smallint"), (BigInteger, "bigint"), (Integer, "integer"), (Boolean, "boolean"))
    return next((name for of, name in names if isinstance(kind, of)), "float8" if isinstance(kind, Float) else "text")


PG_INSERT = _sql(
    *("INSERT INTO usage (", _list(_USAGE), ") SELECT", _list(_USAGE), _from_json(usage)),
    "ON CONFLICT DO NOTHING RETURNING call_id, attempt",
)
PG_SERIES = _sql(
    *("INSERT INTO usage_series (", _list(_SERIES), ") SELECT", _list(_SERIES), _from_json(series)),
    "ON CONFLICT DO NOTHING",
)
PG_KNOWN = "SELECT * FROM usage WHERE call_id = %s AND attempt = %s AND started_at = %s FOR UPDATE"
PG_DELETE = "DELETE FROM usage WHERE call_id = %s AND attempt = %s AND started_at = %s"
PG_REPRICE = _sql(
    *("UPDATE usage SET cost_nano_usd = t.cost_nano_usd, price_version = t.price_version", _from_json(usage)),
    "WHERE usage.call_id = t.call_id AND usage.attempt = t.attempt AND usage.started_at = t.started_at",
)
PG_ROLLUP = {
    name: _sql(
        *("INSERT INTO", name, "(start, series,", _list(COUNTERS), ") SELECT start, series,"),
        *(_list(f"coalesce({c}, 0)" for c in COUNTERS), _from_json(table)),
        *("ON CONFLICT (start, series) DO UPDATE SET", _list(f"{c} = {name}.{c} + excluded.{c}" for c in COUNTERS)),
    )
    for name, table in ROLLUPS.items()
}


def usage_json(rows: Sequence[tuple[object, ...]]) -> str:
    """Rows of `usage`, as values in the order of its columns."""
    return msgspec.json.encode([dict(zip(_USAGE, row, strict=True)) for row in rows]).decode()


def series_json(rows: Sequence[tuple[object, ...]]) -> str:
    """Rows of `usage_series`."""
    return msgspec.json.encode([dict(zip(_SERIES, row, strict=True)) for row in rows]).decode()


def rollup_json(cells: Mapping[Cell, Counters]) -> str:
    """Cells in one order for everybody, so that two batches never wait for each other; zeros are left out."""
    found = []
    for cell in sorted(cells):
        record = {"start": cell.start, "series": cell.series}
        record.update((name, count) for name, count in zip(COUNTERS, cells[cell], strict=True) if count)
        found.append(record)
    return msgspec.json.encode(found).decode()
