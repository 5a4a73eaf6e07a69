"""`python -m bench.admin_load`: what people at the control plane cost the calls that are served meanwhile.

A worker serves calls at a fixed rate from a provider that answers after 60 ms. In every second window three people read
reports over ten million attempts, exports and lists as fast as they are answered, and one changes a provider twice a
second. What counts is the 99th percentile of the calls' time in those windows to that in the others: at most 1.10.

The gateway with all its processes has core 1. Clients, provider and PostgreSQL share core 0, PostgreSQL and the people
at the control plane with what the others leave: they stand for machines of their own. `--url` names a database that
`python -m bench.ledger_scale` has filled, or an empty one to fill; without it a PostgreSQL is started and filled first.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from bench import ledger_scale, payloads, procstat, runner, wire
from bench.install import own_command
from bench.processes import LOAD_CORE, TEST_CORE, BenchError, Process, free_port, pinned
from bench.systems import SYSTEMS, Site
from bench.upstreams import start
from gateway.storage.sql.migrate import migrate

ADMIN_KEY = "bench-admin-0123456789abcdef0123456789abcdef"
GOAL = 1.10
AUTOGROUP = Path("/proc/sys/kernel/sched_autogroup_enabled")
ROOT = runner.RESULTS.parent.parent

Numbers = dict[str, Any]


def filled(url: str, rows: int) -> int:
    """Bring the database to this version and fill it unless it is; how many attempts it holds."""
    migrate(url)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM usage").fetchone()
    if found is not None and found[0]:
        return int(found[0])
    ledger_scale.fill(url, rows)
    return rows


@contextmanager
def one_ranking() -> Iterator[None]:
    """Priorities count between sessions, too (sched(7), autogroups): each process of PostgreSQL is one. Where this may
    not be set, PostgreSQL takes its share of the load generator's core, and the run says so."""
    before = "0"
    try:
        before = AUTOGROUP.read_text().strip()
        AUTOGROUP.write_text("0")
    except OSError:
        if before != "0":
            print(
                "  kernel.sched_autogroup_enabled is on and stays so: PostgreSQL will disturb the clients", flush=True
            )
            before = "0"
    try:
        yield
    finally:
        if before != "0":
            AUTOGROUP.write_text(before)


