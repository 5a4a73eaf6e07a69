"""How long deployments take to begin an answer, and how many calls of a route were hedged. No I/O.

Streams begin with their first event, other answers when all of them is there: each kind is known for itself.
"""

from __future__ import annotations

from collections import deque
from math import ceil

KEPT = 100
"""The latest answers of each deployment."""
LEAST = 20
"""Answers without which there is no p95."""
FORGET_AT = 10_000
"""Calls of a route after which half of what was counted is forgotten."""
MOST_NAMES = 4096


class Latencies:
    """Seconds to the first byte, of the deployments that hedged routes use."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bool], deque[float]] = {}

    def learn(self, deployment: str, seconds: float, *, stream: bool) -> None:
        """An answer began, or was not waited for any longer."""
        seen = self._seen.get((deployment, stream))
        if seen is None:
            if len(self._seen) >= MOST_NAMES:
                self._seen.clear()
            seen = self._seen[deployment, stream] = deque(maxlen=KEPT)
        seen.append(seconds)

    def p95(self, deployment: str, *, stream: bool) -> float | None:
        """What nineteen of twenty of the latest answers did not exceed; None while too few are known."""
        seen = self._seen.get((deployment, stream), ())
        return sorted(seen)[ceil(0.95 * len(seen)) - 1] if len(seen) >= LEAST else None


class Share:
    """Which part of each route's calls was hedged."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._hedged: dict[str, int] = {}

    def called(self, route: str) -> None:
        """One call more."""
        calls = self._calls.get(route, 0) + 1
        if calls >= FORGET_AT:
            calls //= 2
            self._hedged[route] = self._hedged.get(route, 0) // 2
        self._calls[route] = calls

    def take(self, route: str, most: float) -> bool:
        """Whether one of its calls may be hedged now; if so, it is counted."""
        hedged = self._hedged.get(route, 0) + 1
        if hedged > most * self._calls.get(route, 0):
            return False
        self._hedged[route] = hedged
        return True
