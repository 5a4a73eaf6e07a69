"""The partitions of PostgreSQL's `usage`, made while the gateway runs."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.storage.sql import partitions
from gateway.storage.sql.errors import DatabaseUnavailable, cause_of

if TYPE_CHECKING:
    from gateway.storage.sql.database import Database

_log = logging.getLogger("gateway.storage")

LOOK_SECONDS = 6 * 3600.0
"""Between looks at what is there of the months to come."""
PATIENCE_MS = 1000
"""How long a partition that nobody needs yet may wait for its lock: who reads or writes waits behind it."""


async def make(database: Database, month: partitions.Month, *, patience_ms: int | None = None) -> None:
    """A month's partition, where it is not there yet; in a transaction of its own. Raises DatabaseUnavailable."""
    try:
        async with database.begin() as connection:
            if patience_ms is not None:
                await connection.execute(text(f"SET LOCAL lock_timeout = {patience_ms}"))
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": partitions.LOCK})
            await connection.execute(text(partitions.ddl(month)))
    except DBAPIError as error:
        # The default partition holds rows of this month, from a clock that was wrong: it keeps the others too.
        if getattr(error.orig, "sqlstate", None) != "23514":
            raise


async def make_ahead(database: Database) -> bool:
    """The partitions of the months to come; whether all of them are there. What keeps one from being made is logged."""
    for month in partitions.ahead():
        try:
            await make(database, month, patience_ms=PATIENCE_MS)
        except (DatabaseUnavailable, DBAPIError) as error:
            _log.warning("partition %s is not there yet: %s", month.table, cause_of(error))
            return False
    return True


async def keep_ahead(database: Database) -> None:
    """Until cancelled: the migration made those of its day, and a gateway may run for longer than they last."""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        await make_ahead(database)
