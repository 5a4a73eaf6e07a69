"""`python -m bench.overload`: what a worker does with three times the load that it can serve.

Goals: at least 90 % of the peak is served, the 99th percentile of what is served at most doubles, and who is not served
hears so within 50 ms. All numbers of a run are of the same minutes; only their ratios mean anything on a shared
machine. The gateway runs on core 1 with one worker, clients and provider on core 0: where those two together have used
up their core and the gateway has not, a run says nothing about the gateway.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import payloads, procstat, runner, wire
from bench.install import own_command
from bench.processes import LOAD_CORE, TEST_CORE, BenchError, Process, free_port, pinned
from bench.systems import SYSTEMS, Site
from bench.upstreams import start

STEPS = (32, 64, 128, 256, 512)
"""Connections of the closed loops that look for the peak."""
GOALS = {"goodput": 0.9, "admitted_p99": 2.0, "shed_p99_ms": 50.0}

Numbers = dict[str, Any]


class Stage:
    """A provider and a gateway, with shedding or without."""

    def __init__(self, directory: Path, mode: str, lag: str) -> None:
        self.directory = home = directory / f"{mode}-{lag}"
        home.mkdir()
        self.stream = mode == "pace"
        self._upstream = start(mode, home)
        port = free_port()
        self.site = Site(port, self._upstream.url, home, 0, self.stream)
        system = SYSTEMS[0]
        env = {**system.env(self.site), "GATEWAY_MAX_LOOP_LAG": lag, "GATEWAY_MAX_IN_FLIGHT": "5000"}
        self._gateway = Process("gateway", TEST_CORE, system.command(self.site), home, env)
        self._processes = self._gateway, self._upstream.process
        body = payloads.request(stream=self.stream)
        self._gateway.wait_ready(lambda: wire.answers(self.site.url, body, system.headers(self.site)), 30)
        self.run(1.0, connections=8)

    def run(self, seconds: float, **how: float) -> Numbers:
        """One job of the clients. Raises BenchError."""
        headers = SYSTEMS[0].headers(self.site)
        job = {"url": self.site.url, "headers": dict(headers), "stream": self.stream, "seconds": seconds, **how}
        path = self.directory / "job.json"
        path.write_text(json.dumps(job))
        before = [procstat.cpu_seconds(process.pid) for process in self._processes]
        command = pinned(LOAD_CORE, [str(own_command("python")), "-m", "bench.arrivals", str(path)])
        root, most = runner.RESULTS.parent.parent, seconds + 120
        done = subprocess.run(command, capture_output=True, text=True, timeout=most, check=False, cwd=root)
        if done.returncode:
            raise BenchError(f"the clients failed: {done.stderr[-500:]}")
        found: Numbers = json.loads(done.stdout)
        gateway, provider = (
            procstat.cpu_seconds(process.pid) - used for process, used in zip(self._processes, before, strict=True)
        )
        # Connections are opened beforehand: that is in these seconds, too.
        found["gateway_cpu_s"], found["provider_cpu_s"] = round(gateway, 2), round(provider, 2)
        return {**how, **found}

    def stop(self) -> None:
        """End both."""
        self._gateway.stop()
        self._upstream.process.stop()


def peak_of(stage: Stage, seconds: float) -> tuple[Numbers, list[Numbers]]:
    """The best of all steps, and all of them."""
    steps = []
    for connections in STEPS:
        steps.append(stage.run(seconds, connections=connections))
        print(f"  {connections:4} at a time: {line(steps[-1])}", flush=True)
    return max(steps, key=lambda step: float(step["goodput"])), steps


def line(found: Numbers) -> str:
    """One run for people."""
    text = f"{found['goodput']:7.0f}/s served, p50 {found['admitted_p50_ms']} ms, p99 {found['admitted_p99_ms']} ms"
    if found["shed"]:
        text += f"; {found['shed']:.0f}/s shed, p50 {found['shed_p50_ms']} ms, p99 {found['shed_p99_ms']} ms"
    text += f"; CPU s: gateway {found['gateway_cpu_s']}, provider {found['provider_cpu_s']}"
    text += f", clients {found['client_cpu_s']}"
    return text + (f"; others {found['others']}" if found["others"] else "")


def judge(peak: Numbers, over: Numbers) -> Numbers:
    """The three ratios that the goals speak of, and whether each is met."""
    ratios = {
        "goodput": round(over["goodput"] / peak["goodput"], 3),
        "admitted_p99": round(over["admitted_p99_ms"] / peak["admitted_p99_ms"], 2),
        "shed_p99_ms": over["shed_p99_ms"],
    }
    met = {
        "goodput": ratios["goodput"] >= GOALS["goodput"],
        "admitted_p99": ratios["admitted_p99"] <= GOALS["admitted_p99"],
        "shed_p99_ms": ratios["shed_p99_ms"] is not None and ratios["shed_p99_ms"] < GOALS["shed_p99_ms"],
    }
    return {"found": ratios, "met": met}


def measure(directory: Path, mode: str, seconds: float, factor: float) -> Numbers:
    """The peak, then so many times its load, with shedding and without."""
    stage = Stage(directory, mode, "0.03")
    try:
        peak, steps = peak_of(stage, seconds)
        if not peak["goodput"]:
            raise BenchError("nothing was served in time: give each step more --seconds")
        over = stage.run(3 * seconds, rate=factor * peak["goodput"])
        print(f"  {factor:g} times the peak: {line(over)}", flush=True)
    finally:
        stage.stop()
    stage = Stage(directory, mode, "0")
    try:
        free = stage.run(3 * seconds, rate=factor * peak["goodput"])
        print(f"  the same, nobody shed: {line(free)}", flush=True)
    finally:
        stage.stop()
    return {"peak": peak, "steps": steps, "overload": over, "without": free, **judge(peak, over)}


def main(arguments: Sequence[str]) -> int:
    """See `runner.run`."""
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=4.0, help="seconds of each step (4); overload: three times that"
    )
    parser.add_argument("--factor", type=float, default=3.0, help="how many times the peak (3)")
    parser.add_argument("--output", type=Path, default=runner.RESULTS, help="directory for overload.json")
    options = parser.parse_args(arguments)
    return runner.run(lambda: _measured(options))


def _measured(options: argparse.Namespace) -> None:
    results: Numbers = {"factor": options.factor, "seconds": options.seconds, "goals": GOALS}
    runner.prepare()
    with tempfile.TemporaryDirectory(prefix="gw-overload-") as directory:
        for mode, title in (("pace", "streams of 62 events, 10 ms apart"), ("think", "answers after 60 ms")):
            print(title, flush=True)
            results[mode] = {"title": title, **measure(Path(directory), mode, options.seconds, options.factor)}
            print(f"  found {results[mode]['found']}, met {results[mode]['met']}", flush=True)
    (options.output / "overload.json").write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
