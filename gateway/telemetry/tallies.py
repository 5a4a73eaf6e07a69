"""Numbers while they grow: plain dictionaries that the event loop writes and any thread may copy."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from gateway.telemetry.families import FAMILIES, Family

Labels = tuple[str, ...]


class Snapshot(msgspec.Struct):
    """One worker's numbers, or several workers'. A histogram's row: its bucket counts, not cumulated, then its sum."""

    instance: str = ""
    folded: list[str] = msgspec.field(default_factory=list)
    """The instances whose files are part of this one."""
    counters: dict[str, dict[Labels, float]] = msgspec.field(default_factory=dict)
    histograms: dict[str, dict[Labels, list[float]]] = msgspec.field(default_factory=dict)
    gauges: dict[str, dict[Labels, tuple[float, float]]] = msgspec.field(default_factory=dict)
    """Value and the wall-clock time it was set at."""


class Counter:
    """A family of sums."""

    __slots__ = ("rows",)

    def __init__(self, rows: dict[Labels, float]) -> None:
        self.rows = rows

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        """Add to one series."""
        rows = self.rows
        rows[labels] = rows.get(labels, 0.0) + amount


class Histogram:
    """A family of distributions."""

    __slots__ = ("bounds", "empty", "rows")

    def __init__(self, rows: dict[Labels, list[float]], bounds: tuple[float, ...]) -> None:
        self.rows = rows
        self.bounds = bounds
        self.empty = [0.0] * (len(bounds) + 2)

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value; a bucket holds values up to and including its bound."""
        row = self.row(labels)
        row[bisect_left(self.bounds, value)] += 1.0
        row[-1] += value

    def row(self, labels: Labels) -> list[float]:
        """The row of one series, which stays the same while the process lives."""
        row = self.rows.get(labels)
        if row is None:
            row = self.rows[labels] = self.empty.copy()
        return row


class Gauge:
    """A family of current values."""

    __slots__ = ("rows",)

    def __init__(self, rows: dict[Labels, tuple[float, float]]) -> None:
        self.rows = rows

    def set(self, labels: Labels, value: float) -> None:
        """Set one series."""
        self.rows[labels] = (float(value), time.time())

    def clear(self) -> None:
        """Forget every series."""
        self.rows.clear()


class Tallies:
    """Every family's numbers in one process. Series without labels stand at zero from the start."""

    def __init__(self, instance: str = "") -> None:
        self._data = Snapshot(instance)
        for family in FAMILIES:
            getattr(self, f"_declare_{family.kind}")(family)

    def counter(self, family: Family) -> Counter:
        """The counter of this family."""
        return Counter(self._data.counters[family.name])

    def histogram(self, family: Family) -> Histogram:
        """The histogram of this family."""
        return Histogram(self._data.histograms[family.name], family.buckets)

    def gauge(self, family: Family) -> Gauge:
        """The gauge of this family."""
        return Gauge(self._data.gauges[family.name])

    def copy(self) -> Snapshot:
        """The numbers as they are now. Safe in any thread: dictionaries and rows are copied in one step each."""
        data = self._data
        return Snapshot(
            data.instance,
            [],
            {name: rows.copy() for name, rows in data.counters.items()},
            {name: {key: row.copy() for key, row in rows.copy().items()} for name, rows in data.histograms.items()},
            {name: rows.copy() for name, rows in data.gauges.items()},
        )

    def _declare_counter(self, family: Family) -> None:
        self._data.counters[family.name] = {} if family.labels else {(): 0.0}

    def _declare_histogram(self, family: Family) -> None:
        empty = [0.0] * (len(family.buckets) + 2)
        self._data.histograms[family.name] = {} if family.labels else {(): empty}

    def _declare_gauge(self, family: Family) -> None:
        self._data.gauges[family.name] = {} if family.labels else {(): (0.0, 0.0)}


def merge(snapshots: Iterable[Snapshot], *, gauges: bool = True) -> Snapshot:
    """Several processes' numbers as one. Without `gauges` for those of the dead, whose current values are nothing."""
    total = Snapshot()
    for snapshot in snapshots:
        total.folded += snapshot.folded
        _merge_counters(total, snapshot)
        _merge_histograms(total, snapshot)
        if gauges:
            _merge_gauges(total, snapshot)
    return total


def _merge_counters(total: Snapshot, part: Snapshot) -> None:
    for name, rows in part.counters.items():
        into = total.counters.setdefault(name, {})
        for key, value in rows.items():
            into[key] = into.get(key, 0.0) + value


def _merge_histograms(total: Snapshot, part: Snapshot) -> None:
    for name, rows in part.histograms.items():
        into = total.histograms.setdefault(name, {})
        for key, row in rows.items():
            found = into.get(key)
            into[key] = row if found is None else [a + b for a, b in zip(found, row, strict=True)]


_MERGES = {family.name: family.merge for family in FAMILIES}


def _merge_gauges(total: Snapshot, part: Snapshot) -> None:
    for name, rows in part.gauges.items():
        into = total.gauges.setdefault(name, {})
        how = _MERGES.get(name, "sum")
        for key, (value, at) in rows.items():
            found = into.get(key)
            if found is None:
                into[key] = (value, at)
            elif how == "sum":
                into[key] = (found[0] + value, max(found[1], at))
            elif how == "max":
                into[key] = max(found, (value, at))
            elif how == "min":
                # A process that never set it knows nothing of it.
                into[key] = min((pair for pair in (found, (value, at)) if pair[1]), default=found)
            else:
                into[key] = max(found, (value, at), key=lambda pair: pair[1])
