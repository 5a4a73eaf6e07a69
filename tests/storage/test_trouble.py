"""A sick store: noticed after three failures, asked nothing while it is away, found well by a probe."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from gateway.storage.batch import Item, ScriptBatcher
from gateway.storage.errors import StoreUnavailable
from gateway.storage.node import PROBE_KEY, NodeClient
from gateway.storage.redis import RedisClient, RedisOptions, connect
from tests.storage.conftest import ECHO
from tests.storage.servers import PATIENT, clients, free_ports, servers, works
from tests.support.waiting import eventually, pause, until

if TYPE_CHECKING:
    from gateway.storage.embedded import EmbeddedRedis

Make = Callable[..., NodeClient]
BRISK = RedisOptions(timeout=0.2)


class Watch:
    """What a client told: its calls and its changes."""

    def __init__(self) -> None:
        self.calls: list[str | None] = []
        self.changes: list[tuple[bool, str]] = []

    def on_call(self, _: float, reason: str | None) -> None:
        self.calls.append(reason)

    def on_change(self, available: bool, reason: str) -> None:
        self.changes.append((available, reason))


@pytest.fixture
def watch() -> Watch:
    return Watch()


async def _reason(client: RedisClient, *command: str) -> str:
    try:
        await client.execute(*command)
    except StoreUnavailable as error:
        return error.reason
    return "ok"


async def _fall(client: RedisClient, reason: str, *command: str) -> None:
    """Fail until the client gives up, which takes three failures."""
    for _ in range(3):
        assert client.available
        assert await _reason(client, *command) == reason
    assert not client.available


async def _is(client: RedisClient, available: bool) -> bool:
    return client.available is available


async def test_paused(server: EmbeddedRedis, make_client: Make, watch: Watch) -> None:
    """Paused: after three time-outs nothing is sent any more, and nobody's call is needed to see it well again."""
    client = make_client(BRISK, watch.on_call)
    client.on_change(watch.on_change)
    await client.ping()
    pause(server.pid or 0)
    try:
        await _fall(client, "slow", "PING")
        asked = len(watch.calls)
        assert await _reason(client, "PING") == "slow"
        assert [await _reason(client, "PING") for _ in range(1000)] == ["slow"] * 1000
        assert len(watch.calls) - asked <= 5  # probes at most: none of the thousand was a call
        assert watch.changes == [(False, "slow")]
    finally:
        os.kill(server.pid or 0, signal.SIGCONT)
    await eventually(lambda: _is(client, True))
    assert watch.changes == [(False, "slow"), (True, "slow")]
    assert await _reason(client, "ECHO", "mine") == "ok"


async def test_killed_and_restarted(server: EmbeddedRedis, make_client: Make, watch: Watch) -> None:
    """Killed: `down` until the new process answers a probe."""
    client = make_client()
    client.on_change(watch.on_change)
    await client.ping()
    first = server.pid or 0
    os.kill(first, signal.SIGKILL)
    until(lambda: server._process is not None and server._process.poll() is not None)
    await _fall(client, "down", "PING")
    until(lambda: server.check() and server.pid != first)
    await eventually(lambda: _is(client, True))
    assert await _reason(client, "PING") == "ok"
    assert watch.changes == [(False, "down"), (True, "down")]


async def test_replica(make_client: Make) -> None:
    """A replica: writes open it although reads are answered, and a probe by PING alone would not do."""
    client, other = make_client(), make_client()
    await client.set("gw:a", "1")
    await other.execute("REPLICAOF", "127.0.0.1", "1")
    for _ in range(3):
        assert await _reason(client, "SET", "gw:a", "2") == "readonly"
        if client.available:
            assert client._pool.idle == 0  # the next connection asks who the master is
            assert await _reason(client, "GET", "gw:a") == "ok"
    assert not client.available
    await eventually(lambda: _probed(client, 2))
    assert await _reason(client, "GET", "gw:a") == "readonly"
    await other.execute("REPLICAOF", "NO", "ONE")
    await eventually(lambda: _is(client, True))
    assert await _reason(client, "SET", "gw:a", "2") == "ok"


async def _probed(client: NodeClient, times: int) -> bool:
    return client._breaker._probes >= times


async def test_full(make_client: Make) -> None:
    """No memory: as for a replica."""
    client, other = make_client(), make_client()
    await client.ping()
    await other.execute("CONFIG", "SET", "maxmemory", "1")
    await _fall(client, "oom", "SET", "gw:a", "1")
    await eventually(lambda: _probed(client, 2))
    assert not client.available
    await other.execute("CONFIG", "SET", "maxmemory", "0")
    await eventually(lambda: _is(client, True))
    assert await _reason(client, "SET", "gw:a", "1") == "ok"
    assert 0 < await other.execute("PTTL", PROBE_KEY) <= 1000


async def test_loading() -> None:
    """A server that still reads its data is `loading`, and in use once it has read it."""
    with servers(free_ports(1)) as (server,):
        async with clients(server.url, server.url) as (first, client):
            for start in range(400):
                await first.set(f"k{start}", "x" * 2000)
            await first.execute("SAVE")
            server.kill()
            # Reads its data slowly, and answers now and then meanwhile.
            server.start("--key-load-delay", "5000", "--loading-process-events-interval-bytes", "2048")
            await _fall(client, "loading", "GET", "k1")
            await eventually(lambda: _is(client, True))
            assert await client.get("k1") == b"x" * 2000


