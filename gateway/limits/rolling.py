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
    """A rolling mean, and a rolling mean deviation upward, of output tokens for each kind of call."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[float, float]] = {}

    def expect(self, kind: tuple[str, str]) -> int:
        """Output tokens that nearly all calls of this kind stay below."""
        seen = self._seen.get(kind)
        return FIRST if seen is None else max(LEAST, int(seen[0] + DEVIATIONS * seen[1]) + 1)

    def learn(self, kind: tuple[str, str], output: int) -> None:
        """A call of this kind had so much output."""
        seen = self._seen.get(kind)
        if seen is None:
            if len(self._seen) >= MAX_KINDS:
                self._seen.clear()
            self._seen[kind] = float(output), output / 2
            return
        mean, above = seen
        # Only what was more than usual counts: a row of short answers must not raise what is reserved.
        more = max(0.0, output - mean)
        self._seen[kind] = mean + MEMORY * (output - mean), above + MEMORY * (2 * more - above)
