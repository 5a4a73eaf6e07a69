"""The ledger: every attempt once, whatever is delivered twice, at once or half."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from gateway.storage.sql import months, partitions
from gateway.storage.sql.errors import DatabaseUnavailable
from gateway.types import LedgerRow, LedgerState
from gateway.usage.ledger import Ledger, batches
from gateway.usage.rollup import DAY, HOUR
from tests.support.ledger import (
    SECOND,
    START,
    emptied,
    expected,
    opened,
    postgres_database,
    rollups,
    row,
    scratch,
    sqlite_file,
    stored,
)
from tests.support.postgres import server

if TYPE_CHECKING:
    from gateway.storage.sql.database import Database
    from tests.support.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent.parent


async def agree(database: Database) -> dict[tuple[str, int], LedgerRow]:
    """The rollups say what the rows say; the rows."""
    rows = await stored(database)
    assert await rollups(database) == expected(rows.values())
    return rows


async def test_writes_and_reads_back(database: Database) -> None:
    """A row comes back as it was written, and is counted in every rollup it belongs to."""
    rows = [
        row(user_hash="u1", cached_input_tokens=3, cache_write_tokens=1, reasoning_tokens=2, units=1.5, stream=True),
        row(team=None, cost_nano_usd=None, price_version=None, ttft_ms=None, audio_input_tokens=4),
        row(state=LedgerState.RELEASED, status=502, reason="upstream_error", cost_nano_usd=7),
        row(state=LedgerState.ABANDONED, audio_output_tokens=4),
    ]
    assert await Ledger(database).write(rows) == 4
    assert await agree(database) == {(r.call_id, r.attempt): r for r in rows}


async def test_empty_batch(database: Database) -> None:
    """Nothing to write is no work."""
    assert await Ledger(database).write([]) == 0


async def test_idempotent(database: Database) -> None:
    """A batch that comes again, whole, in part or within itself, changes nothing."""
    ledger = Ledger(database)
    rows = [row(started_at=START + n * SECOND) for n in range(50)]
    assert await ledger.write([*rows, *rows[:10]]) == 50
    assert await ledger.write(rows) == 0
    assert await Ledger(database).write([*rows[20:], extra := row()]) == 1
    assert (extra.call_id, 1) in await agree(database)


async def test_attempts_are_apart(database: Database) -> None:
    """Two attempts of one call are two rows; a request id that a client repeats merges nothing."""
    first = row(state=LedgerState.RELEASED, request_id="mine")
    rows = [first, msgspec.structs.replace(first, attempt=2, state=LedgerState.SETTLED), row(request_id="mine")]
    assert await Ledger(database).write(rows) == 3
    assert len(await agree(database)) == 3


async def test_abandoned_gives_way(database: Database) -> None:
    """What the reaper booked is replaced by what the worker says later; rollups change by the difference."""
    ledger = Ledger(database)
    late = row(user_hash="u1", output_tokens=50, cost_nano_usd=9000)
    reaped = msgspec.structs.replace(
        late, state=LedgerState.ABANDONED, output_tokens=1, cost_nano_usd=None, reason="worker_crash", user_hash=None
    )
    assert await ledger.write([reaped]) == 1
    assert await ledger.write([late]) == 1
    assert await ledger.write([reaped]) == 0
    assert await ledger.write([late, reaped]) == 0
    assert await agree(database) == {(late.call_id, late.attempt): late}


async def test_settled_stays(database: Database) -> None:
    """A row that is settled or released is never changed by another event."""
    ledger = Ledger(database)
    settled, released = row(), row(state=LedgerState.RELEASED)
    await ledger.write([settled, released])
    others = [
        msgspec.structs.replace(settled, output_tokens=999),
        msgspec.structs.replace(released, state=LedgerState.SETTLED),
    ]
    assert await ledger.write(others) == 0
    assert await agree(database) == {(r.call_id, r.attempt): r for r in (settled, released)}


async def test_values_out_of_range(database: Database) -> None:
    """What a provider or client makes too large, negative or unprintable is cut to fit: one row never stops a batch."""
    bad = row(
        input_tokens=2**80,
        output_tokens=-5,
        cost_nano_usd=2**70,
        requested_model="a\x00b" + "x" * 5000,
        duration_ms=float("nan"),
        ttft_ms=float("inf"),
        status=10**6,
        units=-1.0,
    )
    assert await Ledger(database).write([bad, row()]) == 2
    found = (await agree(database))[bad.call_id, 1]
    assert (found.input_tokens, found.output_tokens, found.cost_nano_usd) == (2**40 - 1, 0, 2**53 - 1)
    assert (found.duration_ms, found.ttft_ms, found.units) == (0.0, 1e12, 0.0)
    assert found.requested_model.startswith("a\ufffdbx")


async def test_concurrent_writers(url: str) -> None:
    """Writers with overlapping batches, each with its own connections, count every attempt once."""
    rows = [
        row(key=f"k{n % 3}", started_at=START + n * SECOND, user_hash=f"u{n % 5}", state=state)
        for n in range(120)
        for state in (LedgerState.ABANDONED if n % 4 == 0 else LedgerState.SETTLED,)
    ]
    rows += [msgspec.structs.replace(r, state=LedgerState.SETTLED) for r in rows[::4]]

    async def write(seed: int) -> int:
        mine = rows.copy()
        random.Random(seed).shuffle(mine)
        async with opened(url) as database:
            ledger = Ledger(database)
            return sum([await ledger.write(batch) for batch in batches(mine, 30)])

    new = await asyncio.gather(*(write(seed) for seed in range(4)))
    assert 120 <= sum(new) <= 150
    async with opened(url) as database:
        found = await agree(database)
    assert len(found) == 120
    assert {r.state for r in found.values()} == {LedgerState.SETTLED}


_CRASH = """
import asyncio, os, signal, sys
from gateway.storage.sql.database import Database
from gateway.usage.ledger import Ledger
import msgspec
from gateway.types import LedgerRow

