"""The run as text for people and as JSON for programs."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.goals import Facts, Verdict
from bench.results import SystemResult, medians

Row = Sequence[str]
NOISE_PERCENT = 10

_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("W1 rps", "w1.rps", ",.0f"),
    ("p50 ms", "w1.p50_ms", ",.2f"),
    ("p99 ms", "w1.p99_ms", ",.2f"),
    ("CPU µs", "w1.cpu_us", ",.0f"),
    ("W2 /s", "w2.rps", ",.0f"),
    ("CPU µs", "w2.cpu_us", ",.0f"),
    ("W3 rps", "w3.rps", ",.0f"),
    ("p99 ms", "w3.p99_ms", ",.1f"),
    ("1-conn +ms", "solo.added_ms", ",.2f"),
    ("paced µs/ev", "paced.cpu_us_event", ",.1f"),
    ("RSS MB", "rss_mb", ",.0f"),
    ("tree MB", "rss_tree_mb", ",.0f"),
    ("big MB", "big.rss_tree_mb", ",.0f"),
    ("start s", "startup_s", ",.2f"),
)
_RATIOS: tuple[tuple[str, str], ...] = (("W1 rps", "w1.rps"), ("W2 /s", "w2.rps"), ("W3 rps", "w3.rps"))


def table(rows: Sequence[Row]) -> str:
    """Aligned columns: the first to the left, the others to the right; the first row is the head."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def _number(facts: Facts, name: str, pattern: str) -> str:
    value = facts.get(name)
    return "-" if value is None else format(value, pattern)


def numbers(systems: Mapping[str, SystemResult], facts: Facts) -> str:
    """Medians of everything measured, one row per system."""
    rows: list[Row] = [["", *(title for title, _, _ in _COLUMNS)]]
    for name, system in systems.items():
        if name != "direct":
            rows.append([system.label, *(_number(facts, f"{name}.{key}", form) for _, key, form in _COLUMNS)])
    return table(rows)


def ratios(systems: Mapping[str, SystemResult], facts: Facts) -> str:
    """How many times as fast as each peer the gateway is."""
    rows: list[Row] = [["the gateway against", *(title for title, _ in _RATIOS), "CPU/request W1"]]
    for name, system in systems.items():
        if name not in {"direct", "gateway"}:
            cells = [_quotient(facts, f"gateway.{key}", f"{name}.{key}") for _, key in _RATIOS]
            rows.append([system.label, *cells, _quotient(facts, "gateway.w1.cpu_us", f"{name}.w1.cpu_us")])
    return table(rows)


def _quotient(facts: Facts, ours: str, theirs: str) -> str:
    if ours not in facts or not facts.get(theirs):
        return "-"
    return f"{facts[ours] / facts[theirs]:,.2f} x"


def verdicts(judged: Sequence[Verdict]) -> str:
    """The goals, what was found and whether each is met."""
    rows: list[Row] = [["goal", "wanted", "found", ""]]
    words = {True: "met", False: "MISSED", None: "not measured"}
    for verdict in judged:
        found = "-" if verdict.value is None else f"{verdict.value:,.2f} {verdict.unit}"
        rows.append([verdict.title, f"{verdict.wanted} {verdict.unit}", found, words[verdict.met]])
    return table(rows)


def remarks(systems: Mapping[str, SystemResult]) -> str:
    """What was switched on, what went wrong, which answers were errors."""
    lines = []
    for name, system in systems.items():
        if name == "direct":
            continue
        lines.append(f"{system.label}: {system.about}")
        lines += [f"  {workload} not measured: {reason}" for workload, reason in system.failures.items()]
        for workload, samples in system.samples.items():
            errors = medians(samples).get("errors", 0)
            if errors:
                lines.append(f"  {workload}: {errors:,.0f} requests failed")
    return "\n".join(lines)


def noise(facts: Facts) -> str:
    """A warning when other work shared the machine with the load; empty when it was quiet."""
    shares = [value for name, value in facts.items() if name.endswith(".others_pct")]
    if not shares or max(shares) < NOISE_PERCENT:
        return ""
    return (
        f"Other work took up to {max(shares):.0f} % of a core beside the measurements: "
        "compare CPU per request, and repeat the run on a quiet machine for rates and latencies."
    )


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def document(
    systems: Mapping[str, SystemResult], facts: Facts, judged: Sequence[Verdict], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything, as it goes into the JSON file."""
    return {
        "machine": machine(),
        "options": dict(options),
        "facts": {name: round(value, 3) for name, value in sorted(facts.items())},
        "goals": [asdict(verdict) for verdict in judged],
        "systems": {name: asdict(system) for name, system in systems.items()},
    }
