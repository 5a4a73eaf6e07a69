"""Applications in Node: processes that play the scenarios in `node/` with the SDKs installed there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NODE = Path(__file__).parent / "node"
WAIT = 30.0
needs_node = [
    pytest.mark.xdist_group("node"),
    pytest.mark.skipif(
        shutil.which("node") is None or shutil.which("npm") is None, reason="the Node SDKs need node and npm in PATH"
    ),
]


class Application:
    """A Node process that plays scenarios one after the other."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def play(self, name: str, **given: Any) -> Any:
        """What a scenario returned. Raises AssertionError when it threw."""
        outcome = self._play(name, given)
        assert "error" not in outcome, outcome
        return outcome["value"]

    def fail(self, name: str, **given: Any) -> Any:
        """What a scenario threw. Raises AssertionError when it returned."""
        outcome = self._play(name, given)
        assert "error" in outcome, outcome
        return outcome["error"]

    def _play(self, name: str, given: dict[str, Any]) -> Any:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([name, given]) + "\n")
        process.stdin.flush()
        alarm = threading.Timer(WAIT, process.kill)
        alarm.start()
        try:
            line = process.stdout.readline()
        finally:
            alarm.cancel()
        assert line, f"node ended, or was ended after {WAIT:g} s, in scenario {name}"
        return json.loads(line)


@contextmanager
def application(script: str, api: str, key: str) -> Iterator[Application]:
    """One that calls the gateway at this address."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "AI_"))}
    with subprocess.Popen(
        ["node", script],
        cwd=NODE,
        env={**env, "BASE_URL": api, "API_KEY": key, "AI_SDK_LOG_WARNINGS": "false"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Application(process)
        finally:
            process.kill()


def install() -> None:
    """`node_modules` as the lock says. One process installs, others wait for it."""
    lock = NODE / "package-lock.json"
    stamp = NODE / "node_modules" / ".installed-from"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        command = ["npm", "ci", *quiet, "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
        done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            pytest.fail(
                f"`npm ci` in {NODE} failed: the Node SDKs are fetched once, from npm's registry.\n{done.stderr}",
                pytrace=False,
            )
        stamp.write_text(wanted)
