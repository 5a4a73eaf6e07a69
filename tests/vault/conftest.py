"""A database of one's own, and settings with a key."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.settings import Settings
from gateway.storage.sql.database import Database
from tests.support.ledger import clear_administration, opened, sqlite_file


def fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def settings_with(directory: Path, *keys: str, database_url: str | None = None) -> Settings:
    """Settings of a gateway with these encryption keys."""
    values: dict[str, object] = {"data_dir": directory}
    if keys:
        values["encryption_key"] = SecretStr(",".join(keys))
    if database_url is not None:
        values["database_url"] = SecretStr(database_url)
    return Settings.model_validate({"encryption_key": None, "database_url": None, **values}, context=None)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of this test's own, of each kind."""
    if request.param == "sqlite":
        return sqlite_file(tmp_path)
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with opened(url) as found:
        await clear_administration(found)
        yield found
