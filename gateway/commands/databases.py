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
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.auth.admins import Actor, Note, Record
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


def with_audit(settings: Settings, act: Callable[[Database, Record], Awaitable[_T]]) -> _T:
    """Run with the database open and the audit log at hand, with the key that the log has. Raises OperatorError."""
    from gateway.audit.entries import entry_for  # noqa: PLC0415
    from gateway.audit.log import AuditUnavailable  # noqa: PLC0415
    from gateway.audit.opening import open_audit  # noqa: PLC0415
    from gateway.auth.admins import AdminProblem  # noqa: PLC0415
    from gateway.vault.custody import open_custody  # noqa: PLC0415

    async def run(database: Database) -> _T:
        log = await open_audit(database, (await open_custody(database, settings)).audit_key)

        async def record(connection: AsyncConnection, note: Note) -> None:
            await log.append(connection, entry_for(itself(), note))

        return await act(database, record)

    try:
        return with_database(settings, run)
    except (AdminProblem, AuditUnavailable) as error:
        raise OperatorError(_sentence(str(error))) from error


def itself() -> Actor:
    """Whoever runs the command may do everything: they can read the database."""
    from gateway.auth.admins import Actor, Role  # noqa: PLC0415

    return Actor(operator(), Role.ADMIN, "cli")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def operator() -> str:
    """Who runs the command, as logs and the audit log name them."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError):  # a user without a name, as in containers
        return f"cli:{os.getuid()}"
