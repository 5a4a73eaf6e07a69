"""The log's end, noted where those who write to the database do not get: in the log of the process, and in a file.

Whoever restores an older state of all its tables leaves no trace inside them; the anchor tells.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import select

from gateway.audit.entries import Head
from gateway.audit.log import head_of
from gateway.storage.sql.audit_tables import audit_log
from gateway.storage.sql.errors import DatabaseUnavailable
from gateway.trouble import Trouble

if TYPE_CHECKING:
    from gateway.storage.sql.database import Database

FILE = "audit.anchor"
EVERY = 10.0
"""Seconds."""


def read_anchor(directory: Path) -> Head | None:
    """What was noted last in this data directory; None without a note that can be read."""
    try:
        found = json.loads((directory / FILE).read_text(encoding="ascii"))
        return Head(int(found["seq"]), str(found["hash"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Anchor:
    """Notes the end as it moves on, and never goes back: an end that is before the one noted is told, and not noted."""

    def __init__(self, database: Database, directory: Path) -> None:
        self._database = database
        self._directory = directory
        self._last = read_anchor(directory) or Head(0, "")
        self._told: Head | None = None
        self._log = log = structlog.stdlib.get_logger("gateway.audit")
        self._trouble = Trouble(
            lambda reason: log.warning("audit_not_anchored", reason=reason), lambda: log.info("audit_anchored_again")
        )

    async def run(self, every: float = EVERY) -> None:
        """Until cancelled. Trouble is logged when it begins and when it is over."""
        while True:
            try:
                await self.step()
            except (DatabaseUnavailable, OSError) as error:
                self._trouble.met(error)
            else:
                self._trouble.over()
            await asyncio.sleep(every)

    async def step(self) -> None:
        """Note the end if it moved. Raises DatabaseUnavailable, OSError."""
        async with self._database.connect() as connection:
            head = await head_of(connection)
            noted = await connection.scalar(select(audit_log.c.hash).where(audit_log.c.seq == self._last.seq))
        # The entry that was noted has to be there still: a log that was written anew goes on past it, too.
        gone = self._last.seq > 0 and noted != self._last.hash
        if head is None or head.seq < self._last.seq or gone:
            self._tell(head or Head(0, ""))
        elif head.seq > self._last.seq:
            await asyncio.to_thread(self._keep, head)
            self._last = head
            self._log.info("audit_anchor", seq=head.seq, hash=head.hash)

    def _tell(self, head: Head) -> None:
        if self._told != head:
            self._told = head
            self._log.error(
                "audit_log_went_back", seq=head.seq, anchored=self._last.seq, do="run `gateway audit verify`"
            )

    def _keep(self, head: Head) -> None:
        path = self._directory / FILE
        fresh = path.with_name(f".{FILE}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump({"seq": head.seq, "hash": head.hash}, file)
        fresh.replace(path)
