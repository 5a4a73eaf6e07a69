"""What is written down while the store is away: events that are certain, and what is booked if this worker dies."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.limits.reservation import Journal, Reservation

JOURNAL_SECONDS = 2.0


class Records:
    """One worker's journal; without one nothing is kept."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal

    def keep(self, events: list[bytes]) -> None:
        """These happened."""
        if self._journal is not None and events:
            self._journal.append(events)

    def under_way(self, reservation: Reservation, event: bytes) -> None:
        """If this worker dies, this is what happened; until the call's end, or that of its attempt, takes its place."""
        self.keep([event])
        reservation.journaled = event

    def withdraw(self, reservation: Reservation) -> None:
        """The call ends, and what was written down of it was never sent."""
        if self._journal is not None and reservation.journaled is not None:
            self._journal.withdraw(reservation.journaled)
        reservation.journaled = None

    async def written(self) -> None:
        """Wait, for a while, until everything is on disk, where the ledger's reader finds it."""
        if self._journal is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._journal.flush(), JOURNAL_SECONDS)
