"""Latency histograms: close enough, and never outside what was measured by more than a bin."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.sql.tables import BINS as COLUMNS
from gateway.usage.histogram import BINS, BOUNDS, RATIO, percentile


def test_columns() -> None:
    """Every bin has a column."""
    assert BINS == COLUMNS


def test_no_samples() -> None:
    """Nothing measured has no percentile."""
    assert percentile([0] * BINS, 0.5) is None


@given(st.lists(st.floats(10, 140_000), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_close(samples: list[float], share: float) -> None:
    """A percentile is within one bin's ratio of the sample at that rank."""
    counts = [0] * BINS
    for sample in samples:
        counts[bisect_left(BOUNDS, sample)] += 1
    rank = max(0, -(-len(samples) * share // 1) - 1)
    true = sorted(samples)[int(rank)]
    found = percentile(counts, share)
    assert found is not None
    assert true / RATIO * 0.98 <= found <= true * RATIO * 1.02
