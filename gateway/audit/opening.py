"""The log, ready to be written to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.audit.entries import AuditEntry
from gateway.audit.log import AuditLog, head_of

if TYPE_CHECKING:
    from gateway.storage.sql.database import Database
    from gateway.vault.custody import AuditKey


async def open_audit(database: Database, key: AuditKey | None) -> AuditLog:
    """The log of this database, with the key that the vault keeps for it. A key begins with an entry of its own, so
    that a log with a key is never empty. Raises DatabaseUnavailable, AuditUnavailable."""
    log = AuditLog(None if key is None else key.key)
    if key is None:
        return log
    async with database.connect() as connection:
        head = await head_of(connection)
    if head is not None and head.seq < key.since:
        async with database.begin() as connection:
            head = await head_of(connection)
            if head is not None and head.seq < key.since:
                await log.append(connection, AuditEntry("gateway", "system", "key", "audit", "log"))
    return log
