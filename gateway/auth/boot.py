"""Is there any key in the database? Asked before the workers are forked, by a process that loads no database driver."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from gateway.errors import OperatorError
from gateway.registry.placeholders import is_placeholder

SECONDS = 15.0
SHORTEST_KEY = 16
FEWEST_LETTERS = 6
"""Different ones in an admin key."""
_SQLITE_FILE = "gateway.db"
_VARIABLE = "GATEWAY_BOOT_DATABASE_URL"
_QUERY = "SELECT EXISTS (SELECT 1 FROM virtual_keys)"


def any_keys(database_url: str | None, data_dir: Path) -> bool:
    """Whether a key was ever created at run time; `database_url` None is SQLite in the data directory.

    A gateway that has keys must never be open, so doubt counts as yes: a database that cannot be read now. Raises
    OperatorError for an address that cannot be used at all.
    """
    path = _sqlite_path(database_url, data_dir)
    return _in_sqlite(path) if path is not None else _in_child(database_url or "")


def is_weak(admin_key: str) -> bool:
    """Whether this may be guessed: too short, all alike, or what examples and installers leave behind."""
    plain = admin_key.strip().lower()
    return len(plain) < SHORTEST_KEY or len(set(plain)) < FEWEST_LETTERS or is_placeholder(plain)


def _sqlite_path(url: str | None, data_dir: Path) -> Path | None:
    if url is None:
        return data_dir / _SQLITE_FILE
    if "://" not in url:
        return Path(url)
    scheme, _, rest = url.partition("://")
    if scheme.partition("+")[0] != "sqlite":
        return None
    return Path(rest.partition("?")[0].removeprefix("/"))


def _in_sqlite(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=5)) as connection:
            return bool(connection.execute(_QUERY).fetchone()[0])
    except sqlite3.OperationalError as error:
        return not str(error).startswith("no such table")
    except sqlite3.DatabaseError:
        return True


def _in_child(url: str) -> bool:
    """In a process of its own, so that this one stays small and without threads."""
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-m", __name__],
            env={**os.environ, _VARIABLE: url},  # not an argument: those are public
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return True
    if done.returncode == 2:
        raise OperatorError(done.stderr.decode(errors="replace").strip())
    return done.stdout.strip() != b"none"


def _ask(url: str) -> str:
    """`some`, `none` or `unknown`. Raises OperatorError."""
    import psycopg  # noqa: PLC0415 - only this child has it

    from gateway.storage.sql.urls import parse  # noqa: PLC0415

    address = parse(url, asynchronous=False).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        with psycopg.connect(address, connect_timeout=5) as connection:
            row = connection.execute(_QUERY).fetchone()
    except psycopg.errors.UndefinedTable:
        return "none"
    except psycopg.Error:
        return "unknown"
    return "some" if row is None or row[0] else "none"


def _main() -> int:
    try:
        sys.stdout.write(_ask(os.environ[_VARIABLE]))
    except OperatorError as error:
        sys.stderr.write(str(error))
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(_main())
