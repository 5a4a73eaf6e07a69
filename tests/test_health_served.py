"""Health from end to end: probes by a running gateway, the incident, the webhook, the metric, the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import GatewayProcess, eventually
from tests.support.steps import json_reply, status
from tests.support.upstream import ScriptedUpstream

CONFIG = """
version: 1
providers:
  p: {{type: openai_compatible, base_url: "{p}/v1", api_key: canary-Zq81, retry_attempts: 0, models: [m]}}
  calm: {{type: mock}}
routes: [{{name: main, match: {{model: main}}, targets: [{{provider: p, model: m}}]}}]
alerts: {{webhook: "{hook}/hooks/canary-Zq81"}}
"""


def _health(gateway: GatewayProcess, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "GATEWAY_DATA_DIR": str(gateway.directory / "state")}
    command = [sys.executable, "-m", "gateway", "health", "--config", str(gateway.config), *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


def _reports(gateway: GatewayProcess) -> dict[str, Any]:
    done = _health(gateway, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_provider_falls_ill(tmp_path: Path) -> None:
    """Two probes that fail open one incident: the webhook and the log are told, the gauge shows it, the command names
    cause, deployments and routes; no credential and no address stands anywhere."""
    with ScriptedUpstream(default=json_reply({"data": [{"id": "m"}]})) as up, ScriptedUpstream() as hook:
        config = CONFIG.format(p=up.base_url, hook=hook.base_url)
        env = {"GATEWAY_HEALTH_CHECK_INTERVAL": "1"}
        with GatewayProcess(config, tmp_path, workers=2, env=env) as gateway:
            eventually(lambda: gateway.metric("gateway_probes_total", provider="p", outcome="ok"), "a probe")
            eventually(lambda: any(d["last_probe"] for d in _reports(gateway)["deployments"]), "a probe on record", 30)
            assert _reports(gateway)["incidents"] == []
            up.default = status(503, b"canary-Zq81")
            hook.wait_until(lambda: bool(hook.received), "the webhook")
            eventually(lambda: gateway.metric("gateway_incidents_open", provider="p") == 1, "the gauge", 30)
            [posted] = [json.loads(request.body) for request in hook.received]
            found = _reports(gateway)
            table = _health(gateway)
            seen = gateway.stderr() + gateway.get("/metrics").body.decode() + table.stdout + json.dumps([posted, found])
    assert (posted["event"], posted["provider"], posted["cause"]) == ("incident_opened", "p", "5xx")
    assert (posted["deployments"], posted["routes"], posted["closed_at"]) == (["p/m"], ["main"], None)
    [incident] = found["incidents"]
    assert (incident["id"], incident["state"], incident["cause"]) == (posted["incident"], "open", "5xx")
    assert incident["failures"] >= 2
    [line] = [line for line in found["deployments"] if line["deployment"] == "p/m"]
    assert (line["state"], line["last_probe"]["outcome"], line["last_probe"]["called"]) == ("healthy", "5xx", False)
    assert f"{posted['incident']}  open  p: 5xx" in table.stdout
    assert "incident_opened" in seen
    assert "canary" not in seen
    assert f":{up.port}" not in seen


def test_an_unknown_provider_is_named(tmp_path: Path) -> None:
    """The command says what to do about a provider that is not configured."""
    config = tmp_path / "gateway.yaml"
    config.write_text("providers: {mock: {type: mock}}\n")
    env = {**os.environ, "GATEWAY_DATA_DIR": str(tmp_path / "state")}
    command = [sys.executable, "-m", "gateway", "health", "-c", str(config), "--provider", "nope"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "--provider: no provider is called 'nope' (see `gateway check`)\n"
