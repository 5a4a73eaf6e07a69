"""Two workers of one gateway: what one finds out, the other heeds, and the metric is true for both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endurance.load import chat, dial
from tests.support.gateway import GatewayProcess, eventually
from tests.support.rig import COMPLETION
from tests.support.steps import json_reply, status
from tests.support.upstream import ScriptedUpstream

CONFIG = """
version: 1
providers:
  near: {{type: openai_compatible, base_url: "{near}/v1", retry_attempts: 0, models: [m]}}
  spare: {{type: openai_compatible, base_url: "{spare}/v1", retry_attempts: 0, models: [m]}}
routes:
  - {{name: pair, match: {{model: pair}}, targets: [{{provider: near, model: m}}, {{provider: spare, model: m}}]}}
keys:
  - {{name: ci, secret: {secret}}}
"""
SECRET = "workers-secret-0123456789abcdef0123456789"
STATE = "gateway_deployment_state"


@pytest.mark.slow
async def test_a_sick_deployment_is_out_for_both_workers(tmp_path: Path) -> None:
    """Connections to both workers: a handful of failures in all, then none; healed, it serves both again."""
    good = json_reply(COMPLETION)
    with ScriptedUpstream(default=status(500)) as near, ScriptedUpstream(default=good) as spare:
        config = CONFIG.format(near=near.base_url, spare=spare.base_url, secret=SECRET)
        with GatewayProcess(config, tmp_path, workers=2, env={"GATEWAY_LOG_LEVEL": "info"}) as gateway:
            port = int(gateway.base_url.rpartition(":")[2])
            request = chat(port, SECRET, "pair")
            lines = [await dial(port) for _ in range(16)]
            for _ in range(5):
                assert {(await line.ask(request)).status for line in lines} == {200}
            eventually(lambda: gateway.metric(STATE, deployment="near/m") == 2, "the deployment is out")
            eventually(
                lambda: (
                    '"told_by": "another worker"' in gateway.stderr().replace('":"', '": "') or len(near.received) >= 10
                ),
                "the other worker heeds it",
            )
            assert len(near.received) <= 2 * (5 + 1)
            asked = len(near.received)
            near.default = good
            eventually(lambda: gateway.metric(STATE, deployment="near/m") < 2, "it may be tried", 35)

            async def served() -> bool:
                replies = [await line.ask(request) for line in lines]
                assert {reply.status for reply in replies} == {200}
                return all(b"x-gateway-provider: near" in reply.head for reply in replies)

            for _ in range(3000):
                if await served():
                    break
            else:
                pytest.fail("it did not come back")
            assert len(near.received) > asked
            eventually(lambda: gateway.metric(STATE, deployment="near/m") == 0, "both know that it is well", 10)
            for line in lines:
                line.abort()