def give_way(url: str) -> None:
    """PostgreSQL's processes, and those it will start, take what the others leave of the load generator's core."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row is not None
        backend = next(stat for stat in procstat.snapshot() if stat.pid == row[0])
    for stat in procstat.tree(backend.parent):
        os.sched_setaffinity(stat.pid, {LOAD_CORE})
        os.sched_setscheduler(stat.pid, os.SCHED_IDLE, os.sched_param(0))


@contextmanager
def serving(directory: Path, url: str) -> Iterator[Site]:
    """A provider and a gateway whose books are in this database."""
    upstream = start("think", directory)
    site = Site(free_port(), upstream.url, directory, 0, stream=False)
    system = SYSTEMS[0]
    env = {**system.env(site), "DATABASE_URL": url, "GATEWAY_ADMIN_KEY": ADMIN_KEY}
    gateway = Process("gateway", TEST_CORE, system.command(site), directory, env)
    try:
        body = payloads.request()
        gateway.wait_ready(lambda: wire.answers(site.url, body, system.headers(site)), 30)
        gateway.settle()
        yield site
    finally:
        gateway.stop()
        upstream.process.stop()


class Stage:
    """Windows of one length on one gateway."""

    def __init__(self, site: Site, seconds: float, rate: float) -> None:
        self.site, self.seconds, self.rate = site, seconds, rate
        self.took: dict[str, list[float]] = defaultdict(list)
        self.failed: list[str] = []
        self._windows = 0

    def _program(self, name: str, job: Numbers, *, first: Sequence[str] = ()) -> subprocess.Popen[str]:
        path = self.site.directory / f"{name}.json"
        path.write_text(json.dumps(job))
        command = pinned(LOAD_CORE, [*first, str(own_command("python")), "-m", f"bench.{name}", str(path)])
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    def window(self, *, admins: bool) -> Numbers:
        """Calls for so many seconds, with people at the control plane or without. Raises BenchError."""
        job = {"url": self.site.url, "headers": dict(SYSTEMS[0].headers(self.site)), "stream": False}
        people = self._people() if admins else None
        calls = self._program("arrivals", {**job, "seconds": self.seconds, "rate": self.rate, "open": 256})
        found: Numbers = _result(calls, "clients")
        if people is not None:
            said = _result(people, "people at the control plane")
            self.failed += said["failed"]
            for name, seconds in said["seconds"].items():
                self.took[name] += seconds
        return found

    def _people(self) -> subprocess.Popen[str]:
        base = self.site.url.partition("/v1/")[0]
        hour = 3_600_000_000
        ends = (ledger_scale.START + 7 * hour, ledger_scale.END - 5 * hour)
        since, until = (datetime.fromtimestamp(moment / 1e6, UTC).isoformat() for moment in ends)
        self._windows += 1
        job = {"url": base, "key": ADMIN_KEY, "since": since, "until": until, "window": self._windows}
        job["seconds"] = self.seconds + 0.5
        return self._program("admins", job, first=("chrt", "--idle", "0"))


def _result(program: subprocess.Popen[str], who: str) -> Numbers:
    output, errors = program.communicate(timeout=300)
    if program.returncode:
        raise BenchError(f"the {who} failed: {errors[-500:]}")
    found: Numbers = json.loads(output)
    return found


def summary(quiet: Sequence[Numbers], busy: Sequence[Numbers]) -> Numbers:
    """The ratio of the medians, and whether it is within the goal."""
    alone, beside = ([float(window["admitted_p99_ms"]) for window in windows] for windows in (quiet, busy))
    ratio = statistics.median(beside) / statistics.median(alone)
    return {"alone_p99_ms": alone, "beside_p99_ms": beside, "ratio": round(ratio, 3), "met": ratio <= GOAL}


def measure(site: Site, options: argparse.Namespace) -> Numbers:
    """Windows without and with people at the control plane in turn."""
    stage = Stage(site, options.seconds, options.rate)
    stage.window(admins=True)  # caches fill, and the provider that is changed is made
    stage.took.clear()
    stage.failed.clear()
    quiet: list[Numbers] = []
    busy: list[Numbers] = []
    for number in range(options.pairs):
        for windows, admins in ((quiet, False), (busy, True)):
            windows.append(stage.window(admins=admins))
            print(f"  {number + 1} {'beside admins' if admins else 'calls alone  '} {_line(windows[-1])}", flush=True)
    asked = {
        name: {"times": len(took), "median_s": round(statistics.median(took), 3), "slowest_s": round(max(took), 3)}
        for name, took in sorted(stage.took.items())
    }
    return {**summary(quiet, busy), "quiet": quiet, "busy": busy, "asked": asked, "failed": stage.failed[:10]}


def _line(found: Numbers) -> str:
    text = f"{found['goodput']:6.0f}/s  p50 {found['admitted_p50_ms']} ms  p99 {found['admitted_p99_ms']} ms"
    return (
        text + (f"  shed {found['shed']}/s" if found["shed"] else "") + (f"  {found['others']}" * bool(found["others"]))
    )


def main(arguments: Sequence[str]) -> int:
    """See `runner.run`."""
    parser = argparse.ArgumentParser(prog="python -m bench.admin_load", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="attempts in the ledger (10,000,000)")
    parser.add_argument("--url", help="a PostgreSQL database: filled by `bench.ledger_scale`, or empty")
    parser.add_argument("--rate", type=float, default=1000.0, help="calls a second (1,000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds of a window (10)")
    parser.add_argument("--pairs", type=int, default=6, help="windows of each kind (6)")
    parser.add_argument("--output", type=Path, default=runner.RESULTS, help="directory for admin_load.json")
    options = parser.parse_args(arguments)
    return runner.run(lambda: _measured(options))


def _measured(options: argparse.Namespace) -> None:
    runner.prepare()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gw-admin-load-")))
        url = stack.enter_context(ledger_scale.where(options.url))
        rows = filled(url, options.rows)
        stack.enter_context(one_ranking())
        give_way(url)
        print(f"{rows:,} attempts in the ledger; {options.rate:,.0f} calls a second", flush=True)
        found = measure(stack.enter_context(serving(directory, url)), options)
    for name, asked in found["asked"].items():
        print(f"  {name:20} {asked['times']:5} x  median {asked['median_s']} s, slowest {asked['slowest_s']} s")
    print(f"  p99 beside admins: {found['ratio']} x that without (goal: at most {GOAL}); failed: {found['failed']}")
    result = {"rows": rows, "rate": options.rate, "seconds": options.seconds, "goal": GOAL, **found}
    (options.output / "admin_load.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
