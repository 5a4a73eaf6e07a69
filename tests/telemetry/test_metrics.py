"""Metrics: every declared family is there, labels are bounded, and workers' numbers add up, dead or alive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from math import inf
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.errors import UpstreamTimeout
from gateway.ports import LimitDecision, ProbeResult, QuotaAlert
from gateway.telemetry import shared
from gateway.telemetry.bookkeeping import BookkeepingMetrics
from gateway.telemetry.families import FAMILIES
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.processes import ProcessMetrics
from gateway.telemetry.tallies import Tallies, merge
from gateway.types import Attempt, Deployment, Provider, QuotaSpec
from tests.telemetry.facts import DEPLOYMENT, PROVIDER, SPARE, call, receipt

GEN_AI = ["gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model"]
CONTRACT = {
    "gen_ai_client_token_usage": [*GEN_AI, "gen_ai_token_type"],
    "gen_ai_server_request_duration": GEN_AI,
    "gen_ai_server_time_to_first_token": GEN_AI,
    "gen_ai_server_time_per_output_token": GEN_AI,
    "gateway_requests_total": ["route", "model", "status", "reason"],
    "gateway_upstream_attempts_total": ["provider", "deployment", "outcome"],
    "gateway_fallbacks_total": ["from", "to", "reason"],
    "gateway_overhead_seconds": [],
    "gateway_in_flight_requests": [],
    "gateway_loop_lag_seconds": [],
    "gateway_deployment_state": ["deployment"],
    "gateway_limit_decisions_total": ["scope", "limit", "decision"],
    "gateway_cost_usd_total": ["provider", "model", "team"],
    "gateway_budget_remaining_usd": ["scope", "period", "amount"],
    "gateway_budget_usd": ["scope", "period", "amount"],
    "gateway_quota_alerts_total": ["scope", "level"],
    "gateway_unpriced_requests_total": [],
    "gateway_config_revision": ["revision"],
    "gateway_config_reloads_total": ["result"],
    "gateway_config_rejected": [],
    "gateway_redis_seconds": [],
    "gateway_redis_errors_total": ["reason"],
    "gateway_probes_total": ["provider", "outcome"],
    "gateway_incidents_open": ["provider"],
    "gateway_ledger_rows_total": ["result"],
    "gateway_ledger_errors_total": [],
    "gateway_ledger_backlog": [],
    "gateway_ledger_lag_seconds": [],
    "gateway_ledger_checked_timestamp_seconds": [],
    "gateway_spool_bytes": [],
    "gateway_redis_up": [],
    "gateway_process_restarts_total": ["process"],
    "gateway_open_files": [],
    "gateway_max_open_files": [],
}
"""What operators were promised: written out here, so that a change of the code alone fails."""
USD = 1_000_000_000

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def _parse(text: bytes) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return _parse(metrics.render()).get((name, frozenset(labels.items())))


def _tell_everything(metrics: Metrics) -> None:
    metrics.config_loaded("abc123", None)
    metrics.call_started()
    metrics.attempt_finished(Attempt(DEPLOYMENT, 1, "ok", 1.0))
    metrics.fell_back(DEPLOYMENT, SPARE, UpstreamTimeout())
    metrics.limits_decided((LimitDecision("key", "requests", "admitted"),))
    metrics.quota_alerted(QuotaAlert("soft", "team", "research", "research", "cost", "month", 0.0, 1000, 800, "reject"))
    metrics.probe_finished(ProbeResult("primary", None, "ok", 0.0, 0.1))
    metrics.redis_called(0.0003, None)
    metrics.set_deployment_state("primary/gpt-4o", 0)
    metrics.quota_used(QuotaSpec("team", "research", "cost", "month", 20 * USD), "research", 8 * USD, 0, inf)
    metrics.call_finished(receipt())


def test_every_family_is_declared_from_the_start() -> None:
    """Before anything happened, `/metrics` names every family of the contract and no other, with its type."""
    text = Metrics().render().decode()
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} == set(CONTRACT)
    kinds = {family.name: family.kind for family in FAMILIES}
    assert all(f"# TYPE {name} {kinds[name]}\n" in text for name in CONTRACT)
    for name, labels in CONTRACT.items():
        if not labels:
            if name in {"gateway_open_files", "gateway_max_open_files"}:
                continue  # no process has none
            zero = "1.0" if name == "gateway_redis_up" else "0.0"
            assert f"\n{name}_count 0.0\n" in text or f"\n{name} {zero}\n" in text


def test_labels(tmp_path: Path) -> None:
    """Each family has exactly the labels of the contract; the bookkeeper's stand among the workers'."""
    bookkeeping = BookkeepingMetrics(tmp_path)
    bookkeeping.incidents({"primary": True})
    bookkeeping.start()
    bookkeeping.close()
    ProcessMetrics(tmp_path).sweep(())
    metrics = Metrics(tmp_path)
    _tell_everything(metrics)
    found: dict[str, set[str]] = {}
    for name, labels in _parse(metrics.render()):
        family = next(known for known in sorted(CONTRACT, key=len, reverse=True) if name.startswith(known))
        found.setdefault(family, set()).update(key for key, _ in labels if key != "le")
    assert found == {name: set(labels) for name, labels in CONTRACT.items()}


def test_values() -> None:
    """One call is counted once, in the right series and buckets."""
    metrics = Metrics()
    _tell_everything(metrics)
    gen_ai = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "azure.ai.openai",
        "gen_ai_request_model": "gpt-4o",
        "gen_ai_response_model": "gpt-4o",
    }
    samples = _parse(metrics.render())

    def value(name: str, **labels: str) -> float | None:
        return samples.get((name, frozenset(labels.items())))

    assert value("gateway_requests_total", route="chat-default", model="gpt-4o", status="200", reason="ok") == 1
    assert value("gen_ai_client_token_usage_sum", **gen_ai, gen_ai_token_type="input") == 100
    assert value("gen_ai_client_token_usage_bucket", **gen_ai, gen_ai_token_type="output", le="16") == 0
    assert value("gen_ai_client_token_usage_bucket", **gen_ai, gen_ai_token_type="output", le="64") == 1
    assert value("gen_ai_server_request_duration_bucket", **gen_ai, le="1.28") == 0
    assert value("gen_ai_server_request_duration_bucket", **gen_ai, le="81.92") == 1
    assert value("gen_ai_server_time_to_first_token_bucket", **gen_ai, le="0.5") == 1
    assert value("gen_ai_server_time_per_output_token_sum", **gen_ai) == pytest.approx(0.02)
    assert value("gateway_cost_usd_total", provider="primary", model="gpt-4o", team="research") == pytest.approx(0.0025)
    assert value(
        "gateway_fallbacks_total", **{"from": "primary/gpt-4o", "to": "spare/claude", "reason": "ttfb_timeout"}
    )
    assert value("gateway_in_flight_requests") == 0
    assert value("gateway_unpriced_requests_total") == 0
    assert value("gateway_config_revision", revision="abc123") == 1


def test_bucket_bounds_are_inclusive() -> None:
    """A value equal to a bound is in that bound's bucket, and one beyond all is in +Inf only."""
    metrics = Metrics()
    metrics.redis_called(0.001, "slow")
    metrics.redis_called(9.0, None)
    assert _value(metrics, "gateway_redis_seconds_bucket", le="0.0005") == 0
    assert _value(metrics, "gateway_redis_seconds_bucket", le="0.001") == 1
    assert _value(metrics, "gateway_redis_seconds_bucket", le="0.1") == 1
    assert _value(metrics, "gateway_redis_seconds_bucket", le="+Inf") == 2
    assert _value(metrics, "gateway_redis_errors_total", reason="slow") == 1
    assert _value(metrics, "gateway_redis_errors_total", reason="down") == 0


