"""The parent process: it owns the socket and the embedded server, forks workers, bookkeeper and administrator, and
replaces what dies.

It is single-threaded and runs no event loop, so that forking is safe at any time. Its children end with it, however it
ends.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from gateway.errors import OperatorError
from gateway.http.lifetime import HURRY
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.guard import default_guard

TICK = 0.5
STEADY_SECONDS = 10.0
BACKOFF_MAX = 5.0
MIGRATION_FAILED = 4
"""The exit code of bookkeeper and administrator that says: the database cannot be used as it is; starting again will
not help."""
BOOKS_SECONDS = 15.0
"""How long the bookkeeper may take to book what the workers left."""
ADMINISTRATOR_SECONDS = 5.0
LATER = 0.5
"""Seconds from the start until the administrator is forked: calls of models are answered first."""
HURRIED_SECONDS = 5.0
"""What workers get to end their calls with a last word after a second signal."""
NICE = 5
"""Calls of models come first. What is written of them comes in lots of tens of milliseconds of work, which on a
processor that both share every call would feel; with this the lots still get a quarter of it."""
_WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

Serve = Callable[[socket.socket, int], None]
"""Serves on the socket; the number is the worker's place among the workers, from 0, which its successor takes."""


def bind(host: str, port: int) -> socket.socket:
    """The listening socket that all workers share. Raises OperatorError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(4096)
    except OSError as error:
        listener.close()
        raise OperatorError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another with --port, or end what uses it"
        ) from error
    listener.set_inheritable(True)
    return listener


@dataclass(slots=True)
class _Slot:
    """A child's place: what runs there, who holds it, and since when."""

    name: str
    run: Callable[[], None]
    nice: int = 0
    """How far it stands back behind others where processors are short."""
    pid: int | None = None
    started: float = 0.0
    next_start: float = 0.0
    backoff: float = 0.0

    def put_off(self, now: float) -> float:
        """What ran there died, or could not start: for how many seconds it rests, ever longer."""
        self.backoff = min(BACKOFF_MAX, max(0.1, self.backoff * 2))
        self.next_start = now + self.backoff
        return self.backoff


