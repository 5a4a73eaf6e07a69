"""How the database fails, in one word; everything else a driver raises is a bug of ours and goes on as it is."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import sqlalchemy.exc as sa

if TYPE_CHECKING:
    from collections.abc import Iterator

_SQLITE_AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)
_CONFLICTS = frozenset({"40001", "40P01"})
"""Serialization failure and deadlock: PostgreSQL chose this transaction to give way."""
_AWAY_CLASSES = ("08", "53", "57", "58", "55P03", "25006", "40")
"""Connection, resources, operator intervention, system error, lock timeout, read-only, transaction rollback:
https://www.postgresql.org/docs/current/errcodes-appendix.html"""


class DatabaseUnavailable(Exception):
    """The database did not do what was asked: no connection, no answer in time, no room, or locked. The transaction had
    no effect, unless it broke in its commit; then whether it had is unknown."""


def is_conflict(error: BaseException) -> bool:
    """Two transactions met and this one gave way: doing it again helps."""
    return any(getattr(found, "sqlstate", None) in _CONFLICTS for found in _chain(error))


def is_bad_row(error: BaseException) -> bool:
    """The error lies in the values of a row: trying again cannot help."""
    return isinstance(error, sa.DataError | sa.IntegrityError | OverflowError | UnicodeError) and not is_away(error)


def is_away(error: BaseException) -> bool:
    """The error says that the database is away, slow or full, rather than that a statement is wrong."""
    if isinstance(error, DatabaseUnavailable | sa.TimeoutError | OSError):
        return True
    if not isinstance(error, sa.DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    original = error.orig
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _SQLITE_AWAY
    state = getattr(original, "sqlstate", None)
    if state is not None:
        return str(state).startswith(_AWAY_CLASSES)
    return isinstance(error, sa.OperationalError | sa.InterfaceError)


def cause_of(error: BaseException) -> str:
    """The error's class, and its code where the driver names one. Not the driver's own text: it may hold parameters."""
    if isinstance(error, DatabaseUnavailable):
        return str(error)
    found = getattr(error, "orig", None) or error
    code = getattr(found, "sqlite_errorname", None) or getattr(found, "sqlstate", None)
    return f"{type(found).__name__} ({code})" if code else type(found).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = getattr(found, "orig", None) or found.__cause__
