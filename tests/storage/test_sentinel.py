"""Sentinel: the client follows the master, whoever that is, with real Sentinels and real failovers."""

from __future__ import annotations

import asyncio

import pytest

from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, connect
from tests.storage.servers import (
    MASTER_NAME,
    PATIENT,
    Server,
    Watched,
    clients,
    free_ports,
    lone_sentinel,
    servers,
    watched,
    works,
)
from tests.support.waiting import eventually

_PATIENCE = 60.0
"""Sentinels that vote for different leaders try again after seconds."""


async def _port(client: RedisClient) -> int:
    """The port of the server that the client writes to."""
    return int((await client.execute("CONFIG", "GET", "port"))[1])


async def _writes_to(client: RedisClient, port: int) -> bool:
    try:
        return await works(client, "SET", "gw:a", "1") and await _port(client) == port
    except StoreUnavailable:
        return False  # it went between the two: the next look tells


@pytest.mark.slow
async def test_failover() -> None:
    """The master is killed, or demoted by command: the same client goes on with the new one; one Sentinel is dead."""
    async with watched() as found:
        changes: list[tuple[bool, str]] = []
        async with clients(found.url) as (client,):
            client.on_change(lambda available, reason: changes.append((available, reason)))
            old, new = found.data
            assert await _writes_to(client, old.port)
            assert not client.cluster
            script = client.script(b"return redis.call('INCR', KEYS[1])")
            await script.run(("gw:n",), ())
            old.kill()
            await eventually(lambda: _fails(client))
            await eventually(lambda: _writes_to(client, new.port), seconds=_PATIENCE)
            assert await script.run(("gw:n",), ()) in (1, 2)  # the replica had the first one, or not yet
            assert changes[:1] == [(False, "down")]
            assert changes[-1][0]
            # Back as a replica, and master again by command: its old master then says READONLY, or nothing.
            old.start()
            last = found.sentinels[2]
            await eventually(lambda: _is_replica(found.client[old.port]))
            await eventually(lambda: _switched(found, last, client, old.port), seconds=_PATIENCE)


async def _switched(found: Watched, sentinel: Server, client: RedisClient, port: int) -> bool:
    """Whether the client writes to `port`; asks for the failover as long as the Sentinel has not made it."""
    if await found.master_port(sentinel) != port:
        await works(found.client[sentinel.port], "SENTINEL", "FAILOVER", MASTER_NAME)
        await asyncio.sleep(0.2)
    return await _writes_to(client, port)


async def _fails(client: RedisClient) -> bool:
    return not client.available or not await works(client, "PING")


async def _is_replica(client: RedisClient) -> bool:
    try:
        return b"master_link_status:up" in await client.execute("INFO", "replication")
    except StoreUnavailable:
        return False


async def test_no_master() -> None:
    """Sentinels that are away, or are none, or know no such master, leave the store `down`, and say why."""
    ports = free_ports(2)
    with servers(ports[:1]) as (stranger,), lone_sentinel(stranger.port) as sentinel:
        away = f"127.0.0.1:{ports[1]}"
        for hosts, name in ((away, "main"), (f"{stranger.url[8:]},{away}", "main"), (sentinel.url[8:], "other")):
            client = connect(f"redis+sentinel://user:canary@{hosts}/{name}", PATIENT)
            with pytest.raises(StoreUnavailable, match=name) as caught:
                await client.ping()
            assert caught.value.reason == "down"
            assert "canary" not in str(caught.value)
            await client.close()


async def test_a_replica_is_no_master() -> None:
    """A server that a Sentinel still calls master, but which is one no more, is not used."""
    with servers(free_ports(1)) as (server,), lone_sentinel(server.port) as sentinel:
        url = f"redis+sentinel://{sentinel.url[8:]}/{MASTER_NAME}"
        async with clients(server.url, url) as (direct, client):
            await direct.execute("REPLICAOF", "127.0.0.1", 1)
            with pytest.raises(StoreUnavailable, match="no master"):
                await client.ping()
            await direct.execute("REPLICAOF", "NO", "ONE")
            await client.ping()


@pytest.mark.parametrize(
    ("user", "query", "good"),
    [
        (":right@", "?sentinel_password=other", True),
        (":right@", "", False),
        ("", "?sentinel_password=other", False),
        (":right@", "?sentinel_password=wrong", False),
    ],
)
async def test_passwords(user: str, query: str, good: bool) -> None:
    """Server and Sentinels each get their own password."""
    with servers(free_ports(1), "--requirepass", "right") as (server,):
        lines = (f"sentinel auth-pass {MASTER_NAME} right", "requirepass other")
        with lone_sentinel(server.port, *lines) as sentinel:
            url = f"redis+sentinel://{user}{sentinel.url[8:]}/{MASTER_NAME}{query}"
            async with clients(url) as (client,):
                assert await works(client, "SET", "gw:a", "1") is good


async def test_one_password_for_all() -> None:
    """Sentinels that want a password, and got none of their own, get the server's."""
    lines = (f"sentinel auth-pass {MASTER_NAME} same", "requirepass same")
    with servers(free_ports(1), "--requirepass", "same") as (server,), lone_sentinel(server.port, *lines) as sentinel:
        async with clients(f"redis+sentinel://:same@{sentinel.url[8:]}/{MASTER_NAME}") as (client,):
            await client.set("gw:a", "1")