def test_redis_is_up_or_not() -> None:
    """The gauge falls when the store falls sick and rises when it is well; one worker without it is enough for 0."""
    metrics = Metrics()
    assert _value(metrics, "gateway_redis_up") == 1
    metrics.redis_changed(False, "slow")
    assert _value(metrics, "gateway_redis_up") == 0
    sick, other = metrics._copy(), Metrics()._copy()
    elsewhere = Tallies("a process that knows nothing of it").copy()
    metrics.redis_changed(True, "slow")
    assert _value(metrics, "gateway_redis_up") == 1
    name = "gateway_redis_up"
    for parts, value in (([other, sick, other], 0), ([elsewhere, other], 1), ([other, elsewhere], 1)):
        assert merge(parts).gauges[name][()][0] == value


def test_unpriced_and_unserved() -> None:
    """Tokens without a price count as unpriced; a call that reached no deployment is `other`, without token series."""
    metrics = Metrics()
    metrics.call_finished(receipt(cost_nano_usd=None))
    metrics.call_finished(
        receipt(deployment=None, usage=None, requested_model="canary-model", status=404, reason="model_not_found")
    )
    text = metrics.render()
    assert _value(metrics, "gateway_unpriced_requests_total") == 1
    labels = {"route": "chat-default", "model": "other", "status": "404", "reason": "model_not_found"}
    assert _value(metrics, "gateway_requests_total", **labels) == 1
    assert b"canary-model" not in text


