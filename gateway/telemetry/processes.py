"""What the parent knows of its children, shared with the workers, which show it on `/metrics`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from pathlib import Path

from gateway.telemetry import families, shared
from gateway.telemetry.tallies import Tallies

PROCESSES = ("worker", "bookkeeper", "administrator", "store")


class ProcessMetrics:
    """Make it in the parent, which runs no threads: `sweep` writes the numbers."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._tallies = Tallies(secrets.token_hex(8))
        self._restarts = self._tallies.counter(families.PROCESS_RESTARTS)
        for process in PROCESSES:  # from zero, so that `increase` sees the first one
            self._restarts.add((process,), 0.0)

    def died(self, process: str) -> None:
        """One of `PROCESSES` ended and will be started again."""
        self._restarts.add((process,))

    def sweep(self, live_pids: Collection[int]) -> int:
        """`shared.sweep`, our own numbers among those of the living. Raises OSError."""
        shared.write(self._directory, self._tallies.copy())
        return shared.sweep(self._directory, {os.getpid(), *live_pids})
