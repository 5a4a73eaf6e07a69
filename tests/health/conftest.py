"""A store of this test's own, and databases of both kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.storage.redis import RedisOptions, connect
from tests.support.ledger import opened, postgres_database, sqlite_file
from tests.support.store import own_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from gateway.storage.embedded import EmbeddedRedis
    from gateway.storage.redis import RedisClient
    from gateway.storage.sql.database import Database


@pytest.fixture
def server() -> Iterator[EmbeddedRedis]:
    with own_store() as found:
        yield found


@pytest.fixture
async def redis(server: EmbeddedRedis) -> AsyncIterator[RedisClient]:
    client = connect(server.url, RedisOptions(timeout=10.0, max_connections=8))
    yield client
    await client.close()


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty one, on each kind of database."""
    postgres = request.param == "postgres"
    url = postgres_database(request.getfixturevalue("postgres")) if postgres else sqlite_file(tmp_path)
    async with opened(url) as found:
        yield found