def test_series_are_bounded() -> None:
    """Whatever clients ask for and however many models exist, the series stay few; keys and users are in none."""
    metrics = Metrics(max_models=10)
    metrics.know_models(["fast"])
    for i in range(500):
        many = Deployment(f"primary/m{i}", PROVIDER, f"m{i}")
        metrics.call_finished(receipt(requested_model=f"asked-{i}", key=f"key-{i}", call=call(user=f"user-{i}")))
        metrics.call_finished(receipt(deployment=many, requested_model=f"m{i}", team=f"team-{i}"))
        metrics.attempt_finished(Attempt(many, 1, "ok", 1.0))
    metrics.call_finished(receipt(requested_model="fast"))
    text = metrics.render().decode()
    assert "asked-" not in text
    assert "key-" not in text
    assert "user-" not in text
    assert 'model="other"' in text
    assert 'gen_ai_request_model="fast"' not in text  # the bound holds for aliases too
    assert len([line for line in text.splitlines() if line.startswith("gateway_requests_total")]) <= 11
    assert len([line for line in text.splitlines() if line.startswith("gateway_cost_usd_total")]) <= 11 * 11


def test_alias_is_a_known_name() -> None:
    """A name that the configuration knows is shown as it was asked for."""
    metrics = Metrics()
    metrics.know_models(["fast"])
    metrics.call_finished(receipt(requested_model="fast"))
    assert b'gen_ai_request_model="fast"' in metrics.render()


def test_hostile_label_values() -> None:
    """Quotes, backslashes and newlines in configured names cannot break the format."""
    metrics = Metrics()
    name = 'a"b\\c\nd'
    metrics.attempt_finished(Attempt(Deployment(name, Provider(name, "openai", ""), "m"), 1, "ok", 1.0))
    assert _value(metrics, "gateway_upstream_attempts_total", provider=name, deployment=name, outcome="ok") == 1


def test_reload() -> None:
    """A rejected reload is counted and changes no revision; a removed deployment's state disappears."""
    metrics = Metrics()
    metrics.config_loaded("one", None)
    metrics.config_loaded("two", "broken")
    assert _value(metrics, "gateway_config_reloads_total", result="rejected") == 1
    assert _value(metrics, "gateway_config_revision", revision="one") == 1
    assert _value(metrics, "gateway_config_revision", revision="two") is None
    assert _value(metrics, "gateway_config_rejected") == 1
    rejecting, serving = metrics._copy(), Metrics()._copy()
    assert merge([rejecting, serving]).gauges["gateway_config_rejected"][()][0] == 1
    metrics.config_loaded("three", None)
    assert _value(metrics, "gateway_config_rejected") == 0
    metrics.set_deployment_state("primary/gone", 2)
    metrics.keep_deployments({"primary/gpt-4o"})
    assert _value(metrics, "gateway_deployment_state", deployment="primary/gone") is None


