"""Ties a child process to its parent: when the parent dies, by whatever signal, the child is killed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_WATCH = 'read -r _; kill -KILL "$1" 2>/dev/null'


class Guard(Protocol):
    """Around one `Popen`: `preexec` runs in the child before exec, `watch` in the parent, `release` at the end."""

    preexec: Callable[[], None] | None

    def watch(self, pid: int) -> None: ...

    def release(self) -> None: ...


class DeathSignal:
    """Linux: the kernel sends SIGKILL to the child when the thread that forked it ends (prctl(2), PR_SET_PDEATHSIG)."""

    def __init__(self) -> None:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        parent = os.getpid()

        def preexec() -> None:
            if prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != parent:
                os._exit(127)  # the parent died between fork and prctl: no signal would ever come

        self.preexec: Callable[[], None] | None = preexec

    def watch(self, pid: int) -> None:
        """Nothing to do: the kernel watches."""

    def release(self) -> None:
        """Nothing is held."""


class PipeWatcher:
    """Elsewhere: a `/bin/sh` blocks on a pipe whose only writer is the parent, and kills the child at its end."""

    preexec: Callable[[], None] | None = None

    def __init__(self) -> None:
        self._writer: int | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def watch(self, pid: int) -> None:
        """Start the watcher of this process. Forked children of ours close their copy of the pipe."""
        reader, self._writer = os.pipe()
        _close_after_fork(self)
        self._watcher = subprocess.Popen(  # noqa: S603 - a fixed script and a number
            ["/bin/sh", "-c", _WATCH, "sh", str(pid)],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(reader)

    def release(self) -> None:
        """End the watcher without touching what it watched."""
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.wait()
            self._watcher = None
        self.close_pipe()

    def close_pipe(self) -> None:
        """Close our end; the last one to do so wakes the watcher."""
        writer, self._writer = self._writer, None
        if writer is not None:
            os.close(writer)


def _close_after_fork(watcher: PipeWatcher) -> None:
    reference = weakref.ref(watcher)

    def after_fork() -> None:
        found = reference()
        if found is not None:
            found.close_pipe()

    os.register_at_fork(after_in_child=after_fork)


def default_guard() -> Guard:
    """The guard of this platform."""
    return DeathSignal() if sys.platform == "linux" else PipeWatcher()
