"""How much output calls have had lately: what is reserved for a call that does not say how much it wants."""

from __future__ import annotations

FIRST = 256
"""Output tokens expected of a kind of call that was never seen."""
LEAST = 16
MEMORY = 0.05
"""The share of the newest observation in the mean."""
DEVIATIONS = 3.0
MAX_KINDS = 10_000


class Rolling:
    """A rolling mean and mean deviation of output tokens for each kind of call."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[float, float]] = {}

    def expect(self, kind: tuple[str, str]) -> int:
        """Output tokens that nearly all calls of this kind stay below."""
        seen = self._seen.get(kind)
        return FIRST if seen is None else max(LEAST, int(seen[0] + DEVIATIONS * seen[1]) + 1)

    def learn(self, kind: tuple[str, str], output: int) -> None:
        """A call of this kind had so much output."""
        mean, deviation = self._seen.get(kind, (float(FIRST), FIRST / 4))
        if len(self._seen) >= MAX_KINDS and kind not in self._seen:
            self._seen.clear()
        error = output - mean
        self._seen[kind] = mean + MEMORY * error, deviation + MEMORY * (abs(error) - deviation)
