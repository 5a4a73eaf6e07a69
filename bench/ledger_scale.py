"""How long reports take over a large ledger: fills PostgreSQL with N attempts of one month and times every report.

    python -m bench.ledger_scale --rows 10000000

Starts a PostgreSQL of its own in a temporary directory unless `--url` names an empty database. Rows and rollups are
made by the server; the rollups by the statements that the tests hold to be the same as the ledger's own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import text

from gateway.storage.sql import partitions
from gateway.storage.sql.database import Database
from gateway.storage.sql.migrate import migrate
from gateway.usage.ledger import Ledger
from gateway.usage.ledger_sql import COUNTERS, ROLLUPS
from gateway.usage.reports import Selection, attempts, counted, report
from gateway.usage.rollup import DAY, HOUR
from tests.support.postgres import server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

KEYS, TEAMS, MODELS = 10_000, 1_000, 30
CHUNK = 1_000_000
MONTH = partitions.this_month().plus(-1)
START, END = MONTH.start_us, MONTH.plus(1).start_us
TIMES = 3

_ROWS = """
INSERT INTO usage
SELECT 'bench-' || lpad(to_hex(i), 12, '0'), 1, 'req-' || i, CASE WHEN r1 < 0.96 THEN 'settled' WHEN r1 < 0.99
  THEN 'released' ELSE 'abandoned' END, %(start)s + (i::float8 / %(total)s * %(length)s)::bigint, 'key-' || k,
  'team-' || k %% %(teams)s, CASE WHEN k %% 2 = 0 THEN md5('u' || k || '-' || (r2 * 3)::int) END,
  'route-' || m %% 7, 'chat', 'model-' || m, 'provider-' || m %% 5, 'provider-' || m %% 5 || '/model-' || m,
  'model-' || m, r2 < 0.5, 200, CASE WHEN r1 < 0.96 THEN 'ok' ELSE 'stall' END, (r3 * 4000)::int, (r4 * 800)::int,
  (r3 * 1000)::int, 0, (r4 * 100)::int, 0, 0, 0, 'provider', CASE WHEN m = 29 THEN NULL ELSE (r4 * 1e7)::bigint END,
  'bench', 80 * exp(3 * r3), 300 * exp(5 * r4), 'r1', 'openai'
FROM (SELECT i, r1, r2, r3, r4, k, (k + (r2 * r2 * 3)::int) %% %(models)s AS m FROM
  (SELECT i, random() AS r1, random() AS r2, random() AS r3, random() AS r4,
          (random() * random() * %(keys)s)::int AS k
   FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS i) AS dice) AS drawn
"""
_DIMENSIONS = "key, team, {user} AS user_hash, route, service, requested_model, provider, deployment, model"
_ID = (
    "hashtextextended(concat_ws('/', key, team, {user}, route, service, requested_model, provider, deployment, model),"
    " 0) & 9223372036854775807"
)
_MONTH = "(extract(epoch FROM date_trunc('month', to_timestamp(start / 1000000), 'UTC')) * 1000000)::bigint"


def say(words: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {words}\n")


def fill(url: str, rows: int) -> None:
    """Rows, then series, then rollups."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET work_mem = '256MB'")
        connection.execute("SET jit = off")
        for first in range(1, rows + 1, CHUNK):
            last = min(rows, first + CHUNK - 1)
            values = {"start": START, "total": rows, "length": END - START - 1, "first": first, "last": last}
            connection.execute(_ROWS, {**values, "teams": TEAMS, "models": MODELS, "keys": KEYS})
            say(f"{last} rows")
        _roll_up(connection, "NULL::text", ("usage_hour", "usage_day", "usage_month"))
        _owner_days(connection)
        _roll_up(connection, "user_hash", ("usage_user_day", "usage_user_month"))
        connection.execute("VACUUM (ANALYZE)")
        say("rolled up")


def _roll_up(connection: psycopg.Connection[Any], user: str, tables: tuple[str, ...]) -> None:
    dimensions, identity = _DIMENSIONS.format(user=user), _ID.format(user=user)
    only = "WHERE user_hash IS NOT NULL" if user == "user_hash" else ""
    run = connection.execute
    run(
        f"INSERT INTO usage_series SELECT DISTINCT {identity}, {dimensions} FROM usage {only} "
        "ON CONFLICT DO NOTHING".encode()
    )
    size = HOUR if "usage_hour" in tables else DAY
    sums = ", ".join(f"sum({value.compile(compile_kwargs={'literal_binds': True})})" for value in counted())
    names = ", ".join(COUNTERS)
    run(
        f"INSERT INTO {tables[0]} (start, series, {names}) SELECT started_at / {size} * {size}, {identity}, {sums} "
        f"FROM usage {only} GROUP BY 1, 2".encode()
    )
    added = ", ".join(f"sum({name})" for name in COUNTERS)
    if "usage_hour" in tables:
        total = (
            f"INSERT INTO usage_total_hour (start, series, {names}) SELECT start, 0, {added} FROM usage_hour GROUP BY 1"
        )
        run(total.encode())
    cells = {"day": f"start / {DAY} * {DAY}", "month": _MONTH}
    for table in tables[1:]:
        start = cells[table.rpartition("_")[2]]
        run(
            f"INSERT INTO {table} (start, series, {names}) SELECT {start}, series, {added} "
            f"FROM {tables[0]} GROUP BY 1, 2".encode()
        )
    say(f"{', '.join(tables)} done")


