"""One gateway per data directory: an advisory lock that ends with the process that holds it."""

from __future__ import annotations

import fcntl
import os
import weakref
from typing import TYPE_CHECKING

from gateway.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path


class DirectoryLock:
    """An exclusive `flock` on `gateway.lock`. It ends with its owner, however that ends: forks do not share it."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "gateway.lock"
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting. Raises OperatorError naming the process that holds it, or why it cannot
        be taken."""
        if self._fd is not None:
            return
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise OperatorError(
                f"The data directory {self.path.parent} cannot be written to ({error.strerror}). "
                "Give it to the user that runs the gateway, or name another one with GATEWAY_DATA_DIR."
            ) from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(fd)
            raise OperatorError(
                f"The data directory {self.path.parent} is in use by another gateway (process {holder}). "
                f"Stop that one, or give this one its own directory with GATEWAY_DATA_DIR."
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd
        close_in_children(self)

    def release(self) -> None:
        """Give the lock back; the file stays, so that nobody locks a file that another one just removed."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    close_inherited = release
    """In a forked child: closing its copy leaves the owner's lock in force."""


def close_in_children(owner: DirectoryLock) -> None:
    """Let every later fork close its copy of the lock, which would otherwise outlive its owner."""
    reference = weakref.ref(owner)

    def after_fork() -> None:
        lock = reference()
        if lock is not None:
            lock.close_inherited()

    os.register_at_fork(after_in_child=after_fork)
