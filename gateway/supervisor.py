"""The parent process: it owns the socket and the embedded server, forks the workers, and replaces what dies.

It is single-threaded and runs no event loop, so that forking is safe at any time. Workers and server end with it,
however it ends.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from gateway.errors import OperatorError
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.guard import default_guard

TICK = 0.5
STEADY_SECONDS = 10.0
BACKOFF_MAX = 5.0
_WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

Serve = Callable[[socket.socket], None]


def bind(host: str, port: int) -> socket.socket:
    """The listening socket that all workers share. Raises OperatorError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OperatorError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port, or end what uses it"
        ) from error
    listener.set_inheritable(True)
    return listener


@dataclass(slots=True)
class _Slot:
    """A worker's place: who holds it, and since when."""

    pid: int | None = None
    started: float = 0.0
    next_start: float = 0.0
    backoff: float = 0.0


@dataclass(slots=True)
class Supervisor:
    """Runs until a signal ends it. `serve` is called in each forked worker."""

    listener: socket.socket
    serve: Serve
    workers: int
    embedded: EmbeddedRedis | None
    sweep: Callable[[set[int]], object]
    """Called with the live workers' pids after one has died."""
    refresh: Callable[[], object]
    """Called every now and then, and before a worker is forked anew."""
    drain_seconds: float = 130.0
    _slots: list[_Slot] = field(default_factory=list)

    def run(self) -> int:
        """Fork, watch, replace; on SIGTERM or SIGINT end everything. The exit code."""
        log = structlog.stdlib.get_logger("gateway.supervisor")
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        self._slots = [_Slot() for _ in range(self.workers)]
        for slot in self._slots:
            self._fork(slot)
        while True:
            received = signal.sigtimedwait(_WATCHED, TICK)
            number = received.si_signo if received is not None else None
            if number in (signal.SIGTERM, signal.SIGINT):
                return self._end()
            if number == signal.SIGHUP:
                self._tell(signal.SIGHUP)
            self._reap(log)
            self.refresh()
            if self.embedded is not None and not self.embedded.check():
                log.warning("embedded_server_down")
            for slot in self._slots:
                if slot.pid is None and time.monotonic() >= slot.next_start:
                    self._fork(slot)

    def _fork(self, slot: _Slot) -> None:
        guard = default_guard()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if guard.preexec is not None:
                    guard.preexec()
                # Until the worker listens for it (to reload) this signal must not end it, which it would by default.
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
                self.serve(self.listener)
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            except BaseException:  # nothing may return into the parent's code
                logging.getLogger("gateway").exception("the worker failed")
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        guard.watch(pid)
        slot.pid, slot.started = pid, time.monotonic()

    def _reap(self, log: structlog.stdlib.BoundLogger) -> None:
        dead = False
        for slot in self._slots:
            if slot.pid is None:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if pid == 0:
                continue
            dead = True
            now = time.monotonic()
            steady = now - slot.started > STEADY_SECONDS
            slot.backoff = 0.0 if steady else min(BACKOFF_MAX, max(0.1, slot.backoff * 2))
            slot.next_start = now + slot.backoff
            log.error("worker_died", pid=pid, status=os.waitstatus_to_exitcode(status), restart_in=slot.backoff)
            slot.pid = None
        if dead:
            self.sweep(self._live())

    def _live(self) -> set[int]:
        return {slot.pid for slot in self._slots if slot.pid is not None}

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._live():
            os.kill(pid, number)

    def _end(self) -> int:
        """Workers drain, then the server goes; a second signal ends them at once."""
        self._tell(signal.SIGTERM)
        deadline = time.monotonic() + self.drain_seconds
        while self._live():
            for slot in self._slots:
                if slot.pid is not None and os.waitpid(slot.pid, os.WNOHANG)[0]:
                    slot.pid = None
            if not self._live():
                break
            received = signal.sigtimedwait(_WATCHED, 0.05)
            impatient = received is not None and received.si_signo in (signal.SIGTERM, signal.SIGINT)
            if impatient or time.monotonic() > deadline:
                self._tell(signal.SIGKILL)
        if self.embedded is not None:
            self.embedded.stop()
        return 0
