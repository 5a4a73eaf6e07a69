"""Resources on both databases, beside one configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.registry.resources.support import Office
from tests.support.ledger import opened, postgres_database, sqlite_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.storage.sql.database import Database


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of this test's own, of each kind."""
    if request.param == "sqlite":
        return sqlite_file(tmp_path)
    return postgres_database(request.getfixturevalue("postgres"))


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with opened(url) as found:
        yield found


@pytest.fixture
async def office(database: Database) -> Office:
    return Office(database)
