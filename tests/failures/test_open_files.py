"""Open files are few: whoever connects and connects takes none that providers are asked with."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.endurance.load import chat, dial
from tests.support.gateway import GatewayProcess, eventually
from tests.support.rig import COMPLETION
from tests.support.steps import json_reply
from tests.support.upstream import ScriptedUpstream

SECRET = "open-files-secret-0123456789abcdef0123456789"
CONFIG = """
version: 1
providers:
  near: {{type: openai_compatible, base_url: "{near}/v1", retry_attempts: 0, models: [m]}}
keys:
  - {{name: ci, secret: {secret}}}
"""
SOFT, HARD = 128, 256
FLOOD = 400


def _limit(pid: int | None) -> list[str]:
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()
    return next(line.split()[3:5] for line in lines if line.startswith("Max open files"))


def _open(idle: list[socket.socket]) -> int:
    """How many of these are open yet."""
    count = 0
    for one in idle:
        try:
            count += bool(one.recv(1))
        except BlockingIOError:
            count += 1
        except ConnectionError:
            pass
    return count


@pytest.mark.slow
async def test_clients_that_only_connect_take_no_provider_away(tmp_path: Path) -> None:
    """As many files as the system lets it have; more clients than that connect and say nothing. Those that waited
    longest are closed, who calls is answered, on new connections to a provider, and no provider is blamed."""
    with ScriptedUpstream(default=json_reply(COMPLETION)) as near:
        config = CONFIG.format(near=near.base_url, secret=SECRET)
        with GatewayProcess(config, tmp_path, open_files=(SOFT, HARD)) as gateway:
            assert _limit(gateway.pid) == [str(HARD), str(HARD)]
            port = int(gateway.base_url.rpartition(":")[2])
            idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(FLOOD)]
            for one in idle:
                one.setblocking(False)
            eventually(lambda: _open(idle) < HARD // 2, "idle connections are closed")
            request = chat(port, SECRET, "m")
            lines = [await dial(port) for _ in range(20)]
            for line in lines:
                assert (await line.ask(request)).status == 200
            assert gateway.metric("gateway_deployment_state", deployment="near/m") == 0
            assert "connections_full" in gateway.stderr()
            for line in lines:
                line.abort()
            for one in idle:
                one.close()
