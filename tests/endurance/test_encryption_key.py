"""The encryption key is changed while two replicas serve: no call fails, and the old key is needed by nobody after."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.control import KEY, control
from tests.support.gateway import GatewayProcess, eventually
from tests.support.ledger import postgres_database
from tests.support.store import own_store

from .conftest import Report
from .load import Tally, chat, client, clients
from .rig import provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.postgres import Postgres

NEW = "the next encryption key, with a comma\\, for tests"
SECRET = "endurance-secret-of-a-key-0123456789abcdef"
FILE = f"version: 1\nproviders: {{mock: {{type: mock}}}}\nkeys:\n  - {{name: k, secret: {SECRET}}}\n"
LINES = 4
MODEL = "acme-0/mock-small"
MANY, WORKERS = 200, 2
"""Credentials; workers of each replica."""


async def _rotated(env: Mapping[str, str], directory: Path) -> dict[str, Any]:
    """`gateway rotate-encryption-key`, as an operator runs it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "gateway", "rotate-encryption-key", "--json"),
        env={"PATH": os.environ["PATH"], "GATEWAY_DATA_DIR": str(directory / "operator"), **env},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.endurance
async def test_another_encryption_key_under_load(postgres: Postgres, tmp_path: Path, report: Report) -> None:
    """Each credential is sealed anew under load; calls go on; a replica with the new key alone serves them all."""
    path = tmp_path / "file.yaml"
    path.write_text(FILE)
    with ExitStack() as stack:
        mock = stack.enter_context(provider(tmp_path / "mock"))
        env = {
            "DATABASE_URL": postgres_database(postgres),
            "REDIS_URL": stack.enter_context(own_store()).url,
            "GATEWAY_ADMIN_API": "true",
            "GATEWAY_PRIVATE_NETWORKS": "127.0.0.0/8",
            "GATEWAY_MAX_LOOP_LAG": "0",
        }
        async with control(path, {**env, "ENCRYPTION_KEY": KEY}) as plane:
            for number in range(MANY):
                await plane.provider(f"acme-{number}", mock.url, "mock-small", secret=f"sk-{number:04}-0123456789")
        both = {**env, "ENCRYPTION_KEY": f"{NEW},{KEY}"}
        replicas = [
            stack.enter_context(GatewayProcess(FILE, tmp_path / f"replica-{n}", workers=WORKERS, env=both))
            for n in range(2)
        ]
        tally = Tally()
        async with control(path, both) as plane:
            await plane.served(await plane.resources.revision(), 2 * WORKERS)
            ports = [int(one.base_url.rpartition(":")[2]) for one in replicas]
            works = [partial(_call, port, tally) for port in ports for _ in range(LINES)]
            async with clients(works):
                done = await _rotated(both, tmp_path)
                again = await _rotated(both, tmp_path)
                wait = await plane.served(await plane.resources.revision(), 2 * WORKERS)
        report(f"{done['resealed']} secrets sealed anew beside {tally.admitted} calls; followed within {wait:.2f} s")
        # The credentials, the audit log's key and the canary.
        assert (done["resealed"], done["damaged"], again["resealed"]) == (MANY + 2, [], 0)
        assert (tally.failures, tally.broken, set(tally.statuses)) == ([], 0, {200})
        replicas[0].stop()
        only_new = {**env, "ENCRYPTION_KEY": NEW}
        alone = stack.enter_context(GatewayProcess(FILE, tmp_path / "replica-0", workers=WORKERS, env=only_new))
        after = Tally()
        async with control(path, only_new) as plane:
            await plane.served(await plane.resources.revision(), 2 * WORKERS)
            async with clients([partial(_call, int(alone.base_url.rpartition(":")[2]), after)]):
                await asyncio.to_thread(eventually, lambda: after.admitted >= 3, "calls", 30)
        assert set(after.statuses) == {200}


async def _call(port: int, tally: Tally, stop: asyncio.Event) -> None:
    await client(port, lambda: chat(port, SECRET, MODEL), tally, stop, pause=0.005)
