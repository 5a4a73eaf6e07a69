"""How many new calls a worker may take in while its event loop is behind: a controller over the loop's lag, pure.

The signal is CoDel's (RFC 8289): not how late the loop once was, but the least that it was late in a window of time. A
long garbage collection or one large body makes a peak; only more work than the loop can do keeps it late throughout.
The answer is a share: of every hundred new calls so many are taken in. It falls with the lag and grows back slowly, so
that the loop stays busy all the time and late by no more than about the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

WINDOW = 0.1
"""Seconds of which the least lag counts."""
PATIENCE = 5
"""Late windows in a row before the first call is refused: a burst is worked off instead. One that is very late counts
for `HASTE` at most, so that it takes two of them."""
HASTE = 3
LEAST_SHARE = 0.05
"""Some are always taken in, or nobody would find out that the load is gone."""
STEEPEST = 0.4
GENTLEST = 0.95
"""What a late window leaves of the share: the later it was, the less."""
RECOVERY = 1.05
"""What a calm window multiplies the share by."""
CALM = 0.5
"""Of the target: below it the share grows, in between it stays, so that it does not swing."""
FLOOR = 64
"""Calls under way below which none is refused: so few do not keep a loop busy, somebody else has the processor."""


@dataclass(slots=True)
class Throttle:
    """One worker's share of admitted calls. `target` is in seconds; 0 takes everybody in, always."""

    target: float
    floor: int = FLOOR
    shedding: bool = False
    """Whether calls are refused at the moment."""
    share: float = 1.0
    refused: int = 0
    """Since shedding began."""
    standing: float = 0.0
    """The least lag of the last window, in seconds."""
    _least: float = inf
    _elapsed: float = 0.0
    _late: int = 0
    _credit: float = 0.0

    def sample(self, lag: float, seconds: float) -> bool:
        """The loop was this late, `seconds` after the last look; whether shedding has just begun or ended."""
        before = self.shedding
        self._least = min(self._least, lag)
        self._elapsed += seconds
        if self._elapsed >= WINDOW:
            self.standing, self._least, self._elapsed = self._least, inf, 0.0
            self._judge(self.standing)
        return self.shedding is not before

    def _judge(self, standing: float) -> None:
        if self.target <= 0:
            return
        if standing > self.target:
            self._late += min(HASTE, int(standing / self.target))
            if not self.shedding and self._late >= PATIENCE:
                self.shedding, self.refused = True, 0
            if self.shedding:
                self.share = max(LEAST_SHARE, self.share * max(STEEPEST, min(GENTLEST, self.target / standing)))
            return
        self._late = 0
        if self.shedding and standing < self.target * CALM:
            self.share = min(1.0, self.share * RECOVERY)
            self.shedding = self.share < 1.0

    def admits(self, in_flight: int) -> bool:
        """Whether one more call may come in while so many run; to be asked once for each, and only while shedding."""
        if in_flight < self.floor:
            return True
        self._credit += self.share
        if self._credit >= 1.0:
            self._credit -= 1.0
            return True
        self.refused += 1
        return False
