"""`gateway serve` as processes: what dies is replaced, and nothing outlives the parent."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.supervisor import NICE
from tests.support.app import Client, Reply, until
from tests.support.gateway import GatewayProcess

pytestmark = pytest.mark.slow

CONFIG = """version: 1
providers:
  mock: {type: mock, models: [mock-small]}
  any: {type: mock, models: [mock-fault/stall-after-1, mock-fault/hang, mock-fault/pace-50ms+tokens-40]}
routes:
  - {name: alias, match: {model: alias}, targets: [{provider: mock, model: mock-small}]}
keys:
  - {name: NAME, secret: supervisor-test-secret-0123456789abcdef, limits: {requests: 100000/min, concurrency: 50}}
"""
KEY = [("authorization", "Bearer supervisor-test-secret-0123456789abcdef")]


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int | None) -> dict[int, str]:
    """Pids and names of the process's children."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            name, _, rest = entry.joinpath("stat").read_text().partition("(")[2].rpartition(")")
        except (OSError, ValueError):
            continue
        if entry.name.isdigit() and int(rest.split()[1]) == pid and rest.split()[0] != "Z":
            found[int(entry.name)] = name
    return found


def server_of(gateway: GatewayProcess) -> int | None:
    """The embedded server's pid."""
    return next((pid for pid, name in children(gateway.pid).items() if "valkey" in name or "redis" in name), None)


def workers_of(gateway: GatewayProcess) -> set[int]:
    """The workers' pids."""
    others = ("valkey", "redis", "bookkeeper", "administrator")
    return {pid for pid, name in children(gateway.pid).items() if not any(other in name for other in others)}


def bookkeeper_of(gateway: GatewayProcess) -> int | None:
    """The bookkeeper's pid."""
    return next((pid for pid, name in children(gateway.pid).items() if name == "bookkeeper"), None)


def chat(gateway: GatewayProcess, model: str = "alias", **fields: Any) -> Reply:
    """One request on a connection of its own."""
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}
    with Client(int(gateway.base_url.rpartition(":")[2])) as client:
        client.post("/v1/chat/completions", body, KEY)
        return client.reply()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Two workers."""
    with GatewayProcess(CONFIG.replace("NAME", "two"), tmp_path_factory.mktemp("gw"), workers=2) as found:
        until(lambda: len(workers_of(found)) == 2, "two workers")
        yield found


def start(*arguments: str, env: dict[str, str] | None = None, directory: Path) -> subprocess.CompletedProcess[str]:
    """`gateway` until it ends by itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OPENAI_"))}
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=directory,
        env={**environment, "PYTHONPATH": str(Path.cwd()), "GATEWAY_DATA_DIR": str(directory / "state"), **(env or {})},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.xdist_group("supervisor")
