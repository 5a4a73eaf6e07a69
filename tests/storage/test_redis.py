"""The client: bounded waits, known reasons, no retry, and scripts that survive a flush."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.errors import OperatorError
from gateway.storage.errors import StoreUnavailable
from gateway.storage.node import NodeClient
from gateway.storage.redis import RedisClient, RedisOptions, connect
from tests.support.waiting import eventually, pause, until

if TYPE_CHECKING:
    from gateway.storage.embedded import EmbeddedRedis

Make = Callable[..., NodeClient]


async def _reason(client: RedisClient, *command: str) -> str:
    try:
        await client.execute(*command)
    except StoreUnavailable as error:
        return error.reason
    return "ok"


async def test_values(make_client: Make) -> None:
    """What was set is read back as bytes; a ttl is set in milliseconds."""
    client = make_client()
    await client.ping()
    assert await client.get("gw:none") is None
    await client.set("gw:a", "1", ttl=60)
    assert await client.get("gw:a") == b"1"
    assert 59_000 < await client.execute("PTTL", "gw:a") <= 60_000


async def test_no_script(make_client: Make) -> None:
    """A flushed script is sent whole once; the caller notices nothing."""
    client = make_client()
    script = client.script(b"return ARGV[1]")
    assert await script.run((), ("a",)) == b"a"
    await client.execute("SCRIPT", "FLUSH")
    assert await script.run((), ("b",)) == b"b"
    assert int((await client.execute("SCRIPT", "EXISTS", script.sha))[0]) == 1


async def test_script_file(make_client: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script is a file among a package's resources."""
    package = tmp_path / "scripts_under_test"
    (package / "lua").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "lua" / "one.lua").write_text("return 1")
    monkeypatch.syspath_prepend(tmp_path)
    assert await make_client().load_script("scripts_under_test", "lua/one.lua").run((), ()) == 1


async def test_paused_server_is_slow(server: EmbeddedRedis, make_client: Make) -> None:
    """A server that does not answer costs one timeout, and recovers without a crossed reply."""
    client = make_client(RedisOptions(timeout=0.05))
    await client.set("gw:a", "1")
    pause(server.pid or 0)
    started = time.monotonic()
    try:
        assert await _reason(client, "GET", "gw:a") == "slow"
        assert time.monotonic() - started < 5  # far from the seconds of a retrying client
    finally:
        os.kill(server.pid or 0, signal.SIGCONT)

    async def back() -> bool:
        return await _reason(client, "PING") == "ok"

    await eventually(back)
    patient = make_client()
    assert await patient.execute("ECHO", "mine") == b"mine"


async def test_dead_server_is_down(server: EmbeddedRedis, make_client: Make) -> None:
    """No server is `down` at once; a restarted one works again with the same client, on the first command."""
    client = make_client()
    await client.set("gw:a", "1")
    first = server.pid or 0
    os.kill(first, signal.SIGKILL)
    until(lambda: server._process is not None and server._process.poll() is not None)
    assert await _reason(client, "PING") == "down"
    until(lambda: server.check() and server.pid != first)

    async def ready() -> bool:
        return await _reason(make_client(), "PING") == "ok"

    await eventually(ready)
    assert await client.get("gw:a") == b"1"


async def test_closed_connections_are_noticed(make_client: Make) -> None:
    """A connection the server closed while it was idle is not used again."""
    client = make_client()
    await client.ping()
    await make_client().execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def noticed() -> bool:
        reader = client._pool._idle[0]._reader
        return reader is not None and reader.at_eof()

    await eventually(noticed)
    await client.ping()


