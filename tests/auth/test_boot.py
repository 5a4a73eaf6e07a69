"""Before the workers are forked: does any run-time key exist?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.auth.boot import any_keys, is_weak
from gateway.auth.drafts import Draft
from gateway.auth.issue import Issuer
from gateway.errors import OperatorError
from gateway.storage.sql.database import Database
from gateway.storage.sql.migrate import migrate
from tests.support import postgres


async def test_sqlite(issuer: Issuer, database_path: Path) -> None:
    """No file and no key: no. One key, revoked or not: yes, also while the database is open elsewhere."""
    directory = database_path.parent
    assert any_keys(None, directory / "nothing") is False
    assert any_keys(None, directory) is False
    await issuer.create(Draft("ci"), "test")
    assert any_keys(None, directory) is True
    for url in (f"sqlite:///{database_path}", f"sqlite+aiosqlite:///{database_path}?timeout=5", str(database_path)):
        assert any_keys(url, directory / "nothing") is True
    await issuer.revoke("ci")
    assert any_keys(None, directory) is True


def test_a_database_before_its_first_migration(tmp_path: Path) -> None:
    """An empty file has no keys."""
    (tmp_path / "gateway.db").touch()
    assert any_keys(None, tmp_path) is False


def test_doubt_is_yes(tmp_path: Path) -> None:
    """What cannot be read may hold keys: the gateway stays closed."""
    (tmp_path / "gateway.db").write_bytes(b"this is no database" * 100)
    assert any_keys(None, tmp_path) is True
    assert any_keys(f"postgresql://nobody@/none?host={tmp_path}", tmp_path) is True


def test_an_address_that_is_none(tmp_path: Path) -> None:
    """Says so, as every command does."""
    with pytest.raises(OperatorError, match="DATABASE_URL"):
        any_keys("oracle://host/name", tmp_path)


@pytest.mark.parametrize(
    ("key", "weak"),
    [
        ("admin", True),
        ("short-but-random", False),
        ("15-letters-key!", True),
        ("Change-Me-Please-1234", True),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", True),
        ("your-secret-key-0000000000", True),
        ("gwa-8Zt0m1xq9LrT4vYc2Nw", False),
        ("9f86d081884c7d659a2feaa0c55ad015", False),
    ],
)
def test_weak_admin_keys(key: str, weak: bool) -> None:
    """Short ones, those of one letter, and those that everybody tries."""
    assert is_weak(key) is weak


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Postgres]:
    with postgres.server() as found:
        yield found


async def test_postgresql(server: postgres.Postgres, tmp_path: Path) -> None:
    """The same answers, from a process of its own."""
    url = server.create()
    assert any_keys(url, tmp_path) is False
    migrate(url)
    assert any_keys(url, tmp_path) is False
    database = Database(url)
    await Issuer(database).create(Draft("ci"), "test")
    await database.close()
    assert any_keys(url, tmp_path) is True


def test_workers_load_no_database(tmp_path: Path) -> None:
    """What a worker and its parent import of the keys brings neither SQLAlchemy nor a driver."""
    code = (
        "import sys, gateway.auth.store, gateway.auth.boot, gateway.auth.keyring, gateway.storage.pubsub\n"
        "print([name for name in ('sqlalchemy', 'alembic', 'psycopg', 'aiosqlite') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