@dataclass(slots=True)
class Supervisor:
    """Runs until a signal ends it. `serve` is called in each forked worker."""

    listener: socket.socket
    serve: Serve
    workers: int
    embedded: EmbeddedRedis | None
    sweep: Callable[[set[int]], object]
    """Called with the live children's pids after one has died. An OSError of it ends nothing: it is called again."""
    refresh: Callable[[], object]
    """Called every now and then, and before a worker is forked anew."""
    died: Callable[[str], object] = str
    """Called with the name of what ended by itself and is started again."""
    drain_seconds: float = 130.0
    keep_books: Callable[[], None] | None = None
    """Called in the one child that is forked beside the workers, and ends after them."""
    administer: Callable[[], None] | None = None
    """Called in the one child that serves the control plane."""
    _slots: list[_Slot] = field(default_factory=list)
    _administrator: list[_Slot] = field(default_factory=list)
    _books: list[_Slot] = field(default_factory=list)
    """The bookkeeper's place, if there is to be one."""
    _unswept: bool = True
    """Somebody died, and `sweep` has not done its work since; or it never did."""
    _sweep_failed: bool = False
    """The log knows why."""

    def run(self) -> int:
        """Fork, watch, replace; on SIGTERM or SIGINT end everything. The exit code."""
        log = structlog.stdlib.get_logger("gateway.supervisor")
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        self._slots = [_Slot("worker", partial(self.serve, self.listener, place)) for place in range(self.workers)]
        # After the workers: what it imports must not delay their first answer.
        self._books = [_Slot("bookkeeper", self.keep_books, NICE)] if self.keep_books is not None else []
        if self.administer is not None:
            # Later still: it imports more than all others together.
            later = time.monotonic() + LATER
            self._administrator = [_Slot("administrator", self.administer, NICE, next_start=later)]
        for slot in (*self._slots, *self._books):
            self._fork(slot)
        while True:
            received = signal.sigtimedwait(_WATCHED, TICK)
            number = received.si_signo if received is not None else None
            if number in (signal.SIGTERM, signal.SIGINT):
                return self._end(log, signal.Signals(number))
            if number == signal.SIGHUP:
                _tell(self._slots, signal.SIGHUP)
            for slots in (self._books, self._administrator):
                if MIGRATION_FAILED in self._reap(log, slots):
                    log.critical("ended", reason=f"the database cannot be used as it is; the {slots[0].name} says why")
                    slots.clear()
                    self._end(log, signal.SIGTERM)
                    return MIGRATION_FAILED
            self._reap(log, self._slots)
            self._check_store()
            self._sweep(log)
            self.refresh()
            self._revive(self._children())

    def _check_store(self) -> None:
        if self.embedded is None:
            return
        before = self.embedded.restarts
        self.embedded.check()
        if self.embedded.restarts != before:
            self._unswept = True
            self.died("store")

    def _children(self) -> list[_Slot]:
        return [*self._slots, *self._books, *self._administrator]

    def _revive(self, slots: Sequence[_Slot]) -> None:
        for slot in slots:
            if slot.pid is None and time.monotonic() >= slot.next_start:
                self._fork(slot)

    def _fork(self, slot: _Slot) -> None:
        guard = default_guard()
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:  # no process or no memory is left: what runs goes on, and the place is tried again
            wait = slot.put_off(time.monotonic())
            log = structlog.stdlib.get_logger("gateway.supervisor")
            log.error("_".join((slot.name, "not_started")), error=error.strerror, restart_in=wait)
            return
        if pid == 0:
            code = 1
            try:
                _show_as(slot.name)
                with suppress(OSError):
                    os.nice(slot.nice)
                if guard.preexec is not None:
                    guard.preexec()
                # Until the worker listens for them these signals must not end it, which they would by default.
                signal.signal(signal.SIGHUP, signal.SIG_IGN)
                signal.signal(HURRY, signal.SIG_IGN)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
                slot.run()
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            except BaseException:  # nothing may return into the parent's code
                logging.getLogger("gateway").exception("the %s failed", slot.name)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        guard.watch(pid)
        slot.pid, slot.started = pid, time.monotonic()

    def _reap(self, log: structlog.stdlib.BoundLogger, slots: Sequence[_Slot]) -> list[int]:
        """Take note of children that ended; their exit codes."""
        codes = []
        for slot in slots:
            if slot.pid is None:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if pid == 0:
                continue
            now = time.monotonic()
            if now - slot.started > STEADY_SECONDS:
                slot.backoff, slot.next_start = 0.0, now
            else:
                slot.put_off(now)
            codes.append(os.waitstatus_to_exitcode(status))
            # With 0 it was told to end, by somebody else than us.
            event, tell = ("ended", log.warning) if codes[-1] == 0 else ("died", log.error)
            tell("_".join((slot.name, event)), pid=pid, status=codes[-1], restart_in=slot.backoff)
            slot.pid = None
            self._unswept = True
            self.died(slot.name)
        return codes

    def _sweep(self, log: structlog.stdlib.BoundLogger) -> None:
        """After a death, until it is done: a disk that is full must not end who could still serve."""
        if not self._unswept:
            return
        try:
            self.sweep(_live(self._children()))
        except OSError as error:
            if not self._sweep_failed:
                log.error("metrics_not_swept", error=str(error), reason="what the dead counted is folded in later")
            self._sweep_failed = True
        else:
            self._unswept = self._sweep_failed = False

    def _end(self, log: structlog.stdlib.BoundLogger, how: signal.Signals) -> int:
        """Workers drain, the bookkeeper books what they left, then the server goes. A second signal ends calls with an
        error, a third one ends all at once. SIGINT spares the grace in which load balancers take notice."""
        log.info("draining", signal=how.name)
        impatient = self._finish(self._slots, how, self.drain_seconds, lambda: self._keep_up_books(log))
        self._finish(self._administrator, signal.SIGTERM, ADMINISTRATOR_SECONDS, lambda: None)
        # Nobody answers any more: who dials now should hear so at once.
        self.listener.close()
        books_seconds = HURRIED_SECONDS if impatient else BOOKS_SECONDS
        self._finish(self._books, signal.SIGTERM, books_seconds, lambda: None)
        if self.embedded is not None:
            self.embedded.stop()
        return 0

    def _keep_up_books(self, log: structlog.stdlib.BoundLogger) -> None:
        """Workers that drain still need it, and the store."""
        self._check_store()
        if MIGRATION_FAILED not in self._reap(log, self._books):
            self._revive(self._books)
        self._sweep(log)

    def _finish(
        self, slots: Sequence[_Slot], how: signal.Signals, seconds: float, meanwhile: Callable[[], None]
    ) -> bool:
        """Tell these children to end and wait; what outlasts the time is killed. Whether it was cut short: one more
        signal hurries them, another one kills."""
        _tell(slots, how)
        deadline = time.monotonic() + seconds
        hurried = False
        while True:
            for slot in slots:
                if slot.pid is not None and os.waitpid(slot.pid, os.WNOHANG)[0]:
                    slot.pid = None
            if not _live(slots):
                return hurried
            meanwhile()
            received = signal.sigtimedwait(_WATCHED, 0.05)
            if received is not None and received.si_signo in (signal.SIGTERM, signal.SIGINT):
                deadline = time.monotonic() + (0.0 if hurried else HURRIED_SECONDS)
                hurried = True
                _tell(slots, HURRY)
            if time.monotonic() > deadline:
                _tell(slots, signal.SIGKILL)


def _show_as(name: str) -> None:
    """What process lists show instead of the program's name (prctl(2), PR_SET_NAME); only where there is such a
    thing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(15, name.encode()[:15], 0, 0, 0)


def _live(slots: Sequence[_Slot]) -> set[int]:
    return {slot.pid for slot in slots if slot.pid is not None}


def _tell(slots: Sequence[_Slot], number: signal.Signals) -> None:
    for pid in _live(slots):
        os.kill(pid, number)
