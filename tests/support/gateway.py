"""A real gateway in processes of its own, and the scripted provider it talks to: for tests that use the front door.

    with mock_process() as mock, GatewayProcess(yaml.format(mock=mock.url), tmp_path) as gateway:
        openai.OpenAI(base_url=gateway.api, api_key="…")

The gateway is `python -m gateway serve`: supervisor, forked workers, embedded store, all on loopback. It dies with the
test process, however that ends. Under coverage its processes are measured too (`patch` in pyproject.toml).
"""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from gateway.storage.guard import default_guard

from .scripted_server import ScriptedServer, scripted_server

START_SECONDS = 30.0
KEYS_SECONDS = 3.0
STOP_SECONDS = 15.0
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
_BASE_URL = re.compile(r"base URL\s+(http://\S+)/v1")
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Got:
    """A plain HTTP answer."""

    status: int
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes

    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


def get(url: str, headers: Mapping[str, str] = {}, timeout: float = 10) -> Got:
    """GET, whatever the status. Raises OSError when there is no answer."""
    request = urllib.request.Request(url, headers=dict(headers))
    try:
        with _OPENER.open(request, timeout=timeout) as reply:
            return Got(reply.status, {k.lower(): v for k, v in reply.headers.items()}, reply.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Got(refused.code, {k.lower(): v for k, v in refused.headers.items()}, refused.read())


def eventually(condition: Callable[[], Any], what: str, seconds: float = 10) -> Any:
    """Poll until it gives something true and return that. Raises AssertionError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)
    return value


class GatewayProcess:
    """`gateway serve` with this configuration, state in `directory`; `env` joins one without any provider key.

    `open_files`: the soft and the hard limit that it is started with.
    """

    def __init__(
        self,
        config: str,
        directory: Path,
        *,
        workers: int = 1,
        env: Mapping[str, str] | None = None,
        open_files: tuple[int, int] | None = None,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.config = directory / "gateway.yaml"
        self.config.write_text(config)
        self.out, self.err = directory / "stdout.log", directory / "stderr.log"
        self.base_url = ""
        """`http://127.0.0.1:port`"""
        self._workers = workers
        self._env = {
            **{name: value for name, value in os.environ.items() if name in _PASSED or name.startswith("COVERAGE_")},
            "GATEWAY_DATA_DIR": str(directory / "state"),
            "GATEWAY_DRAIN_GRACE_SECONDS": "0",
            "GATEWAY_DRAIN_SECONDS": "5",
            "GATEWAY_HEALTH_CHECK_INTERVAL": "0",  # probes would stand among the requests that tests count
            "GATEWAY_ADMIN_API": "false",  # its process takes a second to start; tests of it ask for it
            **(env or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._guard = default_guard()
        self._open_files = open_files

    def __repr__(self) -> str:
        return f"<GatewayProcess {self.base_url or 'not started'} pid={self.pid}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def api(self) -> str:
        """The base URL that SDKs are given; ends in `/v1`."""
        return f"{self.base_url}/v1"

    @property
    def pid(self) -> int | None:
        """The supervisor's process."""
        return self._process.pid if self._process is not None else None

    def _before(self) -> None:
        if self._guard.preexec is not None:
            self._guard.preexec()
        if self._open_files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, self._open_files)

    def start(self) -> None:
        """Start and wait until `/readyz` says yes. Raises AssertionError with its standard error when it does not."""
        arguments = ["serve", "--config", str(self.config), "--port", "0", "--workers", str(self._workers)]
        with self.out.open("ab") as out, self.err.open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._env,
                start_new_session=True,
                preexec_fn=self._before,  # noqa: PLW1509 - two system calls, no Python lock
            )
        self._guard.watch(self._process.pid)
        try:
            self.base_url = self._until_up(self._announced)
            self._until_up(self._ready)
            self._until_keys_are_known()
        except BaseException:
            self.stop()
            raise

    def _until_up(self, condition: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + START_SECONDS
        assert self._process is not None
        while not (value := condition()):
            running = self._process.poll() is None
            assert running, f"the gateway ended with {self._process.returncode}:\n{self.stderr()}"
            assert time.monotonic() < deadline, f"the gateway did not come up:\n{self.stderr()}"
            time.sleep(0.02)
        return value

    def _announced(self) -> str | None:
        found = _BASE_URL.search(self.stderr())
        return found[1] if found else None

    def _ready(self) -> bool:
        try:
            return self.get("/readyz", timeout=2).status == 200
        except OSError:
            return False

    def _until_keys_are_known(self) -> None:
        """Before the bookkeeper has said which run-time keys exist, an unknown key is 503. Where it cannot say, the
        test wants that: it is not waited for long."""
        deadline = time.monotonic() + KEYS_SECONDS
        while "keys mirrored" not in self.stderr() and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> int | None:
        """SIGTERM, and SIGKILL to everything left after a while; the exit code. May be called again."""
        process = self._process
        if process is None:
            return None
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_SECONDS)
        self._guard.release()
        return process.returncode

    def ended(self, seconds: float) -> int:
        """Wait for its end by itself; the exit code. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(seconds)

    def get(self, path: str, headers: Mapping[str, str] = {}, timeout: float = 10) -> Got:
        """GET a path of this gateway."""
        return get(self.base_url + path, headers, timeout)

    def stderr(self) -> str:
        """What the gateway told its operator so far."""
        return self.err.read_text(errors="replace")

    def access_log(self) -> list[dict[str, Any]]:
        """The access log's lines so far. A line is written soon after its request: `logged` waits for one."""
        whole, _, _ = self.out.read_bytes().rpartition(b"\n")
        return [msgspec.json.decode(line) for line in whole.splitlines() if line.startswith(b"{")]

    def logged(self, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
        """The lines with these fields, once there are `count`. Raises AssertionError when there are not in time."""

        def found() -> list[dict[str, Any]]:
            lines = [line for line in self.access_log() if fields.items() <= line.items()]
            return lines if len(lines) >= count else []

        lines: list[dict[str, Any]] = eventually(found, f"{count} access log lines with {fields}")
        return lines

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Every sample of `/metrics` by name and sorted labels."""
        text = self.get("/metrics").body.decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of this name whose labels include these."""
        return sum(v for (n, have), v in self.metrics().items() if n == name and labels.items() <= dict(have).items())


class Mock:
    """A running scripted provider with its bill."""

    def __init__(self, server: ScriptedServer) -> None:
        self._server = server
        self.url = server.url
        """Ends in `/v1`."""

    def rows(self, **fields: Any) -> list[dict[str, Any]]:
        """The bill's rows with these fields."""
        rows: list[dict[str, Any]] = self._server.app.bill.as_json()["rows"]
        return [row for row in rows if fields.items() <= row.items()]

    def bill(self) -> dict[str, Any]:
        """The whole bill: `rows` and `totals`."""
        return self._server.app.bill.as_json()

    def seen(self) -> list[Any]:
        """The requests that arrived last, without credentials."""
        return list(self._server.app.bill.seen)


@contextmanager
def mock_process() -> Iterator[Mock]:
    """The scripted provider of `gateway mock` on an ephemeral port, in a thread, until the block ends."""
    with scripted_server() as server:
        yield Mock(server)
