"""Our numbers in Prometheus' text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/).

Written here because prometheus_client makes an object per line: 10 µs each, and garbage collections that hold up the
event loop. The tests read this text with prometheus_client's parser.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import lru_cache

from gateway.telemetry.families import FAMILIES, Family
from gateway.telemetry.tallies import Labels, Snapshot

_YIELD_EVERY = 100
"""Series between two moments in which the event loop's thread may have the interpreter."""


def exposition(snapshot: Snapshot) -> bytes:
    """The text of `/metrics`: every family, with its series in the order of their labels."""
    lines: list[str] = []
    for family in FAMILIES:
        lines.append(f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.kind}\n")
        for number, line in enumerate(_WRITERS[family.kind](family, snapshot)):
            lines.append(line)
            if number % _YIELD_EVERY == 0:
                time.sleep(0)
    return "".join(lines).encode()


def _counter(family: Family, snapshot: Snapshot) -> Iterator[str]:
    for labels, value in sorted(snapshot.counters.get(family.name, {}).items()):
        yield f"{family.name}{_braces(_pairs(family.labels, labels))} {value!r}\n"


def _gauge(family: Family, snapshot: Snapshot) -> Iterator[str]:
    for labels, (value, _) in sorted(snapshot.gauges.get(family.name, {}).items()):
        yield f"{family.name}{_braces(_pairs(family.labels, labels))} {value!r}\n"


def _histogram(family: Family, snapshot: Snapshot) -> Iterator[str]:
    """One string per series: its cumulated buckets, its count and its sum."""
    name = family.name
    bounds = [f'le="{bound:.10g}"' for bound in family.buckets]
    for labels, row in sorted(snapshot.histograms.get(name, {}).items()):
        pairs = _pairs(family.labels, labels)
        head = f"{name}_bucket{{{pairs}," if pairs else f"{name}_bucket{{"
        total = 0.0
        lines = []
        for bound, count in zip(bounds, row, strict=False):
            total += count
            lines.append(f"{head}{bound}}} {total!r}\n")
        total += row[-2]
        braces = _braces(pairs)
        lines.append(f'{head}le="+Inf"}} {total!r}\n{name}_count{braces} {total!r}\n{name}_sum{braces} {row[-1]!r}\n')
        yield "".join(lines)


@lru_cache(maxsize=8192)
def _pairs(names: Sequence[str], values: Labels) -> str:
    return ",".join(f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))


def _braces(pairs: str) -> str:
    return f"{{{pairs}}}" if pairs else ""


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


_WRITERS = {"counter": _counter, "gauge": _gauge, "histogram": _histogram}
