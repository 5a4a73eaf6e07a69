"""`gateway keys` beside a real `gateway serve`: two workers, embedded state."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateway import GatewayProcess, eventually, get

CONFIG = "version: 1\nproviders: {mock: {type: mock, models: [mock-small]}}\n"
TRIES = 8
"""Requests by which, as good as surely, each worker has answered one."""


def command(directory: Path, *arguments: str) -> str:
    """Run it as an operator does; its standard output."""
    env = {**os.environ, "GATEWAY_DATA_DIR": str(directory / "state")}
    words = [sys.executable, "-m", "gateway", "keys", *arguments]
    done = subprocess.run(words, env=env, cwd=directory, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_a_key_from_its_creation_to_its_end(tmp_path: Path) -> None:
    """The first key closes an open gateway; a revoked key is refused by every worker, and so is whoever comes without
    one, before and after a restart."""
    with GatewayProcess(CONFIG, tmp_path, workers=2) as gateway:

        def statuses(secret: str | None = None) -> set[int]:
            headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
            return {get(f"{gateway.api}/models", headers).status for _ in range(TRIES)}

        assert statuses() == {200}
        secret = command(tmp_path, "create", "--name", "ci")
        eventually(lambda: statuses() == {401}, "no key, no answer")
        eventually(lambda: statuses(secret) == {200}, "the new key is known")
        command(tmp_path, "revoke", "ci")
        eventually(lambda: statuses(secret) == {401}, "the revocation reaches every worker")
        gateway.stop()
        gateway.start()
        assert statuses() == {401}
        assert secret not in gateway.err.read_text() + gateway.out.read_text()
