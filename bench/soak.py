"""`python -m bench.soak`: the gateway for half an hour with clients that leave and a provider that comes and goes.

Two workers, a provider that is killed and started again all the time, another one behind it; a fifth of all requests is
broken off by its client. Every few seconds memory, open files, the loop's lag and what clients saw are written down.
Prints the slope of the memory; writes `results/soak.json` and `results/soak.svg`.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import uvloop

from bench import procstat, runner, soak_chart, wire
from bench.install import own_command
from bench.processes import Process, free_port
from bench.soak_metrics import Histogram, lag_histogram
from bench.streams import raw_request

KEY = "soak-0123456789abcdef0123456789abcdef"
SAMPLE_SECONDS = 5.0
UP_SECONDS, DOWN_SECONDS = (5.0, 20.0), (1.0, 5.0)
CLIENTS = 32
LEAVING = 0.2
"""The share of requests whose client does not wait for the end."""
WARM_UP = 1 / 3
"""The share of the time that does not count for slopes: caches fill, the store's file grows to its usual size."""
MODELS = ("soak-quick", "soak-stream")
CONFIG = """version: 1
providers:
  flapping: {{type: openai_compatible, base_url: "{flapping}/v1", retry_attempts: 0, allow_private_network: true,
    models: ["mock-small", "mock-fault/pace-20ms+tokens-40"]}}
  steady: {{type: openai_compatible, base_url: "{steady}/v1", allow_private_network: true,
    models: ["mock-small", "mock-fault/pace-20ms+tokens-40"]}}
routes:
  - {{name: quick, match: {{model: soak-quick}}, targets: [{{provider: flapping, model: mock-small}},
    {{provider: steady, model: mock-small}}]}}
  - {{name: stream, match: {{model: soak-stream}}, targets: [
    {{provider: flapping, model: mock-fault/pace-20ms+tokens-40}},
    {{provider: steady, model: mock-fault/pace-20ms+tokens-40}}]}}
keys:
  - {{name: soak, secret: {key}, limits: {{requests: 10M/min, tokens: 100000M/min, concurrency: 5000}},
    quotas: [{{period: day, tokens: 100000M}}]}}
"""


@dataclass(slots=True)
class Seen:
    """What clients saw so far."""

    answers: Counter[str] = field(default_factory=Counter)
    """By status; `left` for those whose client did not wait, `framed` for streams that ended in an error event."""
    troubles: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. Bytes are of the workers together, and of the whole tree."""

    seconds: float
    workers_rss: int
    tree_rss: int
    files: int
    lag_p99_ms: float | None
    """Of the workers' loops since the last look; None when the page gave none."""
    requests: int
    failures: int


class Provider:
    """A `gateway mock` that can be killed and started again on the same port."""

    def __init__(self, name: str, directory: Path) -> None:
        self._name, self._directory = name, directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: Process | None = None

    def start(self) -> None:
        """Raises BenchError."""
        command = [str(own_command("gateway")), "mock", "--port", str(self.port)]
        self._process = _start(self._name, command, self._directory, {})
        self._process.wait_ready(lambda: wire.accepts(self.port), 30)

    def kill(self) -> None:
        """Away, with everything that it was answering."""
        if self._process is not None:
            self._process.kill()
            self._process = None


def _start(name: str, command: Sequence[str], directory: Path, env: dict[str, str]) -> Process:
    """A process on every core: this is no race."""
    return Process(name, ",".join(map(str, sorted(os.sched_getaffinity(0)))), command, directory, env)


class Gateway:
    """The system under test."""

    def __init__(self, directory: Path, flapping: Provider, steady: Provider) -> None:
        config = directory / "soak.yaml"
        config.write_text(CONFIG.format(flapping=flapping.url, steady=steady.url, key=KEY))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [str(own_command("gateway")), "serve", "--config", str(config), "--port", str(self.port)]
        env = {"GATEWAY_DATA_DIR": str(directory / "data"), "GATEWAY_DRAIN_GRACE_SECONDS": "0"}
        self.process = _start("gateway", [*command, "--workers", "2"], directory, {**env, "GATEWAY_LOG_LEVEL": "error"})
        # A quota's first call waits for the bookkeeper, which starts last.
        body = _body(stream=False)
        url, headers = f"{self.url}/v1/chat/completions", {"authorization": f"Bearer {KEY}"}
        self.process.wait_ready(lambda: wire.answers(url, body, headers), 60)
        self._lag = Histogram()

    def look(self, started: float, seen: Seen) -> Sample:
        """Memory, files and lag as they are now."""
        family = procstat.tree(self.process.pid)
        names = {stat.pid: _name(stat.pid) for stat in family}
        workers = [pid for pid, name in names.items() if name == "worker"]
        lag = lag_histogram(f"{self.url}/metrics")
        p99 = lag.minus(self._lag).quantile(0.99) if lag is not None else None
        self._lag = lag or self._lag
        failed = sum(count for status, count in seen.answers.items() if status[0] in "45")
        return Sample(
            round(time.monotonic() - started, 1),
            sum(map(_rss, workers)),
            sum(map(_rss, names)),
            sum(map(_files, workers)),
            None if p99 is None else round(p99 * 1000, 2),
            seen.answers.total(),
            failed + seen.answers["framed"] + seen.troubles.total(),
        )


