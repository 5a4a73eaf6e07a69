"""How many new calls a worker may take in while its event loop is behind: a controller over the loop's turns, pure.

What is measured is the processor time of one turn of the loop: all the work that was ready at once. Whoever comes now
waits for about that long. Time in which others have the processor is not counted: refusing calls would not bring it
back. The signal is CoDel's (RFC 8289): not how much work there once was, but the least of a window of time. A long
garbage collection or one large body makes a peak; only more work than the loop can do stays throughout.

The answer is a share: of every hundred new calls so many are taken in. It falls with the work and grows back slowly, so
that the loop stays busy all the time, with turns of about the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

WINDOW = 0.1
"""Seconds of which the lightest turn counts."""
PATIENCE = 5
"""Heavy windows in a row before the first call is refused: a burst is worked off instead. One that is very heavy counts
for `HASTE` at most, so that it takes two of them."""
HASTE = 3
LEAST_SHARE = 0.05
"""Some are always taken in, or nobody would find out that the load is gone."""
STEEPEST = 0.4
GENTLEST = 0.95
"""What a heavy window leaves of the share: the heavier it was, the less."""
RECOVERY = 1.05
"""What a calm window multiplies the share by."""
CALM = 0.5
"""Of the target: below it the share grows, in between it stays, so that it does not swing."""
FLOOR = 64
"""Calls under way below which none is refused: so few are never more than a loop can do."""

BURST = 1024
"""Calls that may come at once, beyond what is worked off meanwhile."""
PER_LOOK = 256
"""Calls for which there is room again at each look: more than can be served between two looks of a loop that is on
time, and the fewer, the longer its turns. Without it turns grow into each other: what comes during a long one makes the
next one longer still, and thousands wait before the lightest turn of a window is known."""


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
    """The lightest turn of the last window, in seconds."""
    room: int = BURST
    """Calls that may still come before the next look. Counted down by who takes them in while nobody is refused."""
    _least: float = inf
    _elapsed: float = 0.0
    _heavy: int = 0
    _credit: float = 0.0

    def sample(self, turn: float, seconds: float) -> bool:
        """A turn took so many seconds, `seconds` after the last look; whether shedding has just begun or ended."""
        before = self.shedding
        self.room = min(BURST, max(0, self.room) + PER_LOOK)
        self._least = min(self._least, turn)
        self._elapsed += seconds
        if self._elapsed >= WINDOW:
            self.standing, self._least, self._elapsed = self._least, inf, 0.0
            self._judge(self.standing)
        return self.shedding is not before

    def crowded(self, in_flight: int) -> bool:
        """More came than there was room for; whether shedding has just begun. The share stays whole: what has no room
        is refused, and if turns get heavy too, the share falls."""
        if self.shedding or self.target <= 0 or in_flight < self.floor:
            return False
        self.shedding, self.refused = True, 0
        return True

    def _judge(self, standing: float) -> None:
        if self.target <= 0:
            return
        if standing > self.target:
            self._heavy += min(HASTE, int(standing / self.target))
            if not self.shedding and self._heavy >= PATIENCE:
                self.shedding, self.refused = True, 0
            if self.shedding:
                self.share = max(LEAST_SHARE, self.share * max(STEEPEST, min(GENTLEST, self.target / standing)))
            return
        self._heavy = 0
        if self.shedding and standing < self.target * CALM:
            self.share = min(1.0, self.share * RECOVERY)
            self.shedding = self.share < 1.0

    def admits(self, in_flight: int) -> bool:
        """Whether one more call may come in while so many run; to be asked once for each, and only while shedding."""
        if in_flight < self.floor:
            return True
        if self.room > 0 or self.target <= 0:
            self._credit += self.share
            if self._credit >= 1.0:
                self._credit -= 1.0
                self.room -= 1
                return True
        self.refused += 1
        return False
