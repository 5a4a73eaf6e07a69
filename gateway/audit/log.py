"""Entries are written here, each in the transaction of the change that it tells of."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from gateway.audit.entries import AuditEntry, Head, columns_of, seal_of
from gateway.storage.sql.audit_tables import audit_head, audit_log

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

_MICRO = 1_000_000


class AuditUnavailable(Exception):
    """The entry cannot be written, so the change must not be made: answer 503."""


class AuditLog:
    """Writes to the log of one database.

    `key` makes the hashes, so that nobody who has the database alone can make the chain anew; without one they tell of
    accidents and of careless hands only.
    """

    def __init__(self, key: bytes | None = None, wall: Callable[[], float] = time.time) -> None:
        self._key = key
        self._wall = wall

    async def append(self, connection: AsyncConnection, entry: AuditEntry) -> Head:
        """Add the entry in the caller's transaction (`Database.begin`), and hold the log's end until that is over:
        changes follow one another. Raises AuditUnavailable, and what the database raises; then nothing may be
        committed."""
        counted = (
            update(audit_head)
            .where(audit_head.c.id == 1)
            .values(seq=audit_head.c.seq + 1)
            .returning(audit_head.c.seq, audit_head.c.hash, audit_head.c.keyed)
        )
        found = (await connection.execute(counted)).one_or_none()
        if found is None:
            raise AuditUnavailable("the audit log has lost its end (see `gateway audit verify`)")
        if found.keyed and self._key is None:
            raise AuditUnavailable("the audit log is kept with ENCRYPTION_KEY, which is not set here")
        row = columns_of(entry, Head(found.seq - 1, found.hash), round(self._wall() * _MICRO), self._key)
        head = Head(row["seq"], row["hash"], self._key is not None)
        await connection.execute(insert(audit_log).values(row))
        sealed = {"hash": head.hash, "keyed": int(head.keyed), "seal": seal_of(head, self._key)}
        await connection.execute(update(audit_head).where(audit_head.c.id == 1).values(sealed))
        return head


async def head_of(connection: AsyncConnection) -> Head | None:
    """The log's end, as it says itself."""
    found = (await connection.execute(select(audit_head))).one_or_none()
    return None if found is None else Head(found.seq, found.hash, bool(found.keyed))
