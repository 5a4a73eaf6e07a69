import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import procstat
from bench.processes import BenchError, Process, clean_environment

FAMILY = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); print('up', flush=True); time.sleep(60)"
)


def _until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Process]:
    """A process with a child of its own."""
    process = Process("family", 0, [sys.executable, "-c", FAMILY + STUBBORN], tmp_path, {})
    process.wait_ready(lambda: "up" in process.log.read_text() and len(procstat.tree(process.pid)) == 2, 10)
    yield process
    process.stop()


def test_parked_trees_stand_still_and_go_on(family: Process) -> None:
    """Parking stops every process of the tree, resuming wakes every one."""
    family.park()
    assert _until(lambda: {stat.state for stat in procstat.tree(family.pid)} == {"T"})
    family.resume()
    assert _until(lambda: "T" not in {stat.state for stat in procstat.tree(family.pid)})


def test_processes_are_pinned_and_their_environment_is_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process under test runs on its core alone and sees none of the caller's settings."""
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    assert set(clean_environment(tmp_path, {"A": "b"})) == {"PATH", "HOME", "LANG", "A"}
    script = (
        "import os, time; print(os.sched_getaffinity(0), 'OPENAI_API_KEY' in os.environ, flush=True); time.sleep(60)"
    )
    process = Process("pinned", 0, [sys.executable, "-c", script], tmp_path, {})
    try:
        process.wait_ready(lambda: "\n" in process.log.read_text(), 10)
        assert process.log.read_text() == "{0} False\n"
    finally:
        process.stop()


def test_stopping_ends_a_parked_tree(family: Process) -> None:
    """A parked process is ended with its child, and stopping twice does no harm."""
    members = procstat.tree(family.pid)
    family.park()
    family.stop()
    family.stop()
    assert len(members) == 2
    assert _until(lambda: not any(procstat.lives(member) for member in members))


def test_a_program_that_ends_early_says_why(tmp_path: Path) -> None:
    """The error holds the exit code and the last output."""
    process = Process("broken", 0, [sys.executable, "-c", "print('no such option'); exit(3)"], tmp_path, {})
    with pytest.raises(BenchError, match=r"(?s)code 3.*no such option"):
        process.wait_ready(lambda: False, 10)
    process.stop()