async def main():
    database = Database(sys.argv[1])
    rows = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[LedgerRow])
    if sys.argv[2] == "before":
        from gateway.usage import ledger
        async def die(*_): os.kill(os.getpid(), signal.SIGKILL)
        ledger.apply = die
    await Ledger(database).write(rows)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.mark.parametrize(("moment", "again"), [("before", 20), ("after", 0)])
async def test_killed_writer(url: str, moment: str, again: int) -> None:
    """A writer killed inside its transaction leaves nothing, one killed before its acknowledgement everything; the
    delivery that follows makes both whole."""
    rows = [row(user_hash="u1") for _ in range(20)]
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _CRASH, url, moment],
        input=msgspec.msgpack.encode(rows),
        cwd=ROOT,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == -signal.SIGKILL
    async with opened(url) as database:
        assert await Ledger(database).write(rows) == again
        assert len(await agree(database)) == 20


_STATES = st.sampled_from(LedgerState)
_ROWS = st.builds(
    lambda call, attempt, state, hour, counts, who, ms, cost: row(
        call_id=f"c{call}",
        attempt=attempt,
        # Fixed by the call, as in real life.
        started_at=START + call * 7 * HOUR + attempt * SECOND,
        state=state,
        key=f"k{who % 3}",
        team=None if who % 2 else "t",
        user_hash=f"u{who}" if who > 2 else None,
        reason="ok" if hour else "stall",
        input_tokens=counts,
        output_tokens=counts // 3,
        reasoning_tokens=counts % 7,
        cost_nano_usd=cost,
        duration_ms=ms,
        ttft_ms=ms / 2 if who else None,
    ),
    *(st.integers(0, 6), st.integers(1, 2), _STATES, st.integers(0, 1), st.integers(0, 10**6), st.integers(0, 4)),
    *(st.floats(0, 10**6), st.none() | st.integers(0, 10**12)),
)


async def _exercise(database: Database, deliveries: list[list[LedgerRow]]) -> None:
    truth: dict[tuple[str, int], LedgerRow] = {}
    ledger = Ledger(database)
    for batch in deliveries:
        await ledger.write(batch)
        for one in batch:
            old = truth.get((one.call_id, one.attempt))
            if old is None or (old.state == LedgerState.ABANDONED and one.state != LedgerState.ABANDONED):
                truth[one.call_id, one.attempt] = one
    assert await agree(database) == truth


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(_ROWS, max_size=6), max_size=6))
def test_rollups_follow_rows_on_sqlite(deliveries: list[list[LedgerRow]]) -> None:
    """Whatever is delivered in whatever order, the first final event of an attempt stands, and rollups equal rows."""

    async def run() -> None:
        with scratch() as directory:
            async with opened(sqlite_file(directory)) as database:
                await _exercise(database, deliveries)

    asyncio.run(run())


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deliveries=st.lists(st.lists(_ROWS, max_size=6), max_size=6))
def test_rollups_follow_rows_on_postgres(postgres: Postgres, deliveries: list[list[LedgerRow]]) -> None:
    """The same on PostgreSQL."""
    url = getattr(postgres, "property_url", None) or postgres_database(postgres)
    postgres.property_url = url  # type: ignore[attr-defined]

    async def run() -> None:
        async with opened(url) as database:
            await emptied(database)
            await _exercise(database, deliveries)

    asyncio.run(run())