class TestRunning:
    def test_both_workers_answer(self, gateway: GatewayProcess) -> None:
        """Requests on fresh connections reach both workers: call ids begin with a prefix of each process's own."""
        prefixes: set[str] = set()

        def both() -> bool:
            chat(gateway)
            prefixes.update(line["call_id"].partition("-")[0] for line in gateway.access_log() if line["call_id"])
            return len(prefixes) == 2

        until(both, "answers of both workers")
        until(lambda: sum_of_requests(gateway) == len(gateway.access_log()), "numbers of both workers in one page")

    def test_calls_come_first(self, gateway: GatewayProcess) -> None:
        """Workers and the store have the processor before the bookkeeper has, whoever is replaced."""
        store, books = server_of(gateway), bookkeeper_of(gateway)
        assert store is not None
        assert books is not None
        priorities = {pid: os.getpriority(os.PRIO_PROCESS, pid) for pid in (*workers_of(gateway), store, books)}
        own = priorities.pop(books) - NICE
        assert own == os.getpriority(os.PRIO_PROCESS, 0)
        assert set(priorities.values()) == {own}

    def test_a_killed_worker_is_replaced(self, gateway: GatewayProcess) -> None:
        """SIGKILL to one worker: the other goes on answering, and soon there are two again."""
        before = workers_of(gateway)
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        until(lambda: not alive(victim), "the worker's end")
        # A connection that waited for the dead worker is reset; every later one is served.
        until(lambda: chat_or_none(gateway) == 200, "an answer")
        until(lambda: len(workers_of(gateway)) == 2, "a new worker")
        assert victim not in workers_of(gateway)
        for _ in range(20):
            assert chat(gateway).status == 200
        assert "worker_died" in gateway.stderr()

    def test_a_death_that_cannot_be_noted_ends_nobody_else(self, gateway: GatewayProcess) -> None:
        """What a dead worker counted cannot be folded, as on a full disk: it is replaced all the same, and no number is
        lost; once there is room they are folded."""
        for _ in range(20):
            assert chat(gateway).status == 200
        metrics = gateway.directory / "state" / "metrics"
        obstacle = metrics / "archive.tmp"
        obstacle.mkdir()
        try:
            victim = min(workers_of(gateway))
            os.kill(victim, signal.SIGKILL)
            until(lambda: len(workers_of(gateway) - {victim}) == 2, "a new worker")
            until(lambda: "metrics_not_swept" in gateway.stderr(), "the word for it")
            until(lambda: chat_or_none(gateway) == 200, "an answer")
            counted = sum_of_requests(gateway)
        finally:
            obstacle.rmdir()
        until(lambda: not list(metrics.glob(f"worker-{victim}-*")), "the numbers' folding")
        until(lambda: sum_of_requests(gateway) >= counted, "everybody's numbers")

    def test_sighup_reloads_and_a_bad_file_stops_nobody(self, gateway: GatewayProcess) -> None:
        """SIGHUP to the parent makes every worker look at its file again: a bad one is reported, all live on."""
        until(lambda: gateway.stderr().count("Application startup complete") >= 2, "both workers up")
        before, text = workers_of(gateway), gateway.config.read_text()
        started = gateway.stderr().count("Application startup complete")
        assert gateway.pid is not None
        os.kill(gateway.pid, signal.SIGHUP)
        assert chat(gateway).status == 200
        try:
            gateway.config.write_text("version: one\n")
            os.kill(gateway.pid, signal.SIGHUP)
            until(lambda: gateway.stderr().count("config_rejected") >= len(before), "every worker's rejection")
            assert chat(gateway).status == 200
            victim = min(before)
            os.kill(victim, signal.SIGKILL)
            until(lambda: len(workers_of(gateway) - {victim}) == 2, "a new worker")
            # The bad file does not keep a new worker from serving what was last good, nor does it hide.
            until(lambda: gateway.stderr().count("Application startup complete") > started, "the new worker serves")
            for _ in range(10):
                assert chat(gateway).status == 200
        finally:
            gateway.config.write_text(text)
        until(lambda: not gateway.get("/readyz").json()["reasons"], "the good file again")
        assert max(before) in workers_of(gateway)

    def test_a_killed_store_is_restarted_and_nobody_notices(self, gateway: GatewayProcess) -> None:
        """SIGKILL to the embedded server: every request meanwhile is served, and limits are counted in the new one."""
        victim = server_of(gateway)
        assert victim is not None
        statuses: list[int] = []
        stop = threading.Event()

        def traffic() -> None:
            while not stop.is_set():
                statuses.append(chat(gateway).status)
                time.sleep(0.01)

        thread = threading.Thread(target=traffic)
        thread.start()
        try:
            until(lambda: len(statuses) > 5, "traffic")
            os.kill(victim, signal.SIGKILL)
            until(lambda: server_of(gateway) not in (None, victim), "a new server")
            count = len(statuses)
            until(lambda: len(statuses) > count + 20, "traffic after it")
        finally:
            stop.set()
            thread.join()
        assert set(statuses) == {200}
        until(
            lambda: gateway.metric("gateway_process_restarts_total", process="store") == 1, "the death in the numbers"
        )

    def test_deaths_are_counted_by_the_name_of_who_died(self, gateway: GatewayProcess) -> None:
        """On-call sees in `/metrics` what was replaced; whoever answers has the numbers."""
        name = "gateway_process_restarts_total"
        for process, victim in (("worker", min(workers_of(gateway))), ("bookkeeper", bookkeeper_of(gateway))):
            wanted = gateway.metric(name, process=process) + 1
            os.kill(victim or 0, signal.SIGKILL)
            until(partial(lambda *now: gateway.metric(name, process=now[0]) == now[1], process, wanted), process)
        assert gateway.metric(name, process="administrator") == 0

    def test_sigterm_ends_everything_with_zero(self, tmp_path: Path) -> None:
        """After a restart of the store as well: exit code 0, no child left."""
        with GatewayProcess(CONFIG.replace("NAME", "term"), tmp_path, workers=2) as gateway:
            until(lambda: len(workers_of(gateway)) == 2, "two workers")
            first = server_of(gateway)
            assert first is not None
            os.kill(first, signal.SIGKILL)
            until(lambda: server_of(gateway) not in (None, first), "a new server")
            second = server_of(gateway)
            assert chat(gateway).status == 200
            family = {*children(gateway.pid)}
            assert gateway.stop() == 0
            assert "was killed" not in gateway.stderr(), "the restarted server ends by itself"
            assert second in family
            assert not [pid for pid in family if alive(pid)]
            assert len(gateway.access_log()) == 1, "what was served is logged"

    def test_a_second_sigterm_ends_a_stream(self, tmp_path: Path) -> None:
        """The first SIGTERM lets a stream go on and refuses new work; the second ends the stream with a last word."""
        env = {"GATEWAY_DRAIN_SECONDS": "60"}
        with GatewayProcess(CONFIG.replace("NAME", "impatient"), tmp_path, env=env) as gateway:
            assert gateway.pid is not None
            with Client(int(gateway.base_url.rpartition(":")[2])) as client:
                reply = begun_stream(client)
                os.kill(gateway.pid, signal.SIGTERM)
                until(lambda: chat_or_none(gateway) == 503, "the refusal")
                assert len(workers_of(gateway)) == 1
                os.kill(gateway.pid, signal.SIGTERM)
                client.rest(reply)
                assert reply.complete
                assert reply.events[-1] == "[DONE]"
                assert reply.events[-2]["error"]["code"] == "draining"
            pid = gateway.pid
            until(lambda: not alive(pid), "the end")
            assert gateway.stop() == 0

    def test_ctrl_c_reaches_everyone_and_spares_the_grace(self, tmp_path: Path) -> None:
        """A terminal sends SIGINT to parent and workers alike: one stream goes on, and the grace is not waited for."""
        env = {"GATEWAY_DRAIN_GRACE_SECONDS": "600", "GATEWAY_DRAIN_SECONDS": "600"}
        with GatewayProcess(CONFIG.replace("NAME", "terminal"), tmp_path, workers=2, env=env) as gateway:
            until(lambda: len(workers_of(gateway)) == 2, "two workers")
            assert gateway.pid is not None
            pid = gateway.pid
            with Client(int(gateway.base_url.rpartition(":")[2])) as client:
                model = "any/mock-fault/pace-50ms+tokens-40"
                reply = begun_stream(client, model)
                os.killpg(pid, signal.SIGINT)
                client.rest(reply)
                assert reply.complete
                assert reply.events[-1] == "[DONE]"
                assert "error" not in reply.events[-2]
            until(lambda: not alive(pid), "the end")
            assert gateway.stop() == 0

    def test_what_outlasts_the_drain_is_told(self, tmp_path: Path) -> None:
        """At the end of the drain a stream gets an error frame and `[DONE]`, any other call 503 `draining`."""
        env = {"GATEWAY_DRAIN_SECONDS": "1"}
        with GatewayProcess(CONFIG.replace("NAME", "drained"), tmp_path, env=env) as gateway:
            port = int(gateway.base_url.rpartition(":")[2])
            body = {"messages": [{"role": "user", "content": "hi"}]}
            with Client(port) as streaming, Client(port) as waiting:
                model = "any/mock-fault/stall-after-1"
                streaming.post("/v1/chat/completions", {"model": model, "stream": True, **body}, KEY)
                reply = streaming.head()
                streaming.chunk(reply)
                waiting.post("/v1/chat/completions", {"model": "any/mock-fault/hang", **body}, KEY)
                until(lambda: gateway.metric("gateway_in_flight_requests") == 2, "both calls")
                assert gateway.pid is not None
                os.kill(gateway.pid, signal.SIGTERM)
                streaming.rest(reply)
                assert reply.complete
                assert reply.events[-1] == "[DONE]"
                assert reply.events[-2]["error"]["code"] == "draining"
                refused = waiting.reply()
                assert (refused.status, refused.error["code"]) == (503, "draining")
                assert refused.header("x-should-retry") == "true"
            pid = gateway.pid
            until(lambda: not alive(pid), "the end")  # a second SIGTERM would cut it short
            assert gateway.stop() == 0
            assert {line["reason"] for line in gateway.access_log()} == {"draining"}

    def test_nothing_outlives_a_killed_parent(self, tmp_path: Path) -> None:
        """SIGKILL to the supervisor ends workers and store too; a new gateway starts on the same files."""
        with GatewayProcess(CONFIG.replace("NAME", "orphan"), tmp_path, workers=2) as gateway:
            until(lambda: len(workers_of(gateway)) == 2, "two workers")
            until(lambda: bookkeeper_of(gateway), "a bookkeeper")
            family = {*children(gateway.pid)}
            assert len(family) == 4
            assert gateway.pid is not None
            os.kill(gateway.pid, signal.SIGKILL)
            until(lambda: not any(alive(pid) for pid in family), "the end of the family")
            gateway.stop()
            gateway.start()
            assert chat(gateway).status == 200