# ---- several workers -------------------------------------------------------------------------------------------------


def _worker(directory: Path, calls: int, state: int) -> int:
    """Fork a worker that handles calls, shares its numbers, and waits to be killed; its process id."""
    child = os.fork()
    if child:
        return child
    try:
        metrics = Metrics(directory, flush_seconds=0.01)
        metrics.start()
        metrics.set_deployment_state("primary/gpt-4o", state)
        metrics.config_loaded("abc", None)
        for _ in range(calls):
            metrics.call_started()
            metrics.call_finished(receipt())
        metrics.call_started()
        while True:
            time.sleep(1)
    finally:
        os._exit(1)


def _until(metrics: Metrics, name: str, expected: float, **labels: str) -> None:
    deadline = time.monotonic() + 20
    while (found := _value(metrics, name, **labels)) != expected:
        assert time.monotonic() < deadline, f"{name} is {found}, not {expected}"
        time.sleep(0.01)


def _kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


REQUEST = {"route": "chat-default", "model": "gpt-4o", "status": "200", "reason": "ok"}


def test_workers_add_up_and_the_dead_stay_counted(tmp_path: Path) -> None:
    """Any worker answers for all; after `kill -9` and a sweep no total falls, no file remains, gauges forget."""
    directory = shared.fresh_directory(tmp_path)
    pids = [_worker(directory, 3, 0), _worker(directory, 4, 2)]
    try:
        mine = Metrics(directory)
        mine.call_finished(receipt())
        _until(mine, "gateway_requests_total", 8, **REQUEST)
        _until(mine, "gateway_in_flight_requests", 1)  # two of theirs run, and ours ended without a start
        assert _value(mine, "gateway_deployment_state", deployment="primary/gpt-4o") == 2
        assert _value(mine, "gateway_config_revision", revision="abc") == 2
    finally:
        _kill(*pids)
    assert shared.sweep(directory, {pids[0]}) == 1
    assert _value(mine, "gateway_requests_total", **REQUEST) == 8
    assert _value(mine, "gateway_deployment_state", deployment="primary/gpt-4o") == 0
    assert shared.sweep(directory, set()) == 1
    assert shared.sweep(directory, set()) == 0
    assert _value(mine, "gateway_requests_total", **REQUEST) == 8
    samples = _parse(mine.render())
    buckets = {value for (name, labels), value in samples.items() if name.endswith("duration_count")}
    assert buckets == {8}
    assert _value(mine, "gateway_in_flight_requests") == -1
    assert [path.name for path in directory.iterdir()] == ["archive"]


def test_files_do_not_pile_up(tmp_path: Path) -> None:
    """Many workers that lived and died leave one archive with all they counted."""
    directory = shared.fresh_directory(tmp_path)
    mine = Metrics(directory)
    for round_number in range(1, 4):
        pid = _worker(directory, 2, 0)
        try:
            _until(mine, "gateway_requests_total", 2 * round_number, **REQUEST)
        finally:
            _kill(pid)
        shared.sweep(directory, set())
    assert _value(mine, "gateway_requests_total", **REQUEST) == 6
    assert len(list(directory.iterdir())) == 1


def test_sweep_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweeper killed between archive and removal counts nobody twice."""
    directory = shared.fresh_directory(tmp_path)
    mine = Metrics(directory)
    pid = _worker(directory, 5, 0)
    try:
        _until(mine, "gateway_requests_total", 5, **REQUEST)
    finally:
        _kill(pid)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            shared.sweep(directory, set())
    assert len(list(directory.glob("worker-*"))) == 1
    assert _value(mine, "gateway_requests_total", **REQUEST) == 5
    shared.sweep(directory, set())
    assert _value(mine, "gateway_requests_total", **REQUEST) == 5


def test_close_shares_the_last_numbers(tmp_path: Path) -> None:
    """What was counted before `close` is in the file, however rare the flush."""
    directory = shared.fresh_directory(tmp_path)
    leaving = Metrics(directory, flush_seconds=3600)
    leaving.start()
    leaving.call_finished(receipt())
    leaving.close()
    assert _value(Metrics(directory), "gateway_requests_total", **REQUEST) == 1


def test_unwritable_directory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A directory that cannot be written is logged once; this worker's own numbers are still served."""
    metrics = Metrics(tmp_path / "missing", flush_seconds=0.001)
    metrics.start()
    deadline = time.monotonic() + 10
    while not caplog.records and time.monotonic() < deadline:
        time.sleep(0.005)
    metrics.call_finished(receipt())
    metrics.close()
    assert len(caplog.records) == 1
    assert _value(metrics, "gateway_requests_total", **REQUEST) == 1


