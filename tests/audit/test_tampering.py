"""Tampering of every kind is detected."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.audit.anchor import FILE, Anchor, read_anchor
from gateway.audit.entries import COLUMNS, Head, digest_of, seal_of
from gateway.audit.log import AuditLog
from gateway.audit.verify import MOST_FAULTS, Fault, verify
from gateway.storage.sql.database import Database
from tests.audit.conftest import KEY, entry, written
from tests.support.ledger import opened, sqlite_file
from tests.support.waiting import eventually

Tamper = Callable[[AsyncConnection], Awaitable[Any]]


def sql(*statements: str) -> Tamper:
    async def act(connection: AsyncConnection) -> None:
        for statement in statements:
            await connection.execute(text(statement))

    return act


def _edit(column: str) -> str:
    value = {"seq": "77", "at": "at + 1", "keyed": "1 - keyed", "before": "'{}'", "after": "NULL"}.get(column, "'eve'")
    return f"UPDATE audit_log SET {column} = {value} WHERE seq = 3"


_COPY = ", ".join(name for name in (*COLUMNS, "hash") if name != "seq")
_SWAP = (
    "UPDATE audit_log SET seq = -1 WHERE seq = 2",
    "UPDATE audit_log SET seq = 2 WHERE seq = 4",
    "UPDATE audit_log SET seq = 4 WHERE seq = -1",
)
TAMPERING: dict[str, Tamper] = {
    **{f"edit {column}": sql(_edit(column)) for column in (*COLUMNS, "hash")},
    "edit the first": sql("UPDATE audit_log SET actor = 'eve' WHERE seq = 1"),
    "edit the last": sql("UPDATE audit_log SET actor = 'eve' WHERE seq = 5"),
    "delete the first": sql("DELETE FROM audit_log WHERE seq = 1"),
    "delete a middle one": sql("DELETE FROM audit_log WHERE seq = 3"),
    "delete the last": sql("DELETE FROM audit_log WHERE seq = 5"),
    "delete several": sql("DELETE FROM audit_log WHERE seq > 2"),
    "delete all": sql("DELETE FROM audit_log"),
    "delete one and close the gap": sql(
        "DELETE FROM audit_log WHERE seq = 3",
        "UPDATE audit_log SET seq = 3 WHERE seq = 4",
        "UPDATE audit_log SET seq = 4 WHERE seq = 5",
        "UPDATE audit_head SET seq = 4",
    ),
    "reorder": sql(*_SWAP),
    "copy one to the end": sql(f"INSERT INTO audit_log (seq, {_COPY}) SELECT 6, {_COPY} FROM audit_log WHERE seq = 5"),
    "copy one to the end and move the end": sql(
        f"INSERT INTO audit_log (seq, {_COPY}) SELECT 6, {_COPY} FROM audit_log WHERE seq = 5",
        "UPDATE audit_head SET seq = 6",
    ),
    "put one before the first": sql(
        f"INSERT INTO audit_log (seq, {_COPY}) SELECT 0, {_COPY} FROM audit_log WHERE seq = 1"
    ),
    "delete the end": sql("DELETE FROM audit_head"),
    "two ends": sql(
        "INSERT INTO audit_head (id, seq, hash, keyed, seal) SELECT 2, seq, hash, keyed, seal FROM audit_head"
    ),
    "move the end": sql("UPDATE audit_head SET seq = 4"),
    "move the end, with its hash": sql(
        "DELETE FROM audit_log WHERE seq = 5",
        "UPDATE audit_head SET seq = 4, hash = (SELECT hash FROM audit_log WHERE seq = 4)",
    ),
    "edit the end's hash": sql("UPDATE audit_head SET hash = 'eve'"),
    "edit the end's seal": sql("UPDATE audit_head SET seal = 'eve'"),
    "edit the end's kind": sql("UPDATE audit_head SET keyed = 1 - keyed"),
    "begin anew": sql("DELETE FROM audit_log", "UPDATE audit_head SET seq = 0, hash = '', keyed = 0, seal = ''"),
}


@pytest.mark.parametrize("how", TAMPERING)
async def test_tampering_is_detected(database: Database, how: str) -> None:
    """With a key and without one; before it, the same log is intact."""
    await written(database, AuditLog(KEY), 5)
    assert (await verify(database, KEY, 1)).intact
    async with database.begin() as connection:
        await TAMPERING[how](connection)
    verdict = await verify(database, KEY, 1)
    assert verdict.faults, how
    assert not verdict.intact


PLAIN = [how for how in TAMPERING if how not in ("begin anew",)]


@pytest.mark.parametrize("how", PLAIN)
async def test_tampering_by_hand_is_detected_without_a_key(tmp_path: Path, how: str) -> None:
    """Nothing but making everything anew goes unseen."""
    async with opened(sqlite_file(tmp_path)) as database:
        await written(database, AuditLog(), 5)
        assert (await verify(database)).intact
        async with database.begin() as connection:
            await TAMPERING[how](connection)
        assert not (await verify(database)).intact, how


async def _rechained(connection: AsyncConnection, key: bytes | None, keyed: int, last: int) -> None:
    """Write the log anew from what stands there, with hashes that fit: what somebody does who reads this source."""
    rows = (await connection.execute(text("SELECT * FROM audit_log ORDER BY seq"))).mappings().all()
    previous = ""
    await connection.execute(text("DELETE FROM audit_log"))
    for found in rows[:last]:
        row = {**found, "previous": previous, "keyed": keyed}
        row["actor"] = "eve" if row["seq"] == 2 else row["actor"]
        row["hash"] = previous = digest_of(row, key)
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        await connection.execute(text(f"INSERT INTO audit_log ({names}) VALUES ({values})"), row)
    head = Head(last, previous, bool(keyed))
    await connection.execute(
        text("UPDATE audit_head SET seq = :seq, hash = :hash, keyed = :keyed, seal = :seal"),
        {"seq": last, "hash": previous, "keyed": keyed, "seal": seal_of(head, key)},
    )


@pytest.mark.parametrize(("key", "keyed"), [(None, 0), (b"another", 1)])
@pytest.mark.parametrize("last", [5, 3])
async def test_the_chain_cannot_be_made_anew_without_its_key(
    database: Database, key: bytes | None, keyed: int, last: int
) -> None:
    """Whoever has the whole database, and not ENCRYPTION_KEY, cannot write a log that passes."""
    await written(database, AuditLog(KEY), 5)
    async with database.begin() as connection:
        await _rechained(connection, key, keyed, last)
    kinds = {fault.kind for fault in (await verify(database, KEY, 1)).faults}
    assert kinds & {"altered", "unkeyed"}


async def test_what_is_anchored_cannot_go_back(database: Database, tmp_path: Path) -> None:
    """An older state of every table, which is right in itself, is found out by an end that was noted elsewhere."""
    log = AuditLog(KEY)
    [*_, old] = await written(database, log, 3)
    async with database.connect() as connection:
        seal = (await connection.execute(text("SELECT seal FROM audit_head"))).scalar_one()
    [*_, new] = await written(database, log, 2)
    anchor = Anchor(database, tmp_path)
    await anchor.step()
    assert read_anchor(tmp_path) == Head(new.seq, new.hash)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM audit_log WHERE seq > 3"))
        await connection.execute(
            text("UPDATE audit_head SET seq = :seq, hash = :hash, seal = :seal"),
            {"seq": old.seq, "hash": old.hash, "seal": seal},
        )
    assert (await verify(database, KEY, 1)).intact
    noted = read_anchor(tmp_path)
    assert noted is not None
    assert [fault.kind for fault in (await verify(database, KEY, 1, (noted,))).faults] == ["anchor"]
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            await anchor.step()
    assert [line["event"] for line in logs] == ["audit_log_went_back"]
    assert read_anchor(tmp_path) == noted
    # Nor by growing past it again.
    await written(database, log, 3)
    kinds = {fault.kind for fault in (await verify(database, KEY, 1, (noted,))).faults}
    assert kinds == {"anchor"}


async def test_an_anchor_is_noted_when_the_log_moves(database: Database, tmp_path: Path) -> None:
    """The process's own log has every end that was noted, once."""
    anchor = Anchor(database, tmp_path)
    with structlog.testing.capture_logs() as logs:
        await anchor.step()
        [head] = await written(database, AuditLog(KEY), 1)
        for _ in range(2):
            await anchor.step()
    assert logs == [{"event": "audit_anchor", "log_level": "info", "seq": 1, "hash": head.hash}]
    assert Anchor(database, tmp_path)._last == Head(head.seq, head.hash)
    (tmp_path / FILE).write_text("{")
    assert read_anchor(tmp_path) is None


