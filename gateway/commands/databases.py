"""Commands that need the database: opened, made fit, closed again."""

from __future__ import annotations

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import OperatorError
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.storage.sql.database import Database

_T = TypeVar("_T")


def with_database(settings: Settings, act: Callable[[Database], Awaitable[_T]]) -> _T:
    """Run with the database open, its tables made. Raises OperatorError."""
    from gateway.storage.sql.database import Database  # noqa: PLC0415 - only where it is used
    from gateway.storage.sql.errors import DatabaseUnavailable  # noqa: PLC0415
    from gateway.storage.sql.migrate import ready  # noqa: PLC0415
    from gateway.storage.sql.urls import database_url  # noqa: PLC0415

    url = database_url(settings)
    ready(url)
    database = Database(url, echo=settings.sql_echo)

    async def run() -> _T:
        try:
            return await act(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except DatabaseUnavailable as error:
        raise OperatorError(f"The database cannot be used ({error}). Check DATABASE_URL, then try again.") from error


def operator() -> str:
    """Who runs the command, as logs and the audit log name them."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a user without a name, as in containers
        return f"cli:{os.getuid()}"
