"""The overload benchmark's arithmetic."""

from __future__ import annotations

from bench.arrivals import Seen, summary
from bench.overload import judge, line


def test_summary() -> None:
    """Rates are per second, quantiles in milliseconds; what did not happen has none."""
    found = summary(Seen(admitted=[0.1] * 69 + [0.3], first_bytes=[0.05], lateness=[0.001]), 10.0)
    assert found["goodput"] == 10.0
    assert found["admitted_p50_ms"] == 100.0
    assert found["shed_p99_ms"] is None
    shown = line({**found, "gateway_cpu_s": 1.5, "provider_cpu_s": 0.5, "client_cpu_s": 2})
    assert "shed" not in shown
    assert "gateway 1.5, provider 0.5" in shown


def test_judge() -> None:
    """Ratios against the peak of the same run."""
    peak = {"goodput": 100.0, "admitted_p99_ms": 50.0}
    over = {"goodput": 95.0, "admitted_p99_ms": 110.0, "shed_p99_ms": 20.0}
    found = judge(peak, over)
    assert found["found"] == {"goodput": 0.95, "admitted_p99": 2.2, "shed_p99_ms": 20.0}
    assert found["met"] == {"goodput": True, "admitted_p99": False, "shed_p99_ms": True}
    assert not judge(peak, {**over, "shed_p99_ms": None})["met"]["shed_p99_ms"]
