"""Sentinel: the client follows the master, whoever that is, with real Sentinels and real failovers."""

from __future__ import annotations

import pytest

from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, connect
from tests.storage.servers import PATIENT, clients, free_ports, servers, watched, works
from tests.storage.waiting import until_async


async def _port(client: RedisClient) -> int:
    """The port of the server that the client writes to."""
    return int((await client.execute("CONFIG", "GET", "port"))[1])


async def _writes_to(client: RedisClient, port: int) -> bool:
    return await works(client, "SET", "gw:a", "1") and await _port(client) == port


@pytest.mark.slow
async def test_failover() -> None:
    """The master is killed, or demoted by command: the same client goes on with the new one; a Sentinel may be dead."""
    async with watched() as found:
        changes: list[tuple[bool, str]] = []
        async with clients(found.url) as (client,):
            client.on_change(lambda available, reason: changes.append((available, reason)))
            old, new = found.data
            assert await _writes_to(client, old.port)
            assert not client.cluster
            script = client.script(b"return redis.call('INCR', KEYS[1])")
            await script.run(("gw:n",), ())
            found.sentinels[0].kill()
            old.kill()
            await until_async(lambda: _fails(client))
            await until_async(lambda: _writes_to(client, new.port))
            assert await script.run(("gw:n",), ()) in (1, 2)  # the replica had the first one, or not yet
            assert changes[:1] == [(False, "down")]
            assert changes[-1][0]
            # Back as a replica, and master again by command: its old master then says READONLY, or nothing.
            old.start()
            last = found.sentinels[2]
            await until_async(lambda: _is_replica(found.client[old.port]))
            await until_async(lambda: works(found.client[last.port], "SENTINEL", "FAILOVER", "main"))
            await until_async(lambda: _writes_to(client, old.port))


async def _fails(client: RedisClient) -> bool:
    return not client.available or not await works(client, "PING")


async def _is_replica(client: RedisClient) -> bool:
    try:
        return b"master_link_status:up" in await client.execute("INFO", "replication")
    except StoreUnavailable:
        return False


async def test_no_master() -> None:
    """Sentinels that are away, or know no such master, or name a replica, leave the store `down`, and say why."""
    ports = free_ports(3)
    with servers(ports[:2]) as (stranger, replica):
        async with clients(replica.url) as (direct,):
            await direct.execute("REPLICAOF", "127.0.0.1", stranger.port)
            for hosts in (f"127.0.0.1:{ports[2]}", f"127.0.0.1:{stranger.port},127.0.0.1:{ports[2]}"):
                client = connect(f"redis+sentinel://user:canary@{hosts}/main", PATIENT)
                with pytest.raises(StoreUnavailable, match="main") as caught:
                    await client.ping()
                assert caught.value.reason == "down"
                assert "canary" not in str(caught.value)
                await client.close()