def test_fresh_directory_forgets_the_last_run(tmp_path: Path) -> None:
    """A new run starts without the files of the last one."""
    directory = shared.fresh_directory(tmp_path)
    shared.write(directory, Metrics(directory)._copy())
    assert list(shared.fresh_directory(tmp_path).iterdir()) == []


def test_open_files_are_counted_and_their_limit_is_raised() -> None:
    """A process that starts with few descriptors takes what it may have, and `/metrics` shows both numbers; one that
    has none left says so."""
    code = (
        "import os, resource\n"
        "from gateway.telemetry.metrics import Metrics\n"
        "from gateway.telemetry.open_files import raise_limit\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))\n"
        "raise_limit()\n"
        "held = [os.dup(0) for _ in range(100)]\n"
        "few = Metrics().render()\n"
        "try:\n"
        "    while True:\n"
        "        held.append(os.dup(0))\n"
        "except OSError:\n"
        "    all = Metrics().render()\n"
        "os.close(held.pop())\n"
        "print(few.decode() + '=====' + all.decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    few, _, all_taken = done.stdout.partition("=====")
    samples, full = _parse(few.encode()), _parse(all_taken.encode())
    assert 100 < samples["gateway_open_files", frozenset()] < 200
    assert samples["gateway_max_open_files", frozenset()] == 256
    assert full["gateway_open_files", frozenset()] == 256


def test_without_descriptors_the_others_numbers_are_those_read_last(tmp_path: Path) -> None:
    """No sum falls while nothing can be read, it is logged once, and what comes afterwards is shown; who has read
    nothing before says so."""
    code = (
        "import os, resource, sys\n"
        "from pathlib import Path\n"
        "from gateway.telemetry import shared\n"
        "from gateway.telemetry.tallies import Snapshot, Tallies\n"
        "from gateway.telemetry.families import REQUESTS\n"
        "directory = Path(sys.argv[1])\n"
        "labels, other, reader = ('r', 'm', '200', 'ok'), Tallies('other'), shared.Reader(directory)\n"
        "requests = other.counter(REQUESTS)\n"
        "def told(reader, amount):\n"
        "    own = Tallies('own')\n"
        "    own.counter(REQUESTS).add(labels, amount)\n"
        "    return reader.read(own.copy()).counters[REQUESTS.name][labels]\n"
        "def add():\n"
        "    requests.add(labels, 10.0)\n"
        "    shared.write(directory, other.copy())\n"
        "add()\n"
        "found = [told(reader, 1.0)]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "held = []\n"
        "try:\n"
        "    while True:\n"
        "        held.append(os.dup(0))\n"
        "except OSError:\n"
        "    found += [told(reader, 2.0), told(reader, 3.0)]\n"
        "try:\n"
        "    told(shared.Reader(directory), 1.0)\n"
        "except OSError as error:\n"
        "    found.append(error.strerror)\n"
        "os.close(held.pop())\n"
        "os.close(held.pop())\n"
        "add()\n"
        "print(*found, told(reader, 4.0), sep=',')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "11.0,12.0,13.0,Too many open files,24.0\n"), done.stderr
    assert done.stderr.splitlines() == [
        f"the other processes' metrics cannot be read (Too many open files); /metrics shows {what}"
        for what in ("what was read of them last", "nothing")
    ]