async def test_an_end_that_cannot_be_noted_is_logged_on_change(database: Database, tmp_path: Path) -> None:
    """Once while its directory is away, however often it is tried, and once when it is there again."""
    directory = tmp_path / "later"
    anchor = Anchor(database, directory)
    [head] = await written(database, AuditLog(KEY), 1)
    with structlog.testing.capture_logs() as logs:
        running = asyncio.create_task(anchor.run(0.01))
        await eventually(lambda: logs, "the line that it cannot be noted")
        for _ in range(3):
            with pytest.raises(OSError, match="No such file"):
                await anchor.step()
        directory.mkdir()
        await eventually(lambda: len(logs) == 3, "the line that it can")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    words = [line["event"] for line in logs]
    assert words == ["audit_not_anchored", "audit_anchor", "audit_anchored_again"]
    assert logs[0]["reason"].startswith("FileNotFoundError")
    assert read_anchor(directory) == Head(head.seq, head.hash)


async def test_what_cannot_be_proven_is_said(database: Database) -> None:
    """Without its key a log is neither intact nor tampered with."""
    await written(database, AuditLog(KEY), 3)
    verdict = await verify(database)
    assert (verdict.intact, verdict.faults, verdict.unproven) == (False, [], 4)
    assert (await verify(database, b"another")).faults[0].kind == "altered"


async def test_faults_are_told_and_counted(database: Database) -> None:
    """Each with its place; what stands after a gap is looked at on its own."""
    await written(database, AuditLog(KEY), 5)
    async with database.begin() as connection:
        await TAMPERING["delete a middle one"](connection)
    assert (await verify(database, KEY, 1)).faults == [
        Fault(3, "missing", "entry 3 is missing"),
        Fault(4, "unlinked", "entry 4 does not follow the one before it"),
    ]


async def test_verifying_while_others_write(url: str, database: Database) -> None:
    """One moment is looked at: entries that are added meanwhile are no faults."""
    log = AuditLog(KEY)
    other = Database(url)

    async def look() -> None:
        for _ in range(10):
            assert (await verify(other, KEY, 1)).intact

    await written(database, log, 1)
    try:
        await asyncio.gather(written(database, log, 20), look())
    finally:
        await other.close()


async def test_faults_without_end_are_bounded(tmp_path: Path) -> None:
    """A log in ruins is told in a hundred lines."""
    async with opened(sqlite_file(tmp_path)) as database:
        async with database.begin() as connection:
            for n in range(MOST_FAULTS + 20):
                await AuditLog(KEY).append(connection, entry(n))
            await connection.execute(text("UPDATE audit_log SET actor = 'eve'"))
        verdict = await verify(database, KEY, 1)
    assert (len(verdict.faults), verdict.more_faults) == (MOST_FAULTS, 20)
