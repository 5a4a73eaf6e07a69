"""The numbers of a run: samples per system and workload, and the medians that tables and goals speak of."""

import statistics
from dataclasses import dataclass, field

Sample = dict[str, float]
SUMMED = frozenset({"errors"})


@dataclass(slots=True)
class SystemResult:
    """All that was measured of one system; `failures` says per workload why there are no numbers."""

    title: str
    about: str
    version: str = ""
    startup_s: list[float] = field(default_factory=list)
    rss_mb: float | None = None
    rss_tree_mb: float | None = None
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its name with its version."""
        return f"{self.title} {self.version}".strip()


def medians(samples: list[Sample]) -> Sample:
    """The median of every measured value; errors are added up."""
    names = {name: None for sample in samples for name in sample}
    merged: Sample = {}
    for name in names:
        values = [sample[name] for sample in samples if name in sample]
        merged[name] = sum(values) if name in SUMMED else statistics.median(values)
    return merged


def facts(systems: dict[str, SystemResult]) -> dict[str, float]:
    """Flat names for everything measured: `gateway.w1.rps`, `nginx.startup_s`, `gateway.rss_mb`, …"""
    flat: dict[str, float] = {}
    for name, system in systems.items():
        for workload, samples in system.samples.items():
            if samples:
                flat |= {f"{name}.{workload}.{key}": value for key, value in medians(samples).items()}
        if system.startup_s:
            flat[f"{name}.startup_s"] = statistics.median(system.startup_s)
        for key, value in (("rss_mb", system.rss_mb), ("rss_tree_mb", system.rss_tree_mb)):
            if value is not None:
                flat[f"{name}.{key}"] = value
    for name in systems:
        solo, direct = flat.get(f"{name}.solo.p50_ms"), flat.get("direct.solo.p50_ms")
        if name != "direct" and solo is not None and direct is not None:
            flat[f"{name}.solo.added_ms"] = max(0.0, solo - direct)
    return flat