def begun_stream(client: Client, model: str = "any/mock-fault/stall-after-1") -> Reply:
    """A stream that has begun."""
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    client.post("/v1/chat/completions", body, KEY)
    reply = client.head()
    assert reply.status == 200
    client.chunk(reply)
    return reply


def chat_or_none(gateway: GatewayProcess) -> int | None:
    """The status, or None when the connection broke."""
    try:
        return chat(gateway).status
    except (AssertionError, OSError):
        return None


def sum_of_requests(gateway: GatewayProcess) -> float:
    """Of all workers, as `/metrics` shows them."""
    return gateway.metric("gateway_requests_total", route="alias")


@pytest.mark.xdist_group("supervisor")
def test_ready_without_redis(tmp_path: Path) -> None:
    """A Redis that does not answer keeps no traffic away: calls are served, and `/readyz` says what is wrong."""
    with GatewayProcess(
        CONFIG.replace("NAME", "alone"), tmp_path, env={"REDIS_URL": "redis://127.0.0.1:1/0"}
    ) as gateway:
        assert chat(gateway).status == 200
        until(lambda: gateway.get("/readyz").json()["reasons"], "the remark")
        ready = gateway.get("/readyz")
        assert (ready.status, ready.json()["status"]) == (200, "ok")
        assert ready.json()["reasons"][0].startswith("redis away: ")


