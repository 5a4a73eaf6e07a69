"""A Redis-compatible server of our own, on a unix socket in the data directory, owned by the supervising process.

Everything here is synchronous and free of threads: the owner forks workers, and its loop calls `check` now and then.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from gateway.errors import OperatorError
from gateway.storage.guard import Guard, default_guard
from gateway.storage.lock import DirectoryLock
from gateway.storage.server_binary import find_server
from gateway.storage.socket_path import socket_path

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG_MAX = 8 << 20
_START_SECONDS = 30.0
_STOP_SECONDS = 5.0
_STEADY_SECONDS = 10.0
"""A server that lived this long and dies is restarted at once."""
_BACKOFF_MAX = 5.0
_TOLD = 2
"""Deaths in a row of which the log tells; from there on it would only repeat itself."""

log = logging.getLogger("gateway.storage")


class EmbeddedRedis:
    """One server per data directory. It ends with this process, whatever ends that, and leaves its data as AOF."""

    def __init__(
        self, data_dir: Path, *, binary: Path | None = None, guard: Callable[[], Guard] = default_guard
    ) -> None:
        self._data_dir = data_dir.absolute()
        self._home = self._data_dir / "redis"
        self._log = self._home / "server.log"
        self._binary = binary
        self._guard = guard()
        self._lock = DirectoryLock(self._data_dir)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = Path()
        self._owner = os.getpid()
        self._started = 0.0
        self._backoff = 0.0
        self._next_start = 0.0
        self._deaths = 0
        """Since it last lived for a while."""
        self.restarts = 0
        """How often `check` found it dead, and started it again."""

    def __repr__(self) -> str:
        return f"<EmbeddedRedis {self._home} pid={self.pid}>"

    @property
    def url(self) -> str:
        """`unix:///…`; known once `start` was called."""
        return f"unix://{quote(str(self._socket))}"

    @property
    def pid(self) -> int | None:
        """The server's process, or None while none was started."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server and wait until it answers. Raises OperatorError when another gateway has the directory,
        no server is installed, or it does not come up."""
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            self._home.mkdir(mode=0o700, exist_ok=True)
            self._home.chmod(0o700)
            self._socket = socket_path(self._home, "server.sock")
            self._spawn()
            self._await_ready(time.monotonic() + _START_SECONDS)
        except BaseException:  # a start that failed leaves no server and no lock behind
            self.stop()
            raise

    def check(self) -> bool:
        """Whether the server's process lives. A dead one is started again, ever slower if it keeps dying; the log says
        that it died, once why it keeps dying, and when it is over."""
        if self._process is None or os.getpid() != self._owner:
            return False
        now = time.monotonic()
        steady = now - self._started > _STEADY_SECONDS
        if self._process.poll() is None:
            if self._deaths and steady:
                self._deaths = 0
                log.warning("the embedded server runs again")
            return True
        if now < self._next_start:
            return False
        self._died(self._process.returncode)
        self._backoff = 0.0 if steady else min(_BACKOFF_MAX, max(0.1, self._backoff * 2))
        self._next_start = now + self._backoff
        self._guard.release()
        try:
            self._spawn()
        except (OSError, OperatorError) as error:
            if self._deaths <= _TOLD:
                log.error("the embedded server cannot be started again: %s", error)
            return False  # the next round tries again; clients see the store as down meanwhile
        self.restarts += 1
        return True

    def _died(self, status: int) -> None:
        self._deaths += 1
        if self._deaths == 1:
            log.error("the embedded server died with status %s; it is started again", status)
        elif self._deaths == _TOLD:
            log.error(
                "the embedded server keeps dying (status %s). %s ends with:\n%s", status, self._log, self._log_tail()
            )

    def stop(self) -> None:
        """End the server (SIGTERM, after 5 s SIGKILL) and free the directory. In a forked child it does nothing."""
        if os.getpid() != self._owner:
            return
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                log.warning("the embedded server did not end within %g s and was killed", _STOP_SECONDS)
                process.kill()
                process.wait()
            self._guard.release()
            self._socket.unlink(missing_ok=True)
        self._lock.release()

    def _spawn(self) -> None:
        self._binary = self._binary or find_server()
        lease = self._server_lease()
        try:
            if self._log.exists() and self._log.stat().st_size > _LOG_MAX:
                self._log.replace(self._log.with_suffix(".log.1"))
            self._process = subprocess.Popen(  # noqa: S603 - our own binary and options
                [str(self._binary), *self._options()],
                cwd=self._home,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C at the terminal must reach us first, not the server
                pass_fds=(lease,),
                preexec_fn=self._prepare_child,  # noqa: PLW1509 - the owner has no threads
            )
        finally:
            os.close(lease)
        self._started = time.monotonic()
        self._guard.watch(self._process.pid)

    def _prepare_child(self) -> None:
        """Between fork and exec: the owner may block signals, and a blocked SIGTERM would be inherited."""
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        if self._guard.preexec is not None:
            self._guard.preexec()

    def _server_lease(self) -> int:
        """A locked file that only the server holds: two servers must never append to one AOF.

        Waits for a server whose gateway was just killed. Raises OperatorError if it will not end.
        """
        fd = os.open(self._home / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _STOP_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > deadline:
                    os.close(fd)
                    raise OperatorError(
                        f"A server from an earlier run still uses {self._home}. End it "
                        f"(`fuser {self._home}/server.lock` names it), then start the gateway again."
                    ) from None
                time.sleep(0.01)
            else:
                return fd

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self._home),
            "logfile": str(self._log),
            "pidfile": "",
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    def _await_ready(self, deadline: float) -> None:
        pause = 0.002
        while not _answers(self._socket):
            if self._process is None or self._process.poll() is not None:
                raise OperatorError(
                    f"The embedded server did not start. Its log ({self._log}) ends with:\n{self._log_tail()}"
                )
            if time.monotonic() > deadline:
                raise OperatorError(
                    f"The embedded server did not answer within {_START_SECONDS:.0f} s; see {self._log}, "
                    f"or set REDIS_URL to a running server."
                )
            time.sleep(pause)
            pause = min(0.05, pause * 1.5)

    def _log_tail(self) -> str:
        try:
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-8:])
        except OSError:
            return "(no log was written)"


def running_url(data_dir: Path) -> str | None:
    """The address of the server that some gateway runs for this data directory; None when none answers."""
    home = data_dir.absolute() / "redis"
    if not home.is_dir():
        return None
    path = socket_path(home, "server.sock")
    return f"unix://{quote(str(path))}" if _answers(path) else None


def _answers(path: Path) -> bool:
    """Whether a PING is answered with PONG; `LOADING` is not that."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.5)
        try:
            probe.connect(str(path))
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False
