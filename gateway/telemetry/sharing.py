"""A process's numbers on their way to the others: written to its file every now and then, and once more at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

from gateway.telemetry import shared
from gateway.telemetry.tallies import Snapshot

_log = logging.getLogger("gateway.telemetry")


class Sharer:
    """Writes what `copy` gives into `directory`, from a thread of its own; without a directory it does nothing."""

    def __init__(self, directory: Path | None, copy: Callable[[], Snapshot], seconds: float) -> None:
        self._directory = directory
        self._copy = copy
        self._seconds = seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin. After the fork: a thread does not survive one."""
        if self._directory is not None:
            self._thread = threading.Thread(target=self._run, args=(self._directory,), name="metrics", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Share a last time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, directory: Path) -> None:
        failing = stopping = False
        while not stopping:
            stopping = self._stop.wait(self._seconds)
            try:
                shared.write(directory, self._copy())
                failing = False
            except OSError:  # a full disk: the next round writes everything, nothing is lost
                if not failing:
                    _log.exception("this process's metrics cannot be written; the others do not show them meanwhile")
                failing = True
