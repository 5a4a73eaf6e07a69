"""`python -m bench`: measure the gateway against its peers, side by side, on two cores of this machine."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from bench import chart, goals, report, runner, session
from bench.processes import BenchError
from bench.results import SystemResult, facts
from bench.systems import SYSTEMS, System
from bench.workloads import WORKLOADS, Workload


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    systems = ",".join(system.name for system in SYSTEMS)
    workloads = ",".join(workload.name for workload in WORKLOADS)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", type=_names, default=_names(systems), metavar="A,B", help=f"of {systems}")
    parser.add_argument("--workloads", type=_names, default=_names(workloads), metavar="A,B", help=f"of {workloads}")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per workload (3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds per round and system (4)")
    parser.add_argument("--quick", action="store_true", help="one round of one second: does it all work?")
    parser.add_argument("--output", type=Path, default=runner.RESULTS, help="directory for latest.json and latest.svg")
    options = parser.parse_args(arguments)
    unknown = (set(options.only) - set(_names(systems))) | (set(options.workloads) - set(_names(workloads)))
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {systems} and {workloads}")
    if options.quick:
        options.rounds, options.seconds = 1, 1.0
    return options


def _install(systems: Sequence[System]) -> tuple[list[System], dict[str, SystemResult]]:
    """What can be measured, and a result to fill for each; a peer that cannot be installed is named with the reason."""
    ready, results = [], {}
    for system in systems:
        result = results[system.name] = SystemResult(system.title, system.about)
        try:
            result.version = system.install()
            ready.append(system)
        except BenchError as error:
            result.failures["install"] = str(error)
            print(f"{system.name}: not measured: {error}", flush=True)
    results["direct"] = SystemResult("the upstream itself", "no proxy in between")
    return ready, results


def measure(options: argparse.Namespace) -> dict[str, SystemResult]:
    """Install, then one session per upstream."""
    systems, results = _install([system for system in SYSTEMS if system.name in options.only])
    chosen = [workload for workload in WORKLOADS if workload.name in options.workloads]
    timing = session.Options(max(1, options.rounds), max(1.0, options.seconds))
    for _, group in groupby(chosen, key=lambda workload: workload.upstream):
        workloads: list[Workload] = list(group)
        print("\n".join(workload.title for workload in workloads), flush=True)
        session.run(workloads, systems, timing, results)
    return results


def publish(results: dict[str, SystemResult], options: argparse.Namespace) -> None:
    """Print the tables and write the files."""
    found = facts(results)
    judged = goals.judge_all(found)
    for part in (
        report.numbers(results, found),
        report.ratios(results, found),
        report.verdicts(judged),
        report.remarks(results),
        report.noise(found),
    ):
        if part:
            print(f"\n{part}", flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    settings = {"rounds": options.rounds, "seconds": options.seconds}
    data = report.document(results, found, judged, settings)
    (options.output / "latest.json").write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    titles = {name: result.label for name, result in results.items() if name != "direct"}
    note = f"Medians of {options.rounds} rounds of {options.seconds:g} s on one core of: {data['machine']['cpu']}"
    (options.output / "latest.svg").write_text(chart.svg(titles, found, [note]))


def main(arguments: Sequence[str]) -> int:
    """See `runner.run`."""
    options = parse(arguments)

    def measured() -> None:
        started = time.monotonic()
        runner.prepare()
        publish(measure(options), options)
        print(f"\n{time.monotonic() - started:.0f} s; written to {options.output}/latest.json and latest.svg")

    return runner.run(measured)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
