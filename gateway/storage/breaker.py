"""When to stop asking a sick store, and when to look again. Pure: clock and chance come from outside."""

from __future__ import annotations

from collections.abc import Callable

from gateway.storage.errors import SICK, Reason

THRESHOLD = 3
"""Failures in a row that open it."""
SHORTEST, LONGEST = 0.25, 1.0
"""Seconds between two probes: they double from the first to the second."""
SPREAD = 0.2
"""Share by which a wait varies either way, so that many processes do not probe as one."""
STEADY_SECONDS = 10.0
"""A store that is well for this long is trusted again: its next trouble is probed early."""
CONFIRMING = 0.1
"""Seconds between two probes of a store that was slow and answers quickly again."""
QUICK_PROBES, MOST_PROBES = 3, 6
"""Quick answers in a row before a store that was slow counts as well, and when it is slow again soon. One that answers
now and then would be taken back and given up many times a second, and calls would wait each time."""


class StoreBreaker:
    """Open while the store is thought sick. Only failures of the store itself count, and only a probe closes it."""

    __slots__ = (
        "_chance", "_clock", "_closed_at", "_failed_at", "_missing", "_needed", "_probes", "failures", "open", "reason",
    )  # fmt: skip

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        """`clock`: monotonic seconds. `chance`: evenly spread in [0, 1)."""
        self._clock = clock
        self._chance = chance
        self._closed_at = float("-inf")
        self._failed_at = float("-inf")
        self._probes = 0
        self._needed = QUICK_PROBES
        self._missing = QUICK_PROBES
        """Quick probes that are still wanted of a slow store."""
        self.open = False
        self.failures = 0
        """Failures in a row so far."""
        self.reason: Reason = "down"
        """Of the latest failure that counted."""

    def __repr__(self) -> str:
        state = f"open reason={self.reason}" if self.open else f"closed failures={self.failures}"
        return f"<StoreBreaker {state}>"

    def failed(self, reason: Reason, *, certain: bool = False) -> bool:
        """A command failed; whether that opens it. `certain`: it counts whatever its reason."""
        if self.open or (reason not in SICK and not certain):
            return False
        now = self._clock()
        if now - self._failed_at > STEADY_SECONDS:
            self.failures = 0
        self._failed_at = now
        self.reason = reason
        self.failures += 1
        if self.failures < THRESHOLD:
            return False
        self.open = True
        if now - self._closed_at >= STEADY_SECONDS:
            self._probes, self._needed = 0, QUICK_PROBES
        else:
            self._needed = min(MOST_PROBES, 2 * self._needed)
        self._missing = self._needed
        return True

    def follow(self, reason: Reason) -> None:
        """Open because somebody else found the store sick; `close` when nobody does any more."""
        self.open, self.reason = True, reason

    def close(self) -> None:
        """The store is well."""
        self.open = False
        self.failures = 0
        self._closed_at = self._clock()

    def succeeded(self, *, wrote: bool = True) -> None:
        """A command was answered. A mere read is no sign that a replica takes writes again; nor is a script any that a
        full server does, for one that frees something first may go on to write."""
        if self.reason != "oom" and (wrote or self.reason != "readonly"):
            self.failures = 0

    def wait(self) -> float:
        """Seconds until the next probe."""
        if self._missing < self._needed:
            return CONFIRMING * (1.0 + 2.0 * SPREAD * (2.0 * self._chance() - 1.0))
        base = min(LONGEST, SHORTEST * 2.0**self._probes)
        self._probes = min(self._probes + 1, 16)
        return base * (1.0 + SPREAD * (2.0 * self._chance() - 1.0))

    def probed(self, reason: Reason | None, *, quick: bool = True) -> bool:
        """A probe ended, None: well, and perhaps quick. Whether that closes it."""
        if reason is not None:
            self.reason, self._missing = reason, self._needed
            return False
        if self.reason == "slow":
            self._missing = self._missing - 1 if quick else self._needed
            if self._missing > 0:
                return False
        self.close()
        return True
