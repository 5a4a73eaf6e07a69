"""The soak's arithmetic: quantiles of a histogram between two looks, slopes, and the picture."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.soak import Sample, Seen, judged, slope
from bench.soak_chart import svg
from bench.soak_metrics import Histogram, parse

PAGE = """# TYPE gateway_loop_lag_seconds histogram
gateway_loop_lag_seconds_bucket{le="0.001"} 50.0
gateway_loop_lag_seconds_bucket{le="0.01"} 98.0
gateway_loop_lag_seconds_bucket{le="0.02"} 100.0
gateway_loop_lag_seconds_bucket{le="+Inf"} 100.0
gateway_loop_lag_seconds_count 100.0
"""


def samples(*rss: int) -> list[Sample]:
    """One a minute."""
    return [Sample(60.0 * at, value, value, 10, 1.0, at, 0) for at, value in enumerate(rss)]


def test_quantiles() -> None:
    """Interpolated within the bucket, of what came since the earlier look."""
    found = parse(PAGE)
    assert found.quantile(0.5) == pytest.approx(0.001)
    assert found.quantile(0.99) == pytest.approx(0.015)
    assert found.minus(found).quantile(0.99) is None
    assert Histogram().quantile(0.99) is None


def test_slopes() -> None:
    """In units per hour, without the first third."""
    assert slope(samples(0, 0, 900, *range(0, 700, 100)), "workers_rss") == pytest.approx(6000)
    assert slope(samples(5, 5, 5, 5, 5, 5), "workers_rss") == 0
    assert slope(samples(1, 2), "workers_rss") == 0


def test_the_picture() -> None:
    """It is well-formed, and says how long it took."""
    seen = samples(*[100_000_000] * 9)
    found = judged(seen, Seen(), 1.0)
    assert found["workers_rss_slope_mb_per_hour"] == 0
    picture = svg(seen, found)
    ElementTree.fromstring(picture)
    assert "8 minutes" in picture
