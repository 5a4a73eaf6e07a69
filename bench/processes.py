"""Processes of the rig: pinned to a core, parked while others are measured, and ended whatever happens."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bench import procstat

LOAD_CORE = 0
TEST_CORE = 1
PR_SET_CHILD_SUBREAPER = 36


class BenchError(Exception):
    """The rig cannot go on, or one system cannot; the text says why and what to do."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def pinned(core: int | str, command: Sequence[str]) -> list[str]:
    """The command bound to a core, or to a list of them, and to the rig's life: whoever kills the rig kills it too."""
    return ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(core), *command]


def clean_environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """What a process under test sees: no proxies, no keys, no settings of the person who runs the benchmark."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8", **extra}


class Process:
    """One started program, its output in a file. `stop` may be called any number of times."""

    def __init__(
        self, name: str, core: int | str, command: Sequence[str], directory: Path, env: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self.started = time.perf_counter()
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                pinned(core, command),
                cwd=directory,
                env=clean_environment(directory, env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._popen.pid

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> float:
        """Seconds from the exec to the first time `ready` held. Raises BenchError when it ends or takes too long."""
        while time.perf_counter() - self.started < seconds:
            if ready():
                return time.perf_counter() - self.started
            if self._popen.poll() is not None:
                raise BenchError(f"{self.name} ended with code {self._popen.returncode}: {self.last_words()}")
            time.sleep(0.005)
        raise BenchError(f"{self.name} gave no good answer within {seconds:.0f} s: {self.last_words()}")

    def last_words(self) -> str:
        """The end of its output, for an error message."""
        return self.log.read_text(errors="replace")[-800:].strip() or "(no output)"

    def park(self) -> None:
        """Stop the whole tree, so that it costs the others nothing."""
        send(signal.SIGSTOP, procstat.tree(self.pid))

    def resume(self) -> None:
        """Let a parked tree go on."""
        send(signal.SIGCONT, procstat.tree(self.pid))

    def settle(self, seconds: float = 8.0) -> None:
        """Wait until the tree has worked off what it still had to do, or the time is over."""
        deadline = time.perf_counter() + seconds
        before = procstat.cpu_seconds(self.pid)
        while time.perf_counter() < deadline:
            time.sleep(0.1)
            now = procstat.cpu_seconds(self.pid)
            if now - before < 0.03:
                return
            before = now

    def kill(self) -> None:
        """End the tree where it stands."""
        end_all(procstat.tree(self.pid))
        self._popen.wait()

    def stop(self) -> None:
        """End the tree: politely first, for good after five seconds."""
        family = procstat.tree(self.pid)
        send(signal.SIGCONT, family)
        self._popen.terminate()
        try:
            self._popen.wait(5)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        end_all(family)


def send(number: signal.Signals, family: Sequence[procstat.Stat]) -> None:
    """Signal each of these processes that is still there."""
    for stat in family:
        if procstat.lives(stat):
            with suppress(ProcessLookupError):
                os.kill(stat.pid, number)


def end_all(family: Sequence[procstat.Stat]) -> None:
    """Kill what is left of these and reap what became ours."""
    send(signal.SIGKILL, family)
    for stat in family:
        with suppress(ChildProcessError):
            os.waitpid(stat.pid, 0)


def adopt_orphans() -> None:
    """Children of our children stay ours when their parents end, so none is left behind."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_descendants() -> None:
    """The last thing the rig does: nothing it started outlives it."""
    end_all([stat for stat in procstat.tree(os.getpid()) if stat.pid != os.getpid()])
