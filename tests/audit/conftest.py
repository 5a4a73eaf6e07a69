"""A log of one's own on each kind of database."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.audit.entries import AuditEntry, Head
from gateway.audit.log import AuditLog
from gateway.storage.sql.database import Database
from tests.support.ledger import clear_administration, opened, sqlite_file

KEY = secrets.token_bytes(32)


def entry(n: int = 1, **more: object) -> AuditEntry:
    """An entry with everything in it."""
    values: dict[str, object] = {
        "actor": f"ada{n}",
        "actor_kind": "token",
        "role": "admin",
        "action": "update",
        "resource_kind": "provider",
        "resource_id": f"p{n}",
        "before": {"timeout": n, "name": "Ä"},
        "after": {"timeout": n + 0.5, "name": "B"},
        "address": "192.0.2.7",
        "request_id": f"req-{n}",
    }
    return AuditEntry(**{**values, **more})  # type: ignore[arg-type]


async def written(database: Database, log: AuditLog, count: int) -> list[Head]:
    """Add as many entries, each in a transaction of its own."""
    heads = []
    for n in range(1, count + 1):
        async with database.begin() as connection:
            heads.append(await log.append(connection, entry(n)))
    return heads


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of this test's own."""
    if request.param == "sqlite":
        return sqlite_file(tmp_path)
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with opened(url) as found:
        await clear_administration(found)
        yield found


@pytest.fixture(params=["keyed", "plain"])
def key(request: pytest.FixtureRequest) -> bytes | None:
    """With a key and without one."""
    return KEY if request.param == "keyed" else None
