"""The admin API in this process, over a real database and a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.storage.embedded import EmbeddedRedis
from tests.support.admin import AdminApi, opened_api
from tests.support.ledger import postgres_database, sqlite_file
from tests.support.store import own_store


@pytest.fixture(scope="session")
def admin_store() -> Iterator[EmbeddedRedis]:
    """One server for the tests of this process."""
    with own_store() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of this test's own, of each kind."""
    if request.param == "sqlite":
        return sqlite_file(tmp_path)
    return postgres_database(request.getfixturevalue("postgres"))


@pytest.fixture
async def api(url: str, admin_store: EmbeddedRedis, tmp_path: Path) -> AsyncIterator[AdminApi]:
    """The API on each kind of database."""
    async with opened_api(url, admin_store.url, tmp_path) as found:
        yield found


@pytest.fixture
async def sqlite_api(admin_store: EmbeddedRedis, tmp_path: Path) -> AsyncIterator[AdminApi]:
    """The API on SQLite, for what does not depend on the database."""
    async with opened_api(sqlite_file(tmp_path), admin_store.url, tmp_path) as found:
        yield found
