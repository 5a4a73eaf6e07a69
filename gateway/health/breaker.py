"""The breaker of one deployment: when it opens, for how long, and what closes it. No clock, no I/O.

After Envoy's outlier detection and Finagle's failure accrual: failures in a row, or a low share of successes; open
times that grow while the trouble lasts, spread so that workers do not come back together.
"""

from __future__ import annotations

from math import inf
from random import Random

import msgspec

OPEN_AFTER = 5
"""Failures in a row."""
WINDOW = 20
"""The attempts whose share of successes counts."""
MOST_FAILURES = 4
"""Of a full window: a share of 80 % is the least."""
OPEN_SECONDS = 5.0
"""Times how often it has opened in a row."""
MOST_SECONDS = 25.0
JITTER = 0.2
SETTLED_SECONDS = 60.0
"""A breaker that stayed closed so long starts with the shortest time again."""
_MASK = (1 << WINDOW) - 1


class Breaker(msgspec.Struct, eq=False):
    """Counts outcomes. Whether it is open now is its owner's to know: only while closed does it hear of outcomes."""

    failures: int = 0
    """In a row."""
    window: int = 0
    """The latest outcomes, a bit each, the newest lowest: 1 failed."""
    seen: int = 0
    """How many of them there are, up to WINDOW."""
    openings: int = 0
    """In a row, that is without a settled time in between."""
    closed_at: float = -inf
    """Monotonic seconds of the last closing."""
    blamed: int = 0
    """Failures that it opened for last, those of its window."""

    def succeeded(self) -> int:
        """An attempt was answered: how many failures in a row that ended."""
        ended, self.failures = self.failures, 0
        if self.window:
            self.window = self.window << 1 & _MASK
        if self.seen < WINDOW:
            self.seen += 1
        return ended

    def failed(self, now: float, chance: Random, *, at_once: bool = False, ended: int | None = None) -> float | None:
        """An attempt failed: the seconds for which the breaker opens, or None while it stays closed. `ended`: it had
        been answered and broke off; so many failures in a row that this had ended go on."""
        self.failures += (ended or 0) + 1
        if ended is not None and self.window.bit_count() < self.seen:
            self.window |= self.window + 1  # it was counted, as a success: the newest one is none
        else:
            self.window = (self.window << 1 | 1) & _MASK
            if self.seen < WINDOW:
                self.seen += 1
        bad_share = self.seen == WINDOW and self.window.bit_count() > MOST_FAILURES
        if at_once or bad_share or self.failures >= OPEN_AFTER:
            return self.opened(now, chance)
        return None

    def opened(self, now: float, chance: Random, base: float = OPEN_SECONDS, most: float = MOST_SECONDS) -> float:
        """It opens, from closed or after a failed trial: for so many seconds."""
        settled = now - self.closed_at >= SETTLED_SECONDS and self.closed_at > -inf
        self.openings = 1 if settled else self.openings + 1
        self.blamed = max(1, self.window.bit_count())  # a failed trial is not in it
        self.failures = self.window = self.seen = 0
        self.closed_at = -inf
        return min(most, base * self.openings) * chance.uniform(1.0 - JITTER, 1.0 + JITTER)

    def closed(self, now: float) -> None:
        """A trial got an answer. One more failure before a success opens it again: an answer that begins may yet
        break off."""
        self.failures = OPEN_AFTER - 1
        self.window = self.seen = 0
        self.closed_at = now