@pytest.mark.xdist_group("supervisor")
def test_not_ready_without_a_record(tmp_path: Path) -> None:
    """Where usage can be recorded nowhere calls are refused, and load balancers are told to go elsewhere; once it can
    be, both are over."""
    env = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    with GatewayProcess(CONFIG.replace("NAME", "unrecorded"), tmp_path, env=env) as gateway:
        assert chat(gateway).status == 200
        spool, aside = tmp_path / "state" / "spool", tmp_path / "aside"
        until(lambda: gateway.get("/readyz").json()["reasons"], "the remark on Redis")
        spool.rename(aside)
        spool.touch()
        until(lambda: chat(gateway).status == 503, "the refusal")
        assert chat(gateway).error["code"] == "ledger_unavailable"
        ready = gateway.get("/readyz")
        assert ready.status == 503
        assert ready.json()["reasons"][0].startswith("the ledger's spool cannot be written")
        spool.unlink()
        aside.rename(spool)
        until(lambda: gateway.get("/readyz").status == 200, "its end")
        assert chat(gateway).status == 200


@pytest.mark.xdist_group("supervisor")
class TestReload:
    def test_a_changed_file_is_served_and_a_bad_one_is_not(self, tmp_path: Path) -> None:
        """New routes apply at once; a broken file keeps the last good one, and `/readyz` and the metric say so."""
        with GatewayProcess(CONFIG.replace("NAME", "reload"), tmp_path) as gateway:
            first = chat(gateway).header("x-gateway-revision")
            assert chat(gateway, "renamed").status == 404
            gateway.config.write_text(CONFIG.replace("NAME", "reload").replace("model: alias", "model: renamed"))
            until(lambda: chat(gateway, "renamed").status == 200, "the new route")
            second = chat(gateway, "renamed").header("x-gateway-revision")
            assert second not in (None, first)
            assert chat(gateway, "alias").status == 404
            gateway.config.write_text("version: 1\nproviders:\n  mock: {type: mokc}\n")
            until(lambda: gateway.get("/readyz").json()["reasons"], "the rejection")
            ready = gateway.get("/readyz")
            assert (ready.status, ready.json()["revision"]) == (200, second)
            assert "3:16" in ready.json()["reasons"][0]
            assert gateway.metric("gateway_config_reloads_total", result="rejected") == 1
            assert chat(gateway, "renamed").header("x-gateway-revision") == second
            gateway.config.unlink()
            assert chat(gateway, "renamed").status == 200
            gateway.config.write_text(CONFIG.replace("NAME", "reload"))
            until(lambda: chat(gateway, "alias").status == 200, "the first route again")
            until(lambda: not gateway.get("/readyz").json()["reasons"], "no more reasons")
            assert chat(gateway).header("x-gateway-revision") == first

    def test_a_revoked_key_stops_working(self, tmp_path: Path) -> None:
        """Taken out of the file, a key is refused; the others go on."""
        other = "  - {name: other, secret: another-test-secret-0123456789abcdef}\n"
        with GatewayProcess(CONFIG.replace("NAME", "revoked") + other, tmp_path) as gateway:
            assert chat(gateway).status == 200
            kept = CONFIG.replace("NAME", "revoked").splitlines()[:-1]
            gateway.config.write_text("\n".join(kept) + "\n" + other)
            until(lambda: chat(gateway).status == 401, "the refusal")