def _owner_days(connection: psycopg.Connection[Any]) -> None:
    """The days of keys and teams."""
    identity = "hashtextextended(concat_ws('/', 'owner', key, team), 0) & 9223372036854775807"
    connection.execute(
        f"INSERT INTO usage_series SELECT DISTINCT {identity}, key, team, NULL, '', '', '', '', '', '' "
        "FROM usage_series ON CONFLICT DO NOTHING".encode()
    )
    names, added = ", ".join(COUNTERS), ", ".join(f"sum({name})" for name in COUNTERS)
    connection.execute(
        f"INSERT INTO usage_owner_day (start, series, {names}) SELECT start, {identity}, {added} "
        "FROM usage_day JOIN usage_series ON id = series GROUP BY 1, 2".encode()
    )
    say("usage_owner_day done")


async def measure(url: str) -> dict[str, Any]:
    """Seconds of every question: the first time, and the median of the next."""
    database = Database(url)
    ledger = Ledger(database)
    month = Selection(START, END)
    model, key, team = ({name: f"{name}-7"} for name in ("model", "key", "team"))
    ragged = Selection(START + DAY // 3 + 12345, END - DAY // 5 - 777)
    questions: dict[str, Callable[[], Awaitable[object]]] = {
        f"by {word}": lambda word=word: report(database, (word,), month)  # type: ignore[misc]
        for word in ("key", "team", "user", "model", "provider", "route", "day", "hour")
    }
    questions |= {
        "by team, model": lambda: report(database, ("team", "model"), month),
        "by team, days cut off": lambda: report(database, ("team",), replace(month, since=START + DAY)),
        "by key, days cut off": lambda: report(database, ("key",), replace(month, since=START + DAY)),
        "by key, hours cut at both ends": lambda: report(database, ("key",), ragged),
        "by day of one team": lambda: report(database, ("day",), replace(month, where=team)),
        "by model of one key": lambda: report(database, ("model",), replace(month, where=key)),
        "by hour of one model": lambda: report(database, ("hour",), replace(month, where=model)),
        "50 newest rows": lambda: _rows(database, Selection(), 50),
        "50 newest rows of one key": lambda: _rows(database, Selection(where={"key": "key-99"}), 50),
        "quota: month of one key": lambda: ledger.used("key", "key-99", "cost", ragged.since, ragged.until),
        "quota: month of one team": lambda: ledger.used("team", "team-7", "tokens", ragged.since, ragged.until),
        "quota: month of one model": lambda: ledger.used("model", "model-3", "cost", ragged.since, ragged.until),
        "quota: month of everyone": lambda: ledger.used("global", "", "requests", ragged.since, ragged.until),
    }
    found: dict[str, Any] = {"tables": await _sizes(database), "seconds": {}}
    for name, ask in questions.items():
        times = []
        for _ in range(TIMES + 1):
            begun = time.perf_counter()
            await ask()
            times.append(time.perf_counter() - begun)
        found["seconds"][name] = {"first": round(times[0], 3), "median": round(statistics.median(times[1:]), 3)}
        say(f"{name}: {found['seconds'][name]}")
    await database.close()
    return found


async def _rows(database: Database, selection: Selection, limit: int) -> int:
    return len([row async for row in attempts(database, selection, limit=limit)])


async def _sizes(database: Database) -> dict[str, int]:
    async with database.connect() as connection:
        names = ("usage", "usage_series", *ROLLUPS)
        return {name: (await connection.execute(text(f"SELECT count(*) FROM {name}"))).scalar_one() for name in names}


@contextlib.contextmanager
def where(url: str | None) -> Iterator[str]:
    """The database: the one that is named, or one of our own."""
    if url is not None:
        yield url
        return
    settings = ("shared_buffers=1GB", "max_wal_size=8GB", "autovacuum=off", "effective_cache_size=4GB")
    with server(*settings) as own:
        yield own.create()


def main() -> int:
    """Fill, measure, print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--url", help="an empty PostgreSQL database")
    options = parser.parse_args()
    with where(options.url) as url:
        migrate(url)
        fill(url, options.rows)
        found = asyncio.run(measure(url))
    sys.stdout.write(json.dumps({"rows": options.rows, **found}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
