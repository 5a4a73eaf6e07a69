"""How many retries a failing upstream may get: they must not multiply the load that made it fail.

After Envoy's retry budget (a share of the requests, and a floor), counted over ten seconds as Finagle does.
"""

from __future__ import annotations

import msgspec

SHARE = 0.2
"""Of the first tries of the last ten seconds."""
FLOOR = 3
"""Second tries that each second has in any case."""
SPAN = 10
"""Seconds."""


class Budget(msgspec.Struct, eq=False):
    """First and second tries at one deployment, second by second. Clocks are monotonic seconds."""

    second: int = 0
    firsts: list[int] = msgspec.field(default_factory=lambda: [0] * SPAN)
    retries: list[int] = msgspec.field(default_factory=lambda: [0] * SPAN)

    def count(self, now: float, *, again: bool) -> None:
        """A try was sent."""
        second = int(now)
        if second != self.second:
            self._turn(second)
        (self.retries if again else self.firsts)[second % SPAN] += 1

    def leaves(self, now: float) -> bool:
        """Whether one more second try is left."""
        second = int(now)
        if second != self.second:
            self._turn(second)
        if self.retries[second % SPAN] < FLOOR:
            return True
        return sum(self.retries) < SHARE * sum(self.firsts)

    def _turn(self, second: int) -> None:
        for passed in range(max(self.second + 1, second - SPAN + 1), second + 1):
            self.firsts[passed % SPAN] = self.retries[passed % SPAN] = 0
        self.second = second
