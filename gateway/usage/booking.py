"""Rows into the ledger, whatever they come from: in batches, bad rows apart, everybody told who counts them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.telemetry.bookkeeping import BookkeepingMetrics
from gateway.types import LedgerRow

_log = logging.getLogger("gateway.usage")

BATCH_ROWS = 4000
"""Rows of one transaction."""


class LedgerStore(Protocol):
    """What of the ledger the bookkeeper needs."""

    async def write(self, rows: Sequence[LedgerRow]) -> int:
        """Book these rows, those that are new; how many were. Committed when it returns."""
        ...

    async def used(self, scope: str, name: str, kind: str, start_us: int, end_us: int) -> int:
        """What the ledger says was used of a quota's kind within the time."""
        ...


OnBooked = Callable[[Sequence[LedgerRow]], None]
IsBadRow = Callable[[Exception], bool]
Cause = Callable[[Exception], str]


class LedgerAway(Exception):
    """The database did not take the rows; nothing is wrong with them. Its text says why, and holds no values."""


def name_of(error: Exception) -> str:
    """What can be said of an error without its text, which may hold values."""
    return type(error).__name__


class Booker:
    """Writes rows to the ledger. `is_bad_row` tells errors that trying again cannot mend from a database that is
    away, `cause` words those for people."""

    def __init__(
        self,
        ledger: LedgerStore,
        metrics: BookkeepingMetrics,
        is_bad_row: IsBadRow,
        on_booked: OnBooked,
        cause: Cause = name_of,
    ) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._is_bad_row = is_bad_row
        self._on_booked = on_booked
        self._cause = cause

    async def book(self, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
        """Commit these rows; those that the database will never take are returned. Raises LedgerAway; some rows may
        then be booked already, which does no harm when they come again."""
        bad: list[LedgerRow] = []
        for start in range(0, len(rows), BATCH_ROWS):
            bad += await self._book(rows[start : start + BATCH_ROWS])
        self._metrics.rows("bad", len(bad))  # not before: after LedgerAway the same rows come again
        return bad

    async def _book(self, rows: Sequence[LedgerRow]) -> list[LedgerRow]:
        try:
            new = await self._ledger.write(rows)
        except Exception as error:  # the border to the database: sorted into two kinds, logged or counted by callers
            if not self._is_bad_row(error):
                raise LedgerAway(self._cause(error)) from error
            return await self._halve(rows, error)
        self._metrics.rows("written", new)
        self._metrics.rows("duplicate", len(rows) - new)
        self._on_booked(rows)
        return []

    async def _halve(self, rows: Sequence[LedgerRow], error: Exception) -> list[LedgerRow]:
        """Find the bad rows among good ones."""
        if len(rows) > 1:
            middle = len(rows) // 2
            return await self._book(rows[:middle]) + await self._book(rows[middle:])
        _log.error("the database refuses a ledger row of call %s: %s", rows[0].call_id, self._cause(error))
        return list(rows)