@pytest.mark.parametrize("scope", ["key", "team", "user", "model", "provider", "deployment", "global"])
async def test_used(database: Database, scope: str) -> None:
    """Usage of any member of a scope equals what its charged rows add up to, over spans that cut hours, days and zones
    anywhere; the start is inside, the end is not."""
    moments = [START + delta for delta in (-1, 0, 1, HOUR - 1, HOUR, 23 * HOUR - 1, 23 * HOUR, 3 * DAY, 40 * DAY)]
    rows = [
        row(
            started_at=moment,
            **{column: f"{column}-{who}" for column in ("key", "team", "user_hash", "requested_model", "provider")},
            deployment=f"deployment-{who}",
            state=state,
            cost_nano_usd=None if who == 2 else 100 + index,
            input_tokens=index,
            output_tokens=1000,
        )
        for index, moment in enumerate(moments)
        for who in range(3)
        for state in LedgerState
    ]
    ledger = Ledger(database)
    await ledger.write(rows)
    column = {"user": "user_hash", "model": "requested_model"}.get(scope, scope)
    edges = [START - 1, START, START + 1, START + HOUR - 1, START + HOUR // 2, START + DAY, START + 41 * DAY, 2**60]
    for start, end in ((a, b) for a in edges for b in edges):
        counted = [
            r
            for r in rows
            if start <= r.started_at < end
            and r.state != LedgerState.RELEASED
            and (scope == "global" or getattr(r, column) == f"{column}-1")
        ]
        name = f"{column}-1"
        assert await ledger.used(scope, name, "requests", start, end) == len(counted)
        tokens = sum(r.input_tokens + r.output_tokens for r in counted)
        assert await ledger.used(scope, name, "tokens", start, end) == tokens
        assert await ledger.used(scope, name, "cost", start, end) == sum(r.cost_nano_usd or 0 for r in counted)


async def test_used_nothing(database: Database) -> None:
    """Who is not in the ledger used nothing; a kind that does not exist is an error."""
    ledger = Ledger(database)
    assert await ledger.used("key", "nobody", "cost", 0, 2**61) == 0
    with pytest.raises(ValueError, match="colour"):
        await ledger.used("key", "nobody", "colour", 0, 2**61)


async def test_partitions(postgres: Postgres) -> None:
    """PostgreSQL gets a partition for each month it meets; moments far off share the default one, and are found."""
    url = postgres_database(postgres)
    now = partitions.this_month()
    past, far = now.plus(-5), now.plus(50)
    rows = [row(started_at=month.start_us + offset) for month in (past, far) for offset in (-1, 0, 1)]
    async with opened(url) as database:
        await asyncio.gather(*(Ledger(database).write(rows) for _ in range(3)))
        assert len(await agree(database)) == 6
        async with database.connect() as connection:
            found = await connection.execute(text("SELECT tableoid::regclass::text, count(*) FROM usage GROUP BY 1"))
            counts = {str(name): int(count) for name, count in found}
    assert counts == {past.table: 2, past.plus(-1).table: 1, partitions.DEFAULT: 3}


async def test_partition_after_default(postgres: Postgres) -> None:
    """A month whose rows already went to the default partition goes on there."""
    url = postgres_database(postgres)
    month = partitions.this_month().plus(-3)
    async with opened(url) as database:
        first, second = row(started_at=month.start_us), row(started_at=month.start_us + 1)
        ledger = Ledger(database)
        ledger._months.add(month)
        await ledger.write([first])
        assert await Ledger(database).write([first, second]) == 1
        assert len(await agree(database)) == 2


async def test_partitions_of_months_to_come(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are made while the gateway runs, not when their first row comes: somebody who reads for hours would hold it
    up then, and everybody behind it. Where one reads now, nobody is held up, and the next look makes them."""
    monkeypatch.setattr(months, "PATIENCE_MS", 50)
    late = partitions.ahead()[-1].plus(1)
    monkeypatch.setattr(partitions, "AHEAD", partitions.AHEAD + 1)
    async with opened(postgres_database(postgres)) as database:
        async with database.connect() as reading:
            await reading.execute(text("SELECT count(*) FROM usage"))
            assert not await months.make_ahead(database)
            monkeypatch.setattr(months, "LOOK_SECONDS", 0.01)
            looking = asyncio.create_task(months.keep_ahead(database))
        try:
            await _until_there(database, late)
        finally:
            looking.cancel()
        async with database.connect() as reading:
            await reading.execute(text("SELECT count(*) FROM usage"))
            assert await months.make_ahead(database), "what is there needs no lock"


async def _until_there(database: Database, month: partitions.Month) -> None:
    """Return once the month has a partition."""
    async with asyncio.timeout(20):
        while True:
            async with database.connect() as connection:
                found = await connection.execute(text("SELECT to_regclass(:name)"), {"name": month.table})
                if found.scalar_one() is not None:
                    return
            await asyncio.sleep(0.01)


def test_database_away() -> None:
    """While the server is stopped a write fails as DatabaseUnavailable and leaves nothing; afterwards it goes
    through on the same ledger."""

    async def run() -> None:
        with server() as own:
            async with opened(postgres_database(own)) as database:
                ledger = Ledger(database)
                rows = [row() for _ in range(5)]
                await ledger.write([row()])
                own.stop()
                with pytest.raises(DatabaseUnavailable):
                    await ledger.write(rows)
                own.start()
                assert await ledger.write(rows) == 5

    asyncio.run(run())


async def test_locked_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite file that another process keeps locked is away, not broken."""
    monkeypatch.setattr("gateway.storage.sql.database.BUSY_WAIT", 0.05)
    url = sqlite_file(tmp_path)
    async with opened(url) as holder, opened(url) as database:
        async with holder.begin():
            with pytest.raises(DatabaseUnavailable):
                await Ledger(database).write([row()])
        assert await Ledger(database).write([row()]) == 1
