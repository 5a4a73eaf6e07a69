"""The schema: brought to the newest revision under a lock, and checked."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from gateway.errors import OperatorError
from gateway.storage.sql import partitions
from gateway.storage.sql.database import BUSY_WAIT, CONNECT_WAIT, prepare_sqlite
from gateway.storage.sql.errors import is_away
from gateway.storage.sql.urls import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

SCRIPTS = Path(__file__).parent / "migrations"
LOCK = 0x67772D6D696772
"""The advisory lock that one migrating process holds."""
LOCK_WAIT = 120
"""Seconds to wait for another process that migrates."""


def migrate(url: str | Path) -> None:
    """Bring the database to the newest revision; whoever comes second waits and finds nothing to do.

    Runs to the end or changes nothing. Raises OperatorError that says what to do.
    """
    expected = expected_revision()
    with _transaction(url) as connection:
        found = _current(connection)
        if found != expected:
            _refuse_unknown(found)
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        if connection.dialect.name == "postgresql":
            for month in partitions.ahead():
                connection.execute(text(partitions.ddl(month)))


def check(url: str | Path) -> None:
    """Raise OperatorError, which says what to do, unless the database is at the revision this version expects."""
    found, expected = current_revision(url), expected_revision()
    if found == expected:
        return
    _refuse_unknown(found)
    raise OperatorError(
        f"The database is at revision {found or 'none'}, this version needs {expected}. Run `gateway migrate`."
    )


def ready(url: str | Path) -> None:
    """Make a database fit to be read by a command: SQLite is ours to migrate, PostgreSQL is only checked.

    Raises OperatorError that says what to do.
    """
    if parse(url, asynchronous=False).get_backend_name() == "sqlite":
        migrate(url)
    else:
        check(url)


def current_revision(url: str | Path) -> str | None:
    """The database's revision; None while it is empty. Raises OperatorError when it cannot be reached."""
    with _transaction(url) as connection:
        return _current(connection)


def expected_revision() -> str:
    """The newest revision this version knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _refuse_unknown(found: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found is not None and found not in known:
        raise OperatorError(
            f"The database is at revision {found}, which this version does not know: a newer gateway made it. "
            "Run that version, or restore a backup from before."
        )


@contextmanager
def _transaction(url: str | Path) -> Iterator[Connection]:
    """One transaction that no other migration runs beside."""
    parsed = parse(url, asynchronous=False)
    postgres = parsed.get_backend_name() == "postgresql"
    if not postgres and parsed.database is not None:
        _make_directory(Path(parsed.database).parent)
    arguments = {"connect_timeout": CONNECT_WAIT} if postgres else {"timeout": BUSY_WAIT}
    engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True, connect_args=arguments)
    if not postgres:
        event.listen(engine, "connect", prepare_sqlite)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN EXCLUSIVE"))
    try:
        with engine.begin() as connection:
            if postgres:
                connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT}s'"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            yield connection
    except DBAPIError as error:
        reason = type(error.orig).__name__
        if is_away(error):
            where = parsed.database if not postgres else f"{parsed.host or 'local'}:{parsed.port or 5432}"
            advice = (
                "Check DATABASE_URL, and that the server runs and lets this user in."
                if postgres
                else "Check that this user may write there, or name another place with GATEWAY_DATA_DIR."
            )
            raise OperatorError(
                f"The database {where} cannot be used ({reason}: {_first_line(error)}). {advice}"
            ) from None
        raise OperatorError(
            f"The database could not be migrated ({reason}: {_first_line(error)}). Nothing was changed. "
            "Check that its user may create tables in this schema."
        ) from error
    finally:
        engine.dispose()


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise OperatorError(
            f"The directory {path} for the database cannot be made ({error.strerror}). "
            "Check DATABASE_URL and GATEWAY_DATA_DIR."
        ) from None


def _first_line(error: DBAPIError) -> str:
    return (str(error.orig).strip().splitlines() or ["no detail"])[0]