async def test_scripts_flushed(server: EmbeddedRedis, make_client: Make) -> None:
    """A server without our scripts is well: the script is sent whole, again and again."""
    client, other = make_client(), make_client()
    script = client.script(b"return ARGV[1]")
    for i in range(10):
        await other.execute("SCRIPT", "FLUSH")
        assert await script.run((), (i,)) == str(i).encode()
    assert client.available


@asynccontextmanager
async def _silent() -> AsyncIterator[str]:
    """The URL of a host that accepts and says nothing."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    host = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{host.sockets[0].getsockname()[1]}"
    ended.set()
    host.close()
    await host.wait_closed()


async def test_first_handshake() -> None:
    """Before the first connection, waiting is no failure: only the end of the attempt is one."""
    async with _silent() as url:
        client = connect(url, RedisOptions(timeout=0.01, connect_timeout=60))
        assert [await _reason(client, "PING") for _ in range(10)] == ["slow"] * 10
        assert client.available
        await client.close()
        client = connect(url, RedisOptions(timeout=10, connect_timeout=0.05))
        await _fall(client, "slow", "PING")
        await client.close()


async def test_credentials() -> None:
    """A server that refuses our credentials is away, without a word of them."""
    with servers(free_ports(1), "--requirepass", "right") as (server,):
        async with clients(f"redis://:canary@127.0.0.1:{server.port}", f"redis://:right@127.0.0.1:{server.port}") as (
            client,
            good,
        ):
            await good.ping()
            for _ in range(3):
                with pytest.raises(StoreUnavailable) as caught:
                    await client.ping()
                assert caught.value.reason == "error"
                assert "canary" not in str(caught.value)
            assert not client.available


@asynccontextmanager
async def _tls(port: int, authority: trustme.CA) -> AsyncIterator[int]:
    """The port of a TLS server that passes everything on to a plain one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, before), copy(behind, writer))

    host = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield host.sockets[0].getsockname()[1]
    host.close()
    await host.wait_closed()


async def test_tls(tmp_path: Path) -> None:
    """`rediss://` verifies the server: the right authority and name, or nothing is said to it."""
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    with servers(free_ports(1)) as (server,):
        async with _tls(server.port, authority) as port:
            for url, reason in (
                (f"rediss://localhost:{port}?ssl_ca_certs={file}", "ok"),
                (f"rediss://127.0.0.1:{port}?ssl_ca_certs={file}", "down"),
                (f"rediss://localhost:{port}", "down"),
            ):
                client = connect(url, PATIENT)
                assert await _reason(client, "PING") == reason
                await client.close()


async def test_a_bug_is_no_trouble(make_client: Make, watch: Watch) -> None:
    """A script that fails leaves the store available."""
    client = make_client(PATIENT, watch.on_call)
    script = client.script(b"error('bug')")
    for _ in range(5):
        with pytest.raises(StoreUnavailable, match="bug"):
            await script.run((), ())
    assert client.available
    assert watch.calls.count("error") == 5


async def test_batcher_fails_at_once(server: EmbeddedRedis, make_client: Make) -> None:
    """While the store is away a batch waits for nothing: callers and the lost alike hear of it."""
    lost: list[str] = []
    client = make_client(BRISK)
    batcher = ScriptBatcher(client.script(ECHO), on_lost=lambda _, error: lost.append(error.reason))
    await batcher.submit(Item(("gw:a",), (), [1]))
    pause(server.pid or 0)
    try:
        await _fall(client, "slow", "PING")
        for _ in range(200):
            with pytest.raises(StoreUnavailable, match="sick"):
                await batcher.submit(Item(("gw:a",), (), [1]))
        batcher.submit_nowait(Item(("gw:a",), (), [2]))
        await batcher.close()
        assert lost == ["slow"]
    finally:
        os.kill(server.pid or 0, signal.SIGCONT)


async def test_broken_listener(make_client: Make, caplog: pytest.LogCaptureFixture) -> None:
    """A listener that fails is logged, and harms neither the command nor the other listeners."""
    told: list[bool] = []

    def broken(available: bool, reason: str) -> None:
        raise RuntimeError(reason)

    client = make_client(RedisOptions(timeout=10))
    client.on_change(broken)
    client.on_change(lambda available, _: told.append(available))
    await client.execute("CONFIG", "SET", "maxmemory", "1")
    await _fall(client, "oom", "SET", "gw:a", "1")
    assert told == [False]
    assert "listener" in caplog.text


async def test_close_while_away(make_client: Make) -> None:
    """A client can be closed while it probes."""
    (port,) = free_ports(1)
    client = connect(f"redis://127.0.0.1:{port}", PATIENT)
    await _fall(client, "down", "PING")
    await client.close()
    assert not await works(client, "PING")


async def test_dial(make_client: Make) -> None:
    """A connection of the caller's own is connected and not the pool's."""
    client = make_client()
    connection = await client.dial()
    await connection.send_command("ECHO", "mine", check_health=False)
    assert await connection.read_response() == b"mine"
    assert client._pool.idle == 0
    await connection.disconnect()
