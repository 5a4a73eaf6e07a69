"""The real gateway as tests start it: up, serving, and gone without a trace."""

from __future__ import annotations

import os
from pathlib import Path

import openai
import pytest

from .gateway import GatewayProcess, eventually, mock_process

pytestmark = pytest.mark.slow

CONFIG = """
version: 1
providers:
  mock: {type: mock, models: [mock-small]}
  remote: {type: openai, base_url: MOCK, api_key: none, allow_private_network: true, models: [far]}
"""


def children(pid: int) -> list[int]:
    """The processes below this one."""
    below = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return below + [deeper for one in below for deeper in children(one)]


def test_it_serves_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Two workers answer, count together and end with exit code 0; no process survives, the last words are logged."""
    with mock_process() as mock:
        gateway = GatewayProcess(CONFIG.replace("MOCK", mock.url), tmp_path, workers=2)
        with gateway, openai.OpenAI(base_url=gateway.api, api_key="any", max_retries=0) as client:
            for model in ("mock-small", "far") * 5:
                answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
                assert answer.choices[0].message.content == "echo: hello"
            assert len(gateway.logged(10, status=200)) == 10
            assert eventually(
                lambda: gateway.metric("gateway_requests_total", status="200") == 10, "ten requests counted"
            )
            assert gateway.get("/readyz").json()["status"] == "ok"
            assert gateway.pid is not None
            below = children(gateway.pid)
            assert len(below) >= 3  # two workers and the embedded store
            started = '"event":"Application startup complete.'
            eventually(lambda: gateway.stderr().count(started) == 2, "both workers up, so that both end in order")
        assert gateway.stop() == 0
        eventually(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in below), "every process gone")
        assert len(mock.rows(model="far")) == 5
    assert gateway.stderr().count('"event":"Finished server process') == 2


def test_it_starts_again_in_its_directory(tmp_path: Path) -> None:
    """State and port are free once it has stopped; logs of both lives are kept together."""
    gateway = GatewayProcess(CONFIG.replace("MOCK", "http://127.0.0.1:1/v1"), tmp_path)
    for life in (1, 2):
        with gateway:
            assert gateway.get("/v1/models").status == 200
            gateway.logged(life, status=200)


def test_a_gateway_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    """The error of a bad configuration is in the failure."""
    with pytest.raises(AssertionError, match=r"gateway\.yaml:1"), GatewayProcess("version: 7\n", tmp_path):
        pass


def test_providers_keys_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment of whoever runs the tests does not reach the gateway."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    with GatewayProcess(
        'version: 1\nproviders: {openai: {type: openai, api_key: "${OPENAI_API_KEY}"}}\n', tmp_path
    ) as gateway:
        environment = Path(f"/proc/{gateway.pid}/environ").read_bytes()
        assert b"sk-canary" not in environment
        assert b"inactive" in gateway.stderr().encode()
    assert os.environ["OPENAI_API_KEY"] == "sk-canary"