WITHOUT_ROOM = """
import os, resource, signal, socket
from gateway.supervisor import Supervisor

def serve(listener, place):
    print("serves", flush=True)
    signal.sigwait({signal.SIGTERM})

if os.getuid() == 0:
    os.setuid(54321)  # the limit does not hold for root
hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
room = lambda: resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard))
raise SystemExit(Supervisor(socket.socket(), serve, 1, None, sweep=lambda live: None, refresh=room).run())
"""
"""A supervisor whose user may have no process more until it has looked around once."""


def test_a_place_that_cannot_be_forked_is_tried_again() -> None:
    """No process is left to be had: the supervisor stays, says so, and forks the worker once it can."""
    command = [sys.executable, "-c", WITHOUT_ROOM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            assert "worker_not_started" in process.stdout.readline()
            assert process.stdout.readline() == "serves\n"
            process.terminate()
            assert process.wait(10) == 0
        finally:
            process.kill()


class TestRefusals:
    def test_a_used_port_is_named(self, tmp_path: Path) -> None:
        """Exit 1, one line that says which address and what to do; no traceback, no server left behind."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            port = taken.getsockname()[1]
            ended = start("serve", "--port", str(port), directory=tmp_path)
        assert ended.returncode == 1
        assert f"127.0.0.1:{port}" in ended.stderr
        assert "--port" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_a_bad_file_is_named_with_its_place(self, tmp_path: Path) -> None:
        """Exit 1 and `file:line:column: message`, for every error."""
        file = tmp_path / "bad.yaml"
        file.write_text("version: 1\nproviders:\n  x: {type: opneai, unknown: 1}\nroutes: 5\n")
        for command in (["serve", "--config"], ["check"]):
            ended = start(*command, str(file), directory=tmp_path)
            assert ended.returncode == 1
            assert f"{file}:3:13: " in ended.stderr or "bad.yaml:3:13: " in ended.stderr
            assert "bad.yaml:4:" in ended.stderr
            assert "Traceback" not in ended.stderr
        missing = start("serve", "--config", "none.yaml", directory=tmp_path)
        assert missing.returncode == 1
        assert "none.yaml" in missing.stderr
        assert "Traceback" not in missing.stderr

    @pytest.mark.parametrize("host", ["0.0.0.0", "::"])
    def test_other_addresses_need_keys(self, tmp_path: Path, host: str) -> None:
        """Without keys only loopback is bound; the refusal says what to do."""
        ended = start("serve", "--host", host, "--port", "0", directory=tmp_path)
        assert ended.returncode == 1
        assert "without keys" in ended.stderr
        assert "Traceback" not in ended.stderr

    @pytest.mark.parametrize("arguments", [["--port", "99999"], ["--workers", "0"]])
    def test_bad_options_are_refused_in_words(self, tmp_path: Path, arguments: list[str]) -> None:
        """An option out of range is the operator's mistake, told without a traceback."""
        ended = start("serve", *arguments, directory=tmp_path)
        assert ended.returncode != 0
        assert "Traceback" not in ended.stderr

    def test_one_directory_serves_one_gateway(self, tmp_path: Path) -> None:
        """A second gateway on the same data directory ends with a clear message."""
        with GatewayProcess(CONFIG.replace("NAME", "first"), tmp_path) as gateway:
            state = str(tmp_path / "state")
            ended = start("serve", "--port", "0", env={"GATEWAY_DATA_DIR": state}, directory=tmp_path)
            assert ended.returncode == 1
            assert "state" in ended.stderr
            assert "Traceback" not in ended.stderr
            assert chat(gateway).status == 200
            assert json.loads(chat(gateway).body)["model"] == "alias"
