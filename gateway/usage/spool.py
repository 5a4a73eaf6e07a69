"""The durable spool of one worker: where ledger events wait on disk while Redis is away.

The event loop only appends to a list. A thread writes what gathered, as one group with one fsync; the bookkeeper reads
the files (`spool_reader`) and removes them once their rows are in SQL.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gateway.usage.events import withdrawn
from gateway.usage.spool_files import OPEN, READY, RESERVE, SpoolName, frame

_log = logging.getLogger("gateway.usage")

GATHER_SECONDS = 0.02
"""How long events gather for one fsync while nobody waits for it."""
HURRY_SECONDS = 0.002
"""And while a call does, which has waited for a slow store before."""
ROTATE_BYTES = 1 << 20
ROTATE_SECONDS = 1.0
RESERVE_BYTES = 1 << 20
RETRY_SECONDS = 0.5
JOIN_SECONDS = 10.0


@dataclass(slots=True)
class _File:
    """The file that is being written. Everything up to `good` is whole and on disk."""

    path: Path
    fd: int
    born: float
    good: int = 0


@dataclass(slots=True, eq=False)
class _Group:
    """Events that are written together, and who waits for that."""

    events: list[bytes] = field(default_factory=list)
    waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = field(default_factory=list)


class Spool:
    """Make it after the fork. `healthy` is False from a failed write until writes succeed and the reserve stands again:
    who would make new events should refuse meanwhile; what is appended is kept in memory and tried again."""

    def __init__(self, directory: Path, worker_id: str) -> None:
        self._directory = directory
        self._worker = "".join(letter for letter in worker_id if letter.isalnum()) or "w"
        self._lock = threading.Lock()
        self._group = _Group()
        self._wake = threading.Event()
        self._hurry = threading.Event()
        """Somebody waits."""
        self._closing = False
        self._number = 0
        self._file: _File | None = None
        self.healthy = True
        self.pending = 0
        """Events that are not yet on disk."""
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Spool {self._directory} pending={self.pending} healthy={self.healthy}>"

    def append(self, events: list[bytes]) -> None:
        """Have these events written soon. Never blocks, never raises."""
        with self._lock:
            self._group.events += events
            self.pending += len(events)
        self._wake.set()

    def withdraw(self, event: bytes) -> None:
        """Have it written that what was appended in case this worker died did not happen. As `append`."""
        self.append([withdrawn(event)])

    async def flush(self) -> None:
        """Return once everything appended so far is on disk; waits as long as the disk refuses."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if not self.pending:
                return
            self._group.waiters.append((loop, future))
        self._hurry.set()
        self._wake.set()
        await future

    def close(self) -> None:
        """Write what is left and hand the file over. Blocks, at most a few seconds; a failing disk is tried once
        more."""
        self._closing = True
        self._wake.set()
        self._thread.join(JOIN_SECONDS)

    # ---- the thread ----

    def _run(self) -> None:
        try:
            self._prepare()
        except OSError as error:
            self._trouble(str(error.strerror))
        while not self._closing:
            self._wake.wait(self._patience())
            if self._wake.is_set() and not self._closing:
                self._gather()
            self._wake.clear()
            self._round()
        self._round()
        self._rotate()
        with suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    def _gather(self) -> None:
        """Let more come for the same fsync: it costs what they all cost together."""
        if self._hurry.wait(GATHER_SECONDS):
            self._hurry.clear()
            time.sleep(HURRY_SECONDS)

    def _patience(self) -> float | None:
        """Seconds until there is something to do without being woken."""
        if not self.healthy:
            return RETRY_SECONDS
        if self._file is not None:
            return max(0.0, self._file.born + ROTATE_SECONDS - time.monotonic())
        return None

    def _round(self) -> None:
        with self._lock:
            group, self._group = self._group, _Group()
        try:
            if group.events:
                self._write(group.events)
        except OSError as error:
            self._failed(group, error)
        else:
            self._finished(group)
            if not self.healthy:
                with suppress(OSError):
                    self._prepare()
        if self._file is not None and self._is_full(self._file):
            self._rotate()

    def _write(self, events: list[bytes]) -> None:
        """One group, whole and on disk. Raises OSError; nothing is then known of its fate, and it must be written
        anew."""
        try:
            self._write_once(events)
        except OSError:
            self._abandon()
            if not self._reserve.exists():
                raise
            # What is under way must still be recorded: the room that was kept for this is given up.
            self._trouble("gave up the spool's reserve")
            self._reserve.unlink()
            try:
                self._write_once(events)
            except OSError:
                self._abandon()
                raise

    def _write_once(self, events: list[bytes]) -> None:
        file = self._file = self._file or self._open()
        data = memoryview(b"".join(map(frame, events)))
        size = len(data)
        while data:
            data = data[os.write(file.fd, data) :]
        os.fsync(file.fd)
        file.good += size

    def _open(self) -> _File:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._number += 1
        path = self._directory / f"{SpoolName.ours(self._worker, self._number)}{OPEN}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _sync_directory(self._directory)
        except BaseException:  # nobody else knows of this file
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        return _File(path, fd, time.monotonic())

    def _is_full(self, file: _File) -> bool:
        return file.good >= ROTATE_BYTES or time.monotonic() - file.born >= ROTATE_SECONDS

    def _rotate(self) -> None:
        """Close the file and hand it to the reader. When that fails it stays as it is: the reader takes its frames all
        the same, and removes it once we have ended."""
        file, self._file = self._file, None
        if file is None:
            return
        os.close(file.fd)
        with suppress(OSError):
            file.path.rename(file.path.with_suffix(READY))
            _sync_directory(self._directory)

    def _abandon(self) -> None:
        """After a failed write: cut what was not confirmed, and never write to that file again. After a failed fsync
        the kernel may hold pages for clean that never reached the disk, so a second fsync would prove nothing."""
        file = self._file
        if file is None:
            return
        try:
            os.ftruncate(file.fd, file.good)
            if not file.good:
                file.path.unlink()
        except OSError:
            os.close(file.fd)
            self._file = None
        else:
            self._rotate()

    def _failed(self, group: _Group, error: OSError) -> None:
        self._trouble(str(error.strerror))
        with self._lock:
            group.events += self._group.events
            group.waiters += self._group.waiters
            self._group = group

    def _trouble(self, what: str) -> None:
        if self.healthy:
            _log.error("the ledger's spool in %s cannot be written (%s); new calls are refused", self._directory, what)
        self.healthy = False

    def _finished(self, group: _Group) -> None:
        with self._lock:
            self.pending -= len(group.events)
        for loop, future in group.waiters:
            with suppress(RuntimeError):  # its loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_resolve, future)

    # ---- the reserve ----

    @property
    def _reserve(self) -> Path:
        return self._directory / f"{SpoolName.ours(self._worker, 0)}{RESERVE}"

    def _prepare(self) -> None:
        """Keep room for what is under way when the disk fills up; with it the spool is healthy. Raises OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._reserve
        if not path.exists():
            # Under another name first: what is called the reserve is one.
            begun = path.with_name(f"{path.name}.begun")
            fd = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _allocate(fd, RESERVE_BYTES)
                os.fsync(fd)
                begun.rename(path)
            except OSError:
                begun.unlink(missing_ok=True)
                raise
            finally:
                os.close(fd)
        if not self.healthy:
            _log.warning("the ledger's spool in %s can be written again", self._directory)
        self.healthy = True


def _allocate(fd: int, size: int) -> None:
    """Blocks of its own, not a hole."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:
        os.write(fd, bytes(size))


def _sync_directory(directory: Path) -> None:
    """Names are as durable as their directory."""
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