async def test_reasons(make_client: Make) -> None:
    """What the server refuses has the reason that the failure table knows, inside a script too."""
    operator = make_client()
    for reason, trouble, cure in (
        ("oom", ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        ("readonly", ("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ):
        client = make_client()  # each with a breaker that knows of no trouble yet
        write = client.script(b"return redis.call('SET', 'gw:a', ARGV[1])")
        await operator.execute(*trouble)
        assert await _reason(client, "SET", "gw:a", "1") == reason
        with pytest.raises(StoreUnavailable, match=reason):
            await write.run((), ("1",))
        assert client._pool.idle == 0  # a connection that failed is never used again
        await operator.execute(*cure)
        assert await _reason(client, "NONSENSE") == "error"
        assert await _reason(client, "SET", "gw:a", "1") == "ok"


@asynccontextmanager
async def _fake(*replies: bytes) -> AsyncIterator[str]:
    """The URL of a server that answers its n-th read with the n-th reply, and is silent afterwards."""
    script = list(replies)
    ended: list[asyncio.Event] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.append(asyncio.Event())
        while await reader.read(1 << 16):
            if script:
                writer.write(script.pop(0))
        writer.close()
        await writer.wait_closed()
        ended[-1].set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for event in ended:
        await asyncio.wait_for(event.wait(), 10)


async def test_loading() -> None:
    """A server that still reads its data is `loading`."""
    async with _fake(b"+OK\r\n", b"-LOADING Redis is loading the dataset in memory\r\n") as url:
        client = connect(url, RedisOptions(timeout=10))
        assert await _reason(client, "GET", "gw:a") == "loading"
        await client.close()


async def test_silent_host_bounds_the_wait() -> None:
    """A host that accepts and says nothing costs the timeout, not the connect timeout."""
    async with _fake() as url:
        client = connect(url, RedisOptions(timeout=0.05, connect_timeout=60))
        assert await asyncio.wait_for(_reason(client, "PING"), 20) == "slow"
        await client.close()


async def test_loop_stall_is_not_the_store(make_client: Make) -> None:
    """An answer that arrived while our own loop was busy counts, however late we look at it."""
    client = make_client(RedisOptions(timeout=0.05))
    await eventually(lambda: _is_ok(client))
    pending = asyncio.ensure_future(client.execute("ECHO", "mine"))
    for _ in range(3):
        await asyncio.sleep(0)
    time.sleep(0.2)  # noqa: ASYNC251 - the loop stalls with the reply in the socket
    assert await pending == b"mine"


async def _is_ok(client: RedisClient) -> bool:
    return await _reason(client, "PING") == "ok"


async def test_pool_is_bounded(make_client: Make) -> None:
    """However many commands run, the server sees a few connections."""
    client = make_client(RedisOptions(timeout=20, connect_timeout=20, max_connections=3))
    await asyncio.gather(*(client.execute("ECHO", str(i)) for i in range(200)))
    assert client._pool.idle <= 3
    assert (await client.execute("CLIENT", "LIST")).count(b"name=gateway") <= 3


@pytest.mark.parametrize("cancellations", [1_000, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_cancelled_commands(make_client: Make, cancellations: int) -> None:
    """Commands cancelled at random moments, each with a connection in hand: every answer is the asker's own."""
    client = make_client()
    chance = random.Random(11)
    cancelled = answered = 0

    async def ask(number: int) -> None:
        nonlocal cancelled, answered
        try:
            assert await client.execute("ECHO", str(number)) == str(number).encode()
            answered += 1
        except asyncio.CancelledError:
            cancelled += 1
            raise

    for start in range(0, 10 * cancellations, 40):
        if cancelled >= cancellations:
            break
        tasks = [asyncio.ensure_future(ask(start + i)) for i in range(40)]
        await asyncio.sleep(0)
        for task in chance.sample(tasks, 20):
            task.cancel()
            if chance.random() < 0.3:
                await asyncio.sleep(0)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError)
    assert cancelled >= cancellations
    assert answered >= cancellations / 2
    assert client.available


@pytest.mark.parametrize("url", ["http://127.0.0.1", "127.0.0.1:6379"])
def test_foreign_url(url: str) -> None:
    """A URL of another kind is the operator's mistake, and the message says which are understood."""
    with pytest.raises(OperatorError, match="rediss://"):
        connect(url)


def test_import_is_cheap() -> None:
    """Nothing loads redis-py before a connection is asked for."""
    code = "import sys; import gateway.storage.batch, gateway.storage.embedded; sys.exit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
