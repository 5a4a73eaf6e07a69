"""Which metrics and labels a PromQL expression names."""

from __future__ import annotations

import re

from gateway.telemetry.families import FAMILIES

_FUNCTIONS = {
    "avg",
    "count",
    "histogram_quantile",
    "increase",
    "label_values",
    "max",
    "max_over_time",
    "min",
    "offset",
    "or",
    "predict_linear",
    "rate",
    "sum",
    "time",
    "unless",
}
_SCRAPED = {"up": {"job", "instance"}}
"""Metrics that Prometheus itself makes, with their labels."""
_TARGET_LABELS = {"instance", "job"}


def declared() -> dict[str, set[str]]:
    """Every sample name that our families can have, with its labels."""
    samples = {name: set(labels) for name, labels in _SCRAPED.items()}
    for family in FAMILIES:
        labels = {*family.labels, *_TARGET_LABELS}
        if family.kind == "histogram":
            samples[f"{family.name}_bucket"] = {*labels, "le"}
            samples[f"{family.name}_sum"] = samples[f"{family.name}_count"] = labels
        else:
            samples[family.name] = labels
    return samples


def problems(expression: str) -> list[str]:
    """What this expression names that does not exist: metrics, functions unknown here, or labels of its metrics."""
    samples = declared()
    bare = re.sub(r'"[^"]*"', '""', expression)
    labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"\"", bare))
    for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", bare):
        labels |= {name.strip() for name in group.split(",")}
    bare = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", bare)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    variable = re.fullmatch(r"label_values\((\w+),\s*(\w+)\)", bare)
    if variable:
        labels.add(variable[2])
        bare = variable[1]
    names = set(re.findall(r"(?<![\w.$])[a-zA-Z_:][\w:]*", bare)) - _FUNCTIONS
    known = set().union(*(samples.get(name, set()) for name in names)) if names else set()
    wrong = [f"unknown metric {name}" for name in sorted(names - samples.keys())]
    wrong += [f"unknown label {name}" for name in sorted(labels - known)]
    return wrong if names else ["no metric at all"]