def _name(pid: int) -> str:
    try:
        return (procstat.PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _rss(pid: int) -> int:
    try:
        return procstat.parse_rss((procstat.PROC / str(pid) / "status").read_text())
    except OSError:
        return 0


def _files(pid: int) -> int:
    try:
        return len(list((procstat.PROC / str(pid) / "fd").iterdir()))
    except OSError:
        return 0


# ---- clients


async def client(gateway: Gateway, seen: Seen, chance: random.Random, until: float) -> None:
    """One request after the other, each on a connection of its own half of the time."""
    while time.monotonic() < until:
        try:
            async with asyncio.timeout(60):
                await _visit(gateway, seen, chance, until)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            seen.troubles[type(error).__name__] += 1
            await asyncio.sleep(0.1)


async def _visit(gateway: Gateway, seen: Seen, chance: random.Random, until: float) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        while time.monotonic() < until:
            stream = chance.random() < 0.5
            writer.write(_request(gateway, stream=stream))
            if chance.random() < LEAVING:
                await asyncio.sleep(chance.uniform(0.0, 0.8 if stream else 0.01))
                seen.answers["left"] += 1
                return
            seen.answers[await _answer(reader)] += 1
            await asyncio.sleep(chance.uniform(0.0, 0.1))
            if chance.random() < 0.5:
                return
    finally:
        writer.transport.abort()


def _request(gateway: Gateway, *, stream: bool) -> bytes:
    headers = {"authorization": f"Bearer {KEY}"}
    return raw_request(f"{gateway.url}/v1/chat/completions", headers, _body(stream=stream))


def _body(*, stream: bool) -> bytes:
    body = {"model": MODELS[stream], "stream": stream, "messages": [{"role": "user", "content": "hello " * 50}]}
    return json.dumps(body).encode()


async def _answer(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    status = head[9:12].decode()
    _, has_length, rest = head.lower().partition(b"content-length: ")
    if has_length:
        whole = await reader.readexactly(int(rest.partition(b"\r\n")[0]))
        return status if status < "400" else f"{status} {json.loads(whole)['error']['code']}"
    body = b""
    while not body.endswith(b"0\r\n\r\n"):
        chunk = await reader.read(65536)
        if not chunk:
            raise asyncio.IncompleteReadError(body, None)
        body += chunk
    return "framed" if b'"error"' in body else status


async def visit(gateway: Gateway, seen: Seen, seconds: float) -> None:
    """All clients, for this long."""
    chance, until = random.Random(1), time.monotonic() + seconds
    await asyncio.gather(*(client(gateway, seen, random.Random(chance.random()), until) for _ in range(CLIENTS)))


# ---- the run


def flap(provider: Provider, stop: threading.Event) -> None:
    """Up for a while, away for a while, until told to stop."""
    chance = random.Random(2)
    while not stop.wait(chance.uniform(*UP_SECONDS)):
        provider.kill()
        stop.wait(chance.uniform(*DOWN_SECONDS))
        provider.start()


def run(directory: Path, seconds: float) -> tuple[list[Sample], Seen]:
    """Start everything and watch. Raises BenchError."""
    flapping, steady = Provider("flapping", directory), Provider("steady", directory)
    flapping.start()
    steady.start()
    gateway = Gateway(directory, flapping, steady)
    seen, samples, stop = Seen(), [], threading.Event()
    crowd = threading.Thread(target=lambda: uvloop.run(visit(gateway, seen, seconds)))
    flaps = threading.Thread(target=flap, args=(flapping, stop))
    started = time.monotonic()
    crowd.start()
    flaps.start()
    try:
        while crowd.is_alive():
            crowd.join(SAMPLE_SECONDS)
            samples.append(gateway.look(started, seen))
            if len(samples) % 12 == 0:
                print(f"  {asdict(samples[-1])}", flush=True)
    finally:
        stop.set()
        flaps.join()
        gateway.process.stop()
        flapping.kill()
        steady.kill()
    return samples, seen


def slope(samples: Sequence[Sample], what: str) -> float:
    """Units per hour, by least squares, after the warm-up."""
    late = samples[int(len(samples) * WARM_UP) :]
    if len(late) < 3:
        return 0.0
    times = [sample.seconds / 3600 for sample in late]
    values = [float(getattr(sample, what)) for sample in late]
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - middle) ** 2 for at in times)
    return sum((at - middle) * (value - mean) for at, value in zip(times, values, strict=True)) / spread


def judged(samples: Sequence[Sample], seen: Seen, load: float) -> dict[str, Any]:
    """The figures that the promise speaks of."""
    late = samples[int(len(samples) * WARM_UP) :]
    lags = sorted(sample.lag_p99_ms for sample in late if sample.lag_p99_ms is not None)
    return {
        "seconds": samples[-1].seconds,
        "requests": samples[-1].requests,
        "answers": dict(seen.answers),
        "troubles": dict(seen.troubles),
        "workers_rss_mb": [round(late[0].workers_rss / 1e6, 1), round(late[-1].workers_rss / 1e6, 1)],
        "workers_rss_slope_mb_per_hour": round(slope(samples, "workers_rss") / 1e6, 2),
        "tree_rss_slope_mb_per_hour": round(slope(samples, "tree_rss") / 1e6, 2),
        "files_slope_per_hour": round(slope(samples, "files"), 1),
        "lag_p99_ms_median": lags[len(lags) // 2] if lags else None,
        "lag_p99_ms_worst": lags[-1] if lags else None,
        "load_average_of_the_machine": round(load, 1),
    }


def main(arguments: Sequence[str]) -> int:
    """See `runner.run`."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (30)")
    parser.add_argument("--output", type=Path, default=runner.RESULTS, help="directory for soak.json and soak.svg")
    options = parser.parse_args(arguments)
    return runner.run(lambda: _measured(options))


def _measured(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="gw-soak-") as directory:
        samples, seen = run(Path(directory), options.minutes * 60)
    found = judged(samples, seen, os.getloadavg()[2])
    data = {**found, "samples": [asdict(sample) for sample in samples]}
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "soak.json").write_text(json.dumps(data, indent=1) + "\n")
    (options.output / "soak.svg").write_text(soak_chart.svg(samples, found))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
