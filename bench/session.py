"""One session per upstream: every system is started, checked and parked, then measured alone, round after round."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import load, measure, payloads, procstat, upstreams, wire
from bench.processes import TEST_CORE, BenchError, Process, free_port
from bench.results import SystemResult
from bench.systems import CHAT_PATH, Site, System
from bench.workloads import Workload

READY_SECONDS = 30.0
FAST_UPSTREAMS = frozenset({"reply", "stream"})


@dataclass(frozen=True, slots=True)
class Options:
    """How long a measurement takes: rounds of so many seconds each."""

    rounds: int = 3
    seconds: float = 4.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A system that runs (parked unless it is its turn); `process` is None for the upstream spoken to directly."""

    name: str
    process: Process | None
    site: Site
    headers: dict[str, str]
    joins: frozenset[str]
    """The workloads it takes part in."""
    keys: tuple[str, ...] = ()
    patience: float = 1.0
    most_rounds: int | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Its time on the core."""
        if self.process is None:
            yield
            return
        self.process.resume()
        try:
            self.process.settle()
            yield
            self.process.settle()
        finally:
            self.process.park()


def run(
    workloads: Sequence[Workload], systems: Sequence[System], options: Options, results: dict[str, SystemResult]
) -> None:
    """Measure these workloads, which share an upstream, and add what was found to the results."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        upstream = upstreams.start(workloads[0].upstream, directory)
        stack.callback(upstream.process.stop)
        redis, redis_port = upstreams.start_redis(directory)
        stack.callback(redis.stop)
        contestants = []
        for system in systems:
            if any(_joins(system, workload) for workload in workloads):
                home = directory / system.name
                home.mkdir()
                stream = workloads[0].stream
                site = Site(free_port(), upstream.url, home, redis_port, stream)
                contestant = _enter(stack, system, site, workloads, results[system.name])
                contestants += [contestant] if contestant else []
        for workload in workloads:
            joined = [one for one in contestants if workload.covers(one.name) and workload.name in one.joins]
            if workload.name == "solo":
                joined.append(_direct(directory, upstream.url))
            _rounds(workload, joined, options, results)


def _direct(directory: Path, url: str) -> Contestant:
    home = directory / "direct"
    home.mkdir()
    site = Site(int(url.rpartition(":")[2]), url, home, 0, stream=False)
    return Contestant("direct", None, site, {}, frozenset({"solo"}))


def _enter(
    stack: ExitStack, system: System, site: Site, workloads: Sequence[Workload], result: SystemResult
) -> Contestant | None:
    """Start a system, time its first 200, check its replies; what fails is noted and costs only this system."""
    headers = dict(system.headers(site))
    if system.keys:
        headers["authorization"] = f"Bearer {system.keys[0]}"
    try:
        process = Process(system.name, TEST_CORE, system.command(site), site.directory, system.env(site))
        stack.callback(process.stop)
        body = payloads.request(stream=site.stream)
        if workloads[0].upstream == "hold":
            ready = process.wait_ready(lambda: wire.accepts(site.port), READY_SECONDS)
        else:
            ready = process.wait_ready(lambda: wire.answers(site.url, body, headers), READY_SECONDS)
        if workloads[0].upstream in FAST_UPSTREAMS:
            result.startup_s.append(ready)
            wire.check_bodies(site.url, headers, stream=site.stream, times=5)
    except BenchError as error:
        for workload in workloads:
            result.failures[workload.name] = str(error)
        print(f"  {system.name}: not measured: {error}", flush=True)
        return None
    process.settle()
    process.park()
    joins = frozenset(workload.name for workload in workloads if _joins(system, workload))
    return Contestant(system.name, process, site, headers, joins, system.keys, system.patience, system.most_rounds)


def _joins(system: System, workload: Workload) -> bool:
    return workload.covers(system.name) and (system.workloads is None or workload.name in system.workloads)


def _rounds(
    workload: Workload, contestants: Sequence[Contestant], options: Options, results: dict[str, SystemResult]
) -> None:
    rounds = 1 if workload.name == "big" else options.rounds
    for number in range(rounds):
        for contestant in contestants:
            result = results[contestant.name]
            spared = contestant.most_rounds is not None and number >= contestant.most_rounds
            if spared or workload.name in result.failures:
                continue
            try:
                with contestant.turn():
                    sample = _measure(workload, contestant, options, first=number == 0)
                    if workload.name == "w1" and contestant.process is not None:
                        found = procstat.memory(contestant.process.pid)
                        result.rss_mb, result.rss_tree_mb = found.busiest / 1e6, found.total / 1e6
            except BenchError as error:
                result.failures[workload.name] = str(error)
                print(f"  {contestant.name}: {error}", flush=True)
                continue
            result.samples.setdefault(workload.name, []).append(sample)
            shown = "  ".join(f"{key} {value:,.2f}".removesuffix(".00") for key, value in sample.items())
            print(f"  {workload.name} round {number + 1}/{rounds}  {contestant.name:12} {shown}", flush=True)


def _measure(workload: Workload, contestant: Contestant, options: Options, *, first: bool) -> dict[str, float]:
    site, pid = contestant.site, contestant.process.pid if contestant.process else None
    if workload.name in {"paced", "big"}:
        client = measure.Client(workload.name, site.url, contestant.headers, workload.connections, site.directory)
        assert pid is not None
        if workload.name == "paced":
            return measure.paced(client, pid, options.seconds)
        return measure.big(client, pid, site.upstream)
    body = payloads.request(stream=workload.stream)
    url = site.url if pid is not None else site.upstream + CHAT_PATH
    request = load.Request(body, contestant.headers, contestant.keys)
    wrk = load.prepare(url, site.directory, request, workload.connections)
    wrk.run(2 if first else 1)
    if contestant.process is not None:
        contestant.process.settle()
    # Half the time is enough at one connection, where nothing queues.
    seconds = options.seconds / 2 if workload.connections == 1 else options.seconds * contestant.patience
    return measure.wrk(wrk, pid, seconds)
