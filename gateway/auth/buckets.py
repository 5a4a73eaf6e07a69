"""How often somebody may try: a bucket for each, of which a bounded number is remembered."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

MOST = 20_000
"""Callers that are remembered; whoever was not seen for longest is forgotten first."""


class Buckets:
    """One bucket of `burst` tries for each name, refilled by `per_second`."""

    def __init__(
        self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic, most: int = MOST
    ) -> None:
        self._burst = burst
        self._rate = per_second
        self._clock = clock
        self._most = most
        self._found: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._found)

    def take(self, name: str) -> float:
        """Use one try up; 0, or the seconds until there is one again."""
        now, left = self._clock(), self._left(name)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate
        self._keep(name, left - 1 if wait == 0 else left, now)
        return wait

    def wait(self, name: str) -> float:
        """Seconds until there is a try; nothing is used up."""
        left = self._left(name)
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def give_back(self, name: str) -> None:
        """The try did not count."""
        self._keep(name, min(self._burst, self._left(name) + 1), self._clock())

    def _left(self, name: str) -> float:
        found = self._found.get(name)
        if found is None:
            return self._burst
        left, since = found
        return min(self._burst, left + (self._clock() - since) * self._rate)

    def _keep(self, name: str, left: float, now: float) -> None:
        self._found[name] = (left, now)
        self._found.move_to_end(name)
        if len(self._found) > self._most:
            self._found.popitem(last=False)


def seconds(wait: float) -> int:
    """As `retry-after` says it."""
    return max(1, math.ceil(wait))
