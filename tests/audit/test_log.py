"""Entries are written with their change, or neither is."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import delete, select, text

from gateway.audit.entries import LONGEST, AuditEntry
from gateway.audit.log import AuditLog, AuditUnavailable, head_of
from gateway.audit.opening import open_audit
from gateway.audit.reading import Filter, everything, page
from gateway.audit.verify import verify
from gateway.storage.sql.audit_tables import audit_head, audit_log
from gateway.storage.sql.database import Database
from gateway.vault.custody import AuditKey
from tests.audit.conftest import KEY, entry, written


async def rows(database: Database) -> list[dict[str, object]]:
    async with database.connect() as connection:
        found = await connection.execute(select(audit_log).order_by(audit_log.c.seq))
        return [dict(row) for row in found.mappings()]


async def test_an_entry_says_everything(database: Database, key: bytes | None) -> None:
    """Who, as what, did what to which, what it was and is, when, from where, with which request."""
    async with database.begin() as connection:
        head = await AuditLog(key, lambda: 1_800_000_000.5).append(connection, entry())
    [row] = await rows(database)
    assert (row["seq"], row["at"], row["hash"], row["previous"]) == (1, 1_800_000_000_500_000, head.hash, "")
    for name in ("actor", "actor_kind", "role", "action", "resource_kind", "resource_id", "address", "request_id"):
        assert row[name] == getattr(entry(), name)
    assert json.loads(str(row["before"])) == {"name": "Ä", "timeout": 1}
    async with database.connect() as connection:
        assert await head_of(connection) == head


async def test_a_change_that_fails_leaves_no_entry(database: Database) -> None:
    """One transaction: what is rolled back was never done, and the chain goes on without it."""
    log = AuditLog(KEY)
    await written(database, log, 1)

    async def fail() -> None:
        async with database.begin() as connection:
            await log.append(connection, entry(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await written(database, log, 1)
    assert [row["seq"] for row in await rows(database)] == [1, 2]
    assert (await verify(database, KEY)).intact


async def test_writers_follow_one_another(url: str, database: Database) -> None:
    """Many at once, over two pools: one chain without gaps."""
    other = Database(url)
    log = AuditLog(KEY)
    try:
        await asyncio.gather(*(written(where, log, 5) for where in (database, other) for _ in range(3)))
    finally:
        await other.close()
    verdict = await verify(database, KEY)
    assert (verdict.intact, verdict.entries) == (True, 30)


async def test_without_its_end_nothing_is_written(database: Database) -> None:
    """A log that lost its end, or whose key is not here, takes no entry: the change must not be made."""
    await written(database, AuditLog(KEY), 1)
    async with database.begin() as connection:
        with pytest.raises(AuditUnavailable, match="ENCRYPTION_KEY"):
            await AuditLog().append(connection, entry())
        await connection.rollback()
    async with database.begin() as connection:
        await connection.execute(delete(audit_head))
    with pytest.raises(AuditUnavailable, match="gateway audit verify"):
        await written(database, AuditLog(KEY), 1)


async def test_texts_that_databases_do_not_take(database: Database) -> None:
    """NUL, half a pair of surrogates and texts without end are written as what can be kept, and verified so."""
    odd = entry(
        actor="a\0b\ud800",
        request_id="x" * 5000,
        before={"x": "\0\ud800", "y": {1: b"bytes"}},
        after={"z": "y" * LONGEST},
    )
    async with database.begin() as connection:
        await AuditLog(KEY).append(connection, odd)
    [row] = await rows(database)
    assert (row["actor"], len(str(row["request_id"]))) == ("a\ufffdb?", 512)
    assert json.loads(str(row["after"])).keys() == {"omitted", "sha256"}
    assert json.loads(str(row["before"])) == {"x": "\0\ud800", "y": {"1": "***"}}
    assert (await verify(database, KEY)).intact


async def test_a_key_begins_with_an_entry(database: Database) -> None:
    """A log with a key is never empty; opened again, it has nothing to add."""
    await written(database, await open_audit(database, None), 2)
    for _ in range(2):
        log = await open_audit(database, AuditKey(KEY, 3))
    await written(database, log, 1)
    found = await rows(database)
    assert [(row["keyed"], row["action"]) for row in found] == [(0, "update"), (0, "update"), (1, "key"), (1, "update")]
    verdict = await verify(database, KEY, 3)
    assert (verdict.intact, verdict.keyed_from) == (True, 3)


async def test_pages_and_filters(database: Database) -> None:
    """The newest first, page by page; each filter is a comparison, whatever stands in it."""
    await written(database, AuditLog(KEY, lambda: 1_800_000_000), 7)
    first = await page(database, limit=3)
    assert [row["seq"] for row in first.entries] == [7, 6, 5]
    second = await page(database, before=first.before, limit=3)
    third = await page(database, before=second.before, limit=3)
    assert [row["seq"] for row in (*second.entries, *third.entries)] == [4, 3, 2, 1]
    assert third.before is None
    assert [row["seq"] for row in (await page(database, Filter(actor="ada3"))).entries] == [3]
    assert [
        row["seq"] for row in (await page(database, Filter(resource_kind="provider", resource_id="p2"))).entries
    ] == [2]
    for text_ in ("%", "' OR '1'='1", "ada_", "\\"):
        assert (await page(database, Filter(actor=text_))).entries == []
    at = 1_800_000_000_000_000
    assert (
        (await page(database, Filter(since=at + 1))).entries == (await page(database, Filter(until=at))).entries == []
    )
    assert len((await page(database, Filter(since=at, until=at + 1, action="update"), limit=10**9)).entries) == 7
    assert [row["seq"] async for row in everything(database)] == [1, 2, 3, 4, 5, 6, 7]
    assert (await page(database, limit=1)).entries[0]["after"] == {"name": "B", "timeout": 7.5}


async def test_foreign_text_is_shown(database: Database) -> None:
    """What somebody wrote past us is shown as it is, not an error."""
    await written(database, AuditLog(KEY), 1)
    async with database.begin() as connection:
        await connection.execute(text("UPDATE audit_log SET before = 'no json'"))
    assert (await page(database)).entries[0]["before"] == "no json"


def test_an_entry_is_not_changed() -> None:
    """Entries are values."""
    with pytest.raises(AttributeError):
        entry().actor = "eve"  # type: ignore[misc]
    assert isinstance(entry(), AuditEntry)
