"""The loop's lag as `/metrics` tells it."""

import re
import urllib.request
from dataclasses import dataclass, field

_BUCKET = re.compile(r'^gateway_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulated counts by upper bound in seconds."""

    counts: dict[float, float] = field(default_factory=dict)

    def minus(self, earlier: "Histogram") -> "Histogram":
        """What came since then. Totals of workers that were replaced are kept by the gateway, so none falls."""
        return Histogram({bound: count - earlier.counts.get(bound, 0.0) for bound, count in self.counts.items()})

    def quantile(self, share: float) -> float | None:
        """The value that `share` of all do not exceed, interpolated within its bucket as Prometheus does; None for
        nothing."""
        bounds = sorted(self.counts)
        total = self.counts[bounds[-1]] if bounds else 0.0
        if total <= 0:
            return None
        below, before = 0.0, 0.0
        for bound in bounds:
            if self.counts[bound] >= share * total:
                if bound == float("inf"):
                    return below
                return below + (bound - below) * (share * total - before) / (self.counts[bound] - before)
            below, before = bound, self.counts[bound]
        return below


def parse(page: str) -> Histogram:
    """The histogram on a page of metrics."""
    return Histogram({float(bound): float(count) for bound, count in _BUCKET.findall(page)})


def lag_histogram(url: str) -> Histogram | None:
    """As it is now; None when nobody answers."""
    try:
        with _OPENER.open(url, timeout=20) as reply:
            return parse(reply.read().decode())
    except OSError:
        return None
