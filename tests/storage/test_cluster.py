"""Cluster: every key finds its node, through moving slots and dying masters, with real nodes."""

from __future__ import annotations

import asyncio

import pytest

from gateway.storage.batch import Item, ScriptBatcher
from gateway.storage.cluster import ClusterClient
from gateway.storage.errors import StoreUnavailable
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.slots import key_slot
from tests.storage.conftest import ECHO
from tests.storage.servers import PATIENT, Cluster, clients, cluster, free_ports, works
from tests.support.waiting import eventually

TAGS = [f"{{{number}}}" for number in range(16)]


async def _stats(found: Cluster) -> list[int]:
    """How many scripts each master ran."""
    reports = [await client.execute("INFO", "commandstats") for client in found.client[:3]]
    return [sum(report.count(word) for word in (b"cmdstat_evalsha", b"cmdstat_eval:")) for report in reports]


async def _routing(found: Cluster, client: RedisClient) -> None:
    """Commands and scripts reach the node of their key."""
    for number in range(100):
        await client.set(f"gw:{number}", str(number))
    assert [await client.get(f"gw:{number}") for number in range(100)] == [str(i).encode() for i in range(100)]
    sizes = [await node.execute("DBSIZE") for node in found.client[:3]]
    assert sum(sizes) == 100
    assert all(sizes)
    await client.ping()
    await client.execute("XGROUP", "CREATE", "gw:{5}:s", "g", "$", "MKSTREAM")
    await client.execute("XADD", "gw:{5}:s", "*", "e", b"1")
    reply = await client.execute("XREADGROUP", "GROUP", "g", "c", "COUNT", 10, "STREAMS", "gw:{5}:s", ">")
    assert reply[0][0] == b"gw:{5}:s"


async def _scripts(found: Cluster, client: RedisClient) -> None:
    """One batcher per tag: its batches stay within a slot, on whichever node that is; scripts may vanish anywhere."""
    batchers = [ScriptBatcher(client.script(ECHO)) for _ in TAGS]
    for _ in range(2):
        items = [Item((f"gw:{tag}:calls", f"gw:{tag}:{i}"), ("table",), [i]) for i in range(5) for tag in TAGS]
        results = await asyncio.gather(*(batchers[i % 16].submit(item) for i, item in enumerate(items)))
        assert [result[:2] for result in results] == [[item.args, list(item.keys)] for item in items]
        for node in found.client[:3]:
            await node.execute("SCRIPT", "FLUSH")
    assert [await client.get(f"gw:{tag}:calls") for tag in TAGS] == [b"10"] * 16
    assert all(await _stats(found))
    with pytest.raises(StoreUnavailable, match="same slot"):
        await client.script(ECHO).run(("gw:{0}", "gw:{1}"), ("",))


async def _migration(found: Cluster, client: RedisClient) -> None:
    """While a slot moves, keys are found on either side, and afterwards on the new one, without a failure."""
    here, there = "gw:{5}:here", "gw:{5}:there"
    slot = key_slot(here)
    await client.set(here, "1")
    source = [await works(node, "GET", here) for node in found.client[:3]].index(True)
    target = (source + 1) % 3
    giver, taker = found.client[source], found.client[target]
    await taker.execute("CLUSTER", "SETSLOT", slot, "IMPORTING", found.ids[source])
    await giver.execute("CLUSTER", "SETSLOT", slot, "MIGRATING", found.ids[target])
    await client.set(there, "2")  # not at the giver: ASK
    assert [await client.get(here), await client.get(there)] == [b"1", b"2"]
    # A script whose keys are on both sides cannot run: that is said, and is no trouble of the store.
    count = client.script(b"return redis.call('EXISTS', KEYS[1], KEYS[2])")
    with pytest.raises(StoreUnavailable, match="TRYAGAIN"):
        await client.execute("EVAL", count.source, 2, here, there)
    assert client.available
    waiting = asyncio.ensure_future(count.run((here, there), ()))
    while keys := await giver.execute("CLUSTER", "GETKEYSINSLOT", slot, 100):
        port = found.nodes[target].port
        await giver.execute("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *keys)
    for node in (taker, giver, found.client[(source + 2) % 3]):
        await node.execute("CLUSTER", "SETSLOT", slot, "NODE", found.ids[target])
    assert await waiting == 2
    assert [await client.get(here), await client.get(there)] == [b"1", b"2"]  # MOVED, once
    assert isinstance(client, ClusterClient)
    await eventually(lambda: _owns(client, slot, found.nodes[target].port))


async def _owns(client: ClusterClient, slot: int, port: int) -> bool:
    return client._map.owner(slot) == ("127.0.0.1", port) and slot not in client._map._moved


@pytest.mark.slow
async def test_cluster() -> None:
    """Routing, scripts of many tags, a migrating slot, and a master that dies: one client lives through it all."""
    async with cluster() as found, clients(found.url, options=RedisOptions(timeout=1.0)) as (client,):
        assert client.cluster
        await _routing(found, client)
        await _scripts(found, client)
        await _migration(found, client)
        await _failover(found, client)


async def _failover(found: Cluster, client: RedisClient) -> None:
    """A master is killed: its keys fail at once, the others are served, and its replica takes over."""
    changes: list[tuple[bool, str]] = []
    client.on_change(lambda available, reason: changes.append((available, reason)))
    at = {i: [tag for tag in TAGS if await works(found.client[i], "GET", f"gw:{tag}")] for i in range(3)}
    assert all(at.values())
    lost, kept = f"gw:{at[0][0]}", f"gw:{at[1][0]}"
    await client.set(lost, "1")
    await eventually(lambda: _has(found.client[3], lost))
    found.nodes[0].kill()
    for _ in range(3):
        assert not await works(client, "SET", lost, "2")
    assert not client.available
    assert await client.get(kept) is None
    await eventually(lambda: _has(client, lost), seconds=30)
    assert await works(client, "SET", lost, "3")
    await eventually(lambda: _available(client))
    assert changes[0] == (False, "down")
    assert changes[-1][0]
    assert isinstance(client, ClusterClient)
    assert ("127.0.0.1", found.nodes[0].port) not in client._nodes


async def _has(client: RedisClient, key: str) -> bool:
    try:
        return bool(await client.execute("EXISTS", key))
    except StoreUnavailable as error:
        return "elsewhere" in str(error)  # a replica that has it sends us to its master


async def _available(client: RedisClient) -> bool:
    return client.available


async def test_no_node() -> None:
    """Seeds that are away are `down`; after three attempts calls fail at once; the first node that comes is found."""
    ports = free_ports(2)
    client = connect(f"redis+cluster://127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}", PATIENT)
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="down"):
            await client.ping()
    assert not client.available
    with pytest.raises(StoreUnavailable, match="tells"):
        await client.get("gw:a")
    await client.close()
