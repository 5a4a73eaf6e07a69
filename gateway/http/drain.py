"""How a worker ends: which phase it is in, decided from the signals it got, the time and what still runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import inf


class Phase(IntEnum):
    """The phases in their order; a worker never goes back."""

    SERVING = 0
    LEAVING = 1
    """Readiness is off, so that load balancers take notice; everything is served still."""
    REFUSING = 2
    """New work is refused, what runs goes on."""
    ENDING = 3
    """What still runs is told so and ended."""


@dataclass(slots=True)
class Drain:
    """The facts of one worker's end. Times are monotonic seconds; pure apart from what it is told."""

    grace: float
    """Seconds of LEAVING."""
    patience: float
    """Seconds of REFUSING at most."""
    _refuse_at: float = inf
    _hurried: bool = False
    _reached: Phase = Phase.SERVING

    def begin(self, now: float, *, grace: bool = True) -> None:
        """The worker is to end. Told again, it only ever ends sooner: a signal may come from a terminal and from the
        parent."""
        self._refuse_at = min(self._refuse_at, now + (self.grace if grace else 0.0))

    def hurry(self) -> None:
        """End what runs at once."""
        self._hurried = True

    def phase(self, now: float, in_flight: int) -> Phase:
        """Where the worker is now, with so many calls running."""
        self._reached = max(self._reached, self._due(now, in_flight))
        return self._reached

    def _due(self, now: float, in_flight: int) -> Phase:
        if self._hurried:
            return Phase.ENDING
        if self._refuse_at == inf:
            return Phase.SERVING
        if now < self._refuse_at:
            return Phase.LEAVING
        if in_flight == 0 or now >= self._refuse_at + self.patience:
            return Phase.ENDING
        return Phase.REFUSING
