"""How many calls a worker may have under way while its event loop is behind: a controller over its work, pure.

What is measured is the processor time of the work that stood ready at once. Whoever comes now waits for about that
long. Time in which others have the processor is not counted: refusing calls would not bring it back. The signal is
CoDel's (RFC 8289): not how much work there once was, but the least of a window of time. A long garbage collection or
one large body makes a peak; only more work than the loop can do stays throughout. Once calls are refused that is known,
and the window's mean says better how long a call waits.

The answer is a bound on the calls under way, those that wait to begin among them. Work grows with them, so after a
heavy window it is as many as would have made no more work than the target. Streams work on for as long as they last:
a bound that counts them takes in a new one whenever one ends, where a share of those that come would answer to work
that is over with the next call's, and swing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

WINDOW = 0.1
"""Seconds that are judged together."""
PATIENCE = 5
"""Heavy windows in a row before the first call is refused: a burst is worked off instead. One that is very heavy counts
for `HASTE` at most, so that it takes two of them."""
HASTE = 3
STEEPEST = 0.4
GENTLEST = 0.95
"""What a heavy window leaves of the calls under way: the heavier it was, the less. The first one after others leaves
`FIRST` at least: it may be a peak that filled a window."""
FIRST = 0.8
RECOVERY = 1.1
"""What a calm window with refusals multiplies the bound by."""
CALM = 0.5
"""Of the target: below it the bound grows, in between it stays, so that it does not swing."""
QUIET = 12
"""Windows in a row, none of them heavy, without a refusal that end it: longer than clients who were told to come again
in a second stay away, or they all came back to an open door."""
FLOOR = 64
"""Calls under way below which none is refused: so few are never more than a loop can do."""
BURST = 1024
"""Calls that may wait to begin: when as many do, more than can be served have come, whatever windows say later."""


@dataclass(slots=True)
class Throttle:
    """One worker's bound. `target` is in seconds; 0 takes everybody in, always."""

    target: float
    floor: int = FLOOR
    shedding: bool = False
    """Whether calls are refused at the moment."""
    most: float = inf
    """Calls under way, while shedding."""
    refused: int = 0
    """Since shedding began."""
    standing: float = 0.0
    """The work of the last window, in seconds: the least of its looks, their mean while shedding."""
    _least: float = inf
    _elapsed: float = 0.0
    _work: float = 0.0
    _running: float = 0.0
    """Work, and calls under way, times seconds, in this window."""
    _heavy: int = 0
    _quiet: int = 0
    _refused_before: int = 0

    def sample(self, work: float, seconds: float, running: int) -> bool:
        """So much work stood ready, `seconds` after the last look, with so many calls under way; whether shedding has
        just begun or ended."""
        before = self.shedding
        self._least = min(self._least, work)
        self._elapsed += seconds
        self._work += work * seconds
        self._running += running * seconds
        if self._elapsed >= WINDOW:
            self.standing = self._work / self._elapsed if before else self._least
            running_mean = self._running / self._elapsed
            self._least, self._elapsed, self._work, self._running = inf, 0.0, 0.0, 0.0
            if self.target > 0:
                self._judge(self.standing, running_mean)
        return self.shedding is not before

    def crowded(self, running: int) -> bool:
        """`BURST` calls wait to begin; whether shedding has just begun. It is bound to what is under way already: if
        that is more work than the target, the bound falls."""
        if self.target <= 0 or running < self.floor:
            return False
        if self.shedding:
            self.most = min(self.most, running)
            return False
        self._begin(running)
        return True

    def admits(self, running: int) -> bool:
        """Whether one more call may come in while so many are under way; to be asked once for each, and only while
        shedding."""
        if running < self.floor or running < self.most:
            return True
        self.refused += 1
        return False

    def _begin(self, most: float) -> None:
        self.shedding, self.most = True, most
        self.refused = self._refused_before = self._quiet = 0

    def _judge(self, standing: float, running: float) -> None:
        if standing > self.target:
            steepest = STEEPEST if self._heavy else FIRST
            self._heavy += min(HASTE, int(standing / self.target))
            self._quiet = 0
            if not self.shedding and self._heavy >= PATIENCE:
                self._begin(inf)
            if self.shedding:
                self.most = max(self.floor, running * max(steepest, min(GENTLEST, self.target / standing)))
            return
        self._heavy = 0
        if not self.shedding:
            return
        binding, self._refused_before = self.refused > self._refused_before, self.refused
        self._quiet = 0 if binding else self._quiet + 1
        if self._quiet >= QUIET:
            self.shedding, self.most = False, inf
        elif binding and standing < self.target * CALM:
            # Calls that do not work at all may be more than the bound: it grows from what is there.
            self.most = max(self.most, running) * RECOVERY
