"""The bookkeeper's numbers, shared with the workers, which show them on `/metrics`."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from gateway.telemetry import families
from gateway.telemetry.sharing import Sharer
from gateway.telemetry.tallies import Tallies

_log = logging.getLogger("gateway.telemetry")

RESULTS = ("written", "duplicate", "bad")


class BookkeepingMetrics:
    """Make it in the bookkeeper, after the fork; `start` and `close` frame its life. Without a directory it only
    counts."""

    def __init__(self, directory: Path | None = None, *, flush_seconds: float = 0.25) -> None:
        tallies = Tallies(secrets.token_hex(8))
        self._rows = tallies.counter(families.LEDGER_ROWS)
        for result in RESULTS:  # from zero, so that `increase` sees the first one
            self._rows.add((result,), 0.0)
        self._errors = tallies.counter(families.LEDGER_ERRORS)
        self._backlog = tallies.gauge(families.LEDGER_BACKLOG)
        self._lag = tallies.gauge(families.LEDGER_LAG)
        self._checked = tallies.gauge(families.LEDGER_CHECKED)
        self._spool = tallies.gauge(families.SPOOL_BYTES)
        self._incidents = tallies.gauge(families.INCIDENTS_OPEN)
        self._sharer = Sharer(directory, tallies.copy, flush_seconds)

    def start(self) -> None:
        """Begin to share."""
        self._sharer.start()

    def close(self) -> None:
        """Share a last time."""
        self._sharer.close()

    def rows(self, result: str, count: int) -> None:
        """Rows that came: `written`, `duplicate` (known already) or `bad` (set aside)."""
        if count:
            self._rows.add((result,), count)

    def failed(self) -> None:
        """One try at the database or at Redis that failed."""
        self._errors.add(())

    def backlog(self, entries: int, lag: float) -> None:
        """Events that wait in the streams, and the age of the oldest in seconds."""
        self._backlog.set((), entries)
        self._lag.set((), lag)
        self._checked.set((), time.time())

    def incidents(self, providers: Mapping[str, bool]) -> None:
        """Whether each provider has an open incident."""
        for labels in [labels for labels in self._incidents.rows if labels[0] not in providers]:
            del self._incidents.rows[labels]
        for provider, is_open in providers.items():
            self._incidents.set((provider,), is_open)

    def spool(self, size: int) -> None:
        """Bytes of the spool that are not in SQL."""
        self._spool.set((), size)

    def counted(self, result: str) -> int:
        """Rows with this result so far."""
        return int(self._rows.rows.get((result,), 0))

    @property
    def failures(self) -> int:
        """Tries that failed so far."""
        return int(self._errors.rows[()])

    @property
    def waiting(self) -> int:
        """Events that waited in the streams when they were last looked at."""
        return int(self._backlog.rows[()][0])
