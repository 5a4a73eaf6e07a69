"""Latencies on a logarithmic scale: twenty counters say a percentile, usually within 15 %, and add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_MS = 10.0
RATIO = 1.7
BOUNDS = tuple(round(FIRST_MS * RATIO**n, 1) for n in range(19))
"""Bin n holds what is above BOUNDS[n-1] and at most BOUNDS[n]: to 10 ms, 17 ms, 28.9 ms, … 141 s; the last one, the
rest."""
BINS = len(BOUNDS) + 1


def percentile(counts: Sequence[int], share: float) -> float | None:
    """The value in milliseconds below which `share` (0 to 1) of the samples lie; None without samples."""
    total = sum(counts)
    if total <= 0:
        return None
    rank = share * total
    seen = 0
    for index, count in enumerate(counts):
        if count > 0 and seen + count >= rank:
            low = BOUNDS[index - 1] if index else FIRST_MS / RATIO
            high = BOUNDS[index] if index < len(BOUNDS) else BOUNDS[-1] * RATIO
            inside: float = (high / low) ** ((rank - seen) / count)
            return round(low * inside, 1)
        seen += count
    return BOUNDS[-1]
