"""One measurement of one running system: the load's numbers and the CPU or memory of its process tree."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import load, payloads, procstat, wire
from bench.processes import LOAD_CORE, BenchError, pinned
from bench.results import Sample
from bench.upstreams import ROOT

CLIENT_SECONDS = 90


def wrk(job: load.Load, pid: int | None, seconds: float) -> Sample:
    """Rate, latencies, errors, and CPU microseconds per request of the tree `pid`. Raises BenchError."""
    bystanders = procstat.Bystanders()
    before = procstat.tree(pid) if pid is not None else []
    summary = job.run(seconds)
    after = procstat.tree(pid) if pid is not None else []
    if not summary.requests:
        raise BenchError(f"no request was answered within {seconds:.0f} s")
    sample = {"rps": summary.rps, "p50_ms": summary.p50_ms, "p99_ms": summary.p99_ms}
    if pid is not None:
        spent = procstat.total_seconds(after) - procstat.total_seconds(before)
        sample["cpu_us"] = spent * 1e6 / summary.requests
        sample["worker_cpu_us"] = procstat.busiest_seconds(before, after) * 1e6 / summary.requests
    return sample | {"errors": float(summary.errors), "others_pct": bystanders.percent_of_core()}


@dataclass(frozen=True, slots=True)
class Client:
    """A job for `bench.streams`."""

    kind: str
    url: str
    headers: Mapping[str, str]
    connections: int
    directory: Path

    def start(self, seconds: float) -> subprocess.Popen[str]:
        """Run it on the load generator's core."""
        job = self.directory / f"{self.kind}.json"
        fields = {"kind": self.kind, "url": self.url, "headers": dict(self.headers), "connections": self.connections}
        job.write_text(json.dumps({**fields, "seconds": seconds, "size": payloads.BIG_BYTES}))
        command = pinned(LOAD_CORE, [sys.executable, "-m", "bench.streams", str(job)])
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(process: subprocess.Popen[str]) -> dict[str, int]:
    try:
        output, errors = process.communicate(timeout=CLIENT_SECONDS)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise BenchError(f"the clients did not end within {CLIENT_SECONDS} s") from error
    if process.returncode:
        raise BenchError(f"the clients failed: {errors.strip()[-400:]}")
    counts: dict[str, int] = json.loads(output)
    if counts["errors"]:
        print(f"    {counts['errors']} errors, for instance: {counts['notes']}", flush=True)
    return counts


def paced(client: Client, pid: int, seconds: float) -> Sample:
    """CPU microseconds per event, requests included. Raises BenchError when no stream ended."""
    before, started = procstat.cpu_seconds(pid), time.perf_counter()
    counts = _finish(client.start(seconds))
    spent, took = procstat.cpu_seconds(pid) - before, time.perf_counter() - started
    if not counts["events"]:
        raise BenchError(f"no stream ended: {counts['notes']}")
    return {
        "cpu_us_event": spent * 1e6 / counts["events"],
        "events": float(counts["events"]),
        "events_stream": counts["events"] / counts["finished"],
        "events_s": counts["events"] / took,
        "errors": float(counts["errors"]),
    }


def big(client: Client, pid: int, upstream: str) -> Sample:
    """The most memory the tree held until the answers came. Raises BenchError when the bodies never waited together."""
    idle, peak = procstat.memory(pid), 0
    process = client.start(0)
    while process.poll() is None:
        peak = max(peak, procstat.memory(pid).total)
        time.sleep(0.1)
    counts = _finish(process)
    in_flight = wire.get_json(f"{upstream}/stats")["peak"]
    if in_flight < client.connections:
        raise BenchError(f"only {in_flight} of {client.connections} were in flight together: {counts['notes']}")
    return {
        "rss_tree_mb": peak / 1e6,
        "idle_tree_mb": idle.total / 1e6,
        "in_flight": float(in_flight),
        "errors": float(counts["errors"]),
    }
