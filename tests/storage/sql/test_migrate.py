"""Migrations: to the newest revision once, whoever else tries at the same time."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from msgspec.structs import astuple
from sqlalchemy import create_engine, inspect, text

from gateway.errors import OperatorError
from gateway.storage.sql import admin_tables, audit_tables, health_tables, key_tables, resource_tables, vault_tables
from gateway.storage.sql import migrate as module
from gateway.storage.sql.database import Database
from gateway.storage.sql.migrate import check, current_revision, expected_revision, migrate, ready
from gateway.storage.sql.tables import metadata
from gateway.storage.sql.urls import parse
from gateway.usage import ledger, ledger_sql
from gateway.usage.ledger import Ledger
from gateway.usage.rollup import Changes
from tests.support.ledger import row

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from gateway.types import LedgerRow
    from tests.support.postgres import Postgres

ROOT = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'gateway.db'}"
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create()


def engine_of(url: str) -> Engine:
    return create_engine(parse(url, asynchronous=False))


def test_migrate(url: str) -> None:
    """An empty database gets to the newest revision; a second run has nothing to do."""
    assert current_revision(url) is None
    with pytest.raises(OperatorError, match="Run `gateway migrate`"):
        check(url)
    migrate(url)
    check(url)
    migrate(url)
    assert current_revision(url) == expected_revision()


def test_tables(url: str) -> None:
    """The migrated database has exactly the tables, columns and indexes that queries name."""
    assert key_tables.virtual_keys.metadata is metadata
    assert health_tables.incidents.metadata is metadata
    for table in (
        admin_tables.admin_users,
        audit_tables.audit_log,
        vault_tables.vault_secrets,
        resource_tables.providers,
    ):
        assert table.metadata is metadata
    migrate(url)
    engine = engine_of(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": _ours})
        assert compare_metadata(context, metadata) == []
        if connection.dialect.name == "postgresql":
            key = inspect(connection).get_pk_constraint("usage")["constrained_columns"]
            assert key == ["call_id", "attempt", "started_at"]
            months = connection.execute(text("SELECT count(*) FROM pg_inherits WHERE inhparent = 'usage'::regclass"))
            assert months.scalar_one() == 5
    engine.dispose()


def _ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
    return not (kind == "table" and name is not None and name.startswith(("usage_2", "usage_default")))


def test_from_the_first_revision(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that the first version made gets to the newest revision with its rows, and its rollups go on."""
    upgrade = command.upgrade
    monkeypatch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0001"))
    migrate(url)
    monkeypatch.undo()
    assert current_revision(url) == "0001"
    tables = Changes.tables
    monkeypatch.setattr(
        Changes, "tables", lambda one: {name: t for name, t in tables(one).items() if name != "usage_owner_day"}
    )
    _without_later_columns(monkeypatch)
    for team in (None, "t"):
        asyncio.run(_book(url, row(call_id=f"before {team}", team=team)))
    monkeypatch.undo()
    migrate(url)
    check(url)
    for team in (None, "t"):
        asyncio.run(_book(url, row(call_id=f"after {team}", team=team, model="another")))
    engine = engine_of(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM usage")).scalar_one() == 4
        later = "SELECT DISTINCT cache_write_1h_tokens, upstream_requests, service_tier, searches FROM usage"
        assert connection.execute(text(later)).all() == [(0, 1, "", 0)]
        assert connection.execute(text("SELECT requests FROM usage_day")).scalars().all() == [1] * 4
        owners = "SELECT requests, team FROM usage_owner_day JOIN usage_series ON id = series ORDER BY team IS NULL"
        assert connection.execute(text(owners)).all() == [(2, "t"), (2, None)]
    engine.dispose()


def _without_later_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are written as the first version did."""
    first = ledger_sql._USAGE.index("cache_write_1h_tokens")
    later = "|".join(ledger_sql._USAGE[first:])
    written = re.sub(rf", (?:{later})(?: (?:bigint|text))?\b", "", ledger_sql.PG_INSERT)
    monkeypatch.setattr(ledger_sql, "PG_INSERT", written)
    marks = ", ?" * (len(ledger_sql._USAGE) - first)
    written = re.sub(rf", (?:{later})\b", "", ledger_sql.SQLITE_INSERT).replace(f"{marks} )", " )")
    monkeypatch.setattr(ledger_sql, "SQLITE_INSERT", written)
    monkeypatch.setattr(ledger_sql, "_USAGE", ledger_sql._USAGE[:first])
    monkeypatch.setattr(ledger, "values", lambda one: astuple(one)[:first])


async def _book(url: str, one: LedgerRow) -> None:
    database = Database(url)
    try:
        await Ledger(database).write([one])
    finally:
        await database.close()


def test_at_once(url: str) -> None:
    """Several processes that migrate the same database at once all succeed."""
    code = "import sys; from gateway.storage.sql.migrate import migrate; migrate(sys.argv[1])"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, url], stderr=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": "."}
        )
        for _ in range(3)
    ]
    errors = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, errors
    check(url)


def test_interrupted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that fails halfway leaves the database as it was."""

    upgrade = command.upgrade

    def fail(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise RuntimeError("power cut")

    monkeypatch.setattr(command, "upgrade", fail)
    with pytest.raises(RuntimeError, match="power cut"):
        migrate(url)
    monkeypatch.undo()
    engine = engine_of(url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()
    migrate(url)


def test_newer_database(url: str) -> None:
    """A database of a newer version is refused, with what to do, by everything that opens it."""
    migrate(url)
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    for use in (migrate, check, ready):
        with pytest.raises(OperatorError, match="newer gateway"):
            use(url)


def test_ready(url: str) -> None:
    """A command migrates SQLite by itself, and asks for `gateway migrate` on PostgreSQL."""
    if url.startswith("sqlite"):
        ready(url)
        check(url)
    else:
        with pytest.raises(OperatorError, match="gateway migrate"):
            ready(url)


def test_script(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole migration can be had as a SQL script for PostgreSQL, without a database."""
    config = Config()
    config.set_main_option("script_location", str(module.SCRIPTS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("sqlalchemy.url", "postgresql+psycopg://")
    command.upgrade(config, "head", sql=True)
    script = capsys.readouterr().out
    assert "PARTITION BY RANGE (started_at)" in script
    assert f"'{expected_revision()}'" in script


def test_revisions_are_numbered() -> None:
    """Revisions are one line, each file named by its number."""
    names = sorted(path.name for path in (module.SCRIPTS / "versions").glob("*.py"))
    assert [name[:5] for name in names] == [f"{n:04}_" for n in range(1, len(names) + 1)]
    assert expected_revision() == f"{len(names):04}"


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", "Check DATABASE_URL"),
        ("sqlite:////proc/none/gateway.db", "Check DATABASE_URL"),
    ],
)
def test_unreachable(url: str, advice: str) -> None:
    """A database that cannot be opened is the operator's to mend."""
    with pytest.raises(OperatorError, match=advice):
        migrate(url)


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """SQLite's file has no server: its place and who may write there are what to look at."""
    (tmp_path / "gateway.db").mkdir()
    with pytest.raises(OperatorError, match=r"may write there, or name another place with GATEWAY_DATA_DIR\.$"):
        migrate(tmp_path / "gateway.db")
