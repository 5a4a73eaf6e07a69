"""The store's clock, as this worker knows it: all workers count limits and periods by it."""

from __future__ import annotations

import time

from gateway.ports import Clock


class StoreClock:
    """Unix seconds by the store's clock; by this machine's until the store's is known."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = time.time() - clock()
        self.known = False

    def __call__(self) -> float:
        return self._clock() + self._offset

    def at(self, moment: float) -> float:
        """Unix seconds of a moment on our monotonic clock."""
        return moment + self._offset

    def heard(self, now_us: int, at: float) -> None:
        """The store's time in microseconds, read at `at` on our monotonic clock."""
        self._offset = now_us / 1e6 - at
        self.known = True
