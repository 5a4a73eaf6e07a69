"""From the database to the shelf."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.registry.resources.heartbeats import BEAT_SECONDS, SILENT_SECONDS, Beat, Heartbeats, converged, everybody
from gateway.registry.resources.operations import Rotate
from gateway.registry.resources.propagation import CHANNEL, Propagation
from gateway.registry.resources.records import Kind
from gateway.registry.resources.shelf import Shelf
from gateway.storage.pubsub import Subscription
from gateway.storage.redis import RedisOptions, connect
from gateway.vault import Header
from tests.registry.resources.support import ALICE, SECRET, Office
from tests.support.app import store_url
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.storage.redis import RedisClient


class Time:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def redis() -> AsyncIterator[RedisClient]:
    client = connect(store_url(), RedisOptions(timeout=10.0, connect_timeout=10.0))
    yield client
    await client.close()


async def true_now(value: bool) -> bool:
    return value


class Vaults:
    """What the database says of the vault."""

    def __init__(self) -> None:
        self.header = Header("salt", "canary")

    async def __call__(self) -> Header:
        return self.header


header = Vaults()


async def test_laid_out(office: Office, redis: RedisClient, tmp_path: Path) -> None:
    """Each change is laid out whole with what opens it, and told to others; nothing is laid out while there is
    nothing; what was damaged is laid out again."""
    shelf = Shelf(tmp_path / "state")
    propagation = Propagation(office.resources, shelf, redis, header)
    heard: list[bytes] = []
    subscription = Subscription(redis.dial, CHANNEL, heard.append, lambda: None)
    listening = asyncio.create_task(subscription.run())
    try:
        await eventually(lambda: true_now(subscription.alive))
        await propagation.round()
        assert (shelf.read(), propagation.kept) == (None, 0)
        provider = await office.provider()
        await office.make(Kind.CREDENTIAL, "main", provider=provider.id, secret={"api_key": SECRET})
        await propagation.round()
        found = shelf.read()
        assert found is not None
        assert (found.revision, found.header, found.providers[0].name) == (2, ("salt", "canary"), "acme")
        assert SECRET.encode() not in shelf.path.read_bytes()
        await eventually(lambda: true_now(bool(heard)))
        shelf.path.write_bytes(b"rubbish")
        await propagation.round()
        assert shelf.read() == found
        before = shelf.seen()
        await propagation.round()
        assert shelf.seen() == before
        assert propagation.trouble is None
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)


async def test_what_a_rotation_replaced(office: Office, redis: RedisClient, tmp_path: Path) -> None:
    """A replaced secret is laid out until its time is over, and no longer."""
    time = Time()
    shelf = Shelf(tmp_path / "state")
    propagation = Propagation(office.resources, shelf, redis, header, time)
    provider = await office.provider()
    made = await office.make(Kind.CREDENTIAL, "main", provider=provider.id, secret={"api_key": SECRET})
    await office.resources.change(ALICE, [Rotate(made.id, {"api_key": "sk-new-0123456789"}, overlap=60.0)])
    await propagation.round()
    found = shelf.read()
    assert found is not None
    assert found.providers[0].credentials[0].previous == made.secret
    time.now += 61
    await propagation.round()
    found = shelf.read()
    assert found is not None
    assert (found.providers[0].credentials[0].previous, found.revision) == (None, 3)


async def test_another_canary(office: Office, redis: RedisClient, tmp_path: Path) -> None:
    """After a change of the encryption key what proves it is laid out anew, though no resource changed."""
    shelf, vaults = Shelf(tmp_path / "state"), Vaults()
    propagation = Propagation(office.resources, shelf, redis, vaults)
    await office.provider()
    await propagation.round()
    vaults.header = Header("salt", "another")
    await propagation.round()
    found = shelf.read()
    assert found is not None
    assert found.header == ("salt", "another")


async def test_no_room(office: Office, redis: RedisClient, tmp_path: Path) -> None:
    """While it cannot be laid out that is told, and what was there stays; afterwards all is well by itself."""
    shelf = Shelf(tmp_path / "state")
    propagation = Propagation(office.resources, shelf, redis, header)
    (tmp_path / "state").mkdir()
    shelf.path.parent.write_text("in the way")
    await office.provider()
    await propagation.round()
    assert propagation.trouble is not None
    assert shelf.complaint() == propagation.trouble
    shelf.path.parent.unlink()
    await propagation.round()
    assert shelf.read() is not None
    assert shelf.complaint() is None
    trouble: object = propagation.trouble
    assert trouble is None


async def test_heartbeats(redis: RedisClient) -> None:
    """A worker tells what is new at once, what is not every now and then; who is silent counts as gone."""
    time = Time()
    now = Beat("replica", "w1", "abc", 3, 1.0)
    await redis.execute("DEL", "gw:{config}:workers")
    beats = Heartbeats(redis, lambda: now, time)
    await beats.look()
    assert [(one.worker, one.resources) for one in await everybody(redis, time)] == [("w1", 3)]
    now = Beat("replica", "w1", "def", 4, 2.0)
    await beats.look()
    (found,) = await everybody(redis, time)
    assert (found.resources, found.at) == (4, time.now)
    time.now += BEAT_SECONDS / 2
    await beats.look()
    assert (await everybody(redis, time))[0].at == found.at
    time.now += BEAT_SECONDS
    await beats.look()
    assert (await everybody(redis, time))[0].at == time.now
    time.now += SILENT_SECONDS + 1
    assert await everybody(redis, time) == []
    await beats.look()
    await beats.leave()
    assert await everybody(redis, time) == []
    await redis.execute("HSET", "gw:{config}:workers", "x|y", b"another version's")
    assert await everybody(redis, time) == []


def test_converged() -> None:
    """All serve the same, and nothing older than the newest."""
    one = Beat("a", "1", "r1", 5, 0.0)
    assert converged([one, Beat("b", "1", "r1", 5, 0.0)], 5)
    assert not converged([one, Beat("b", "1", "r1", 4, 0.0)], 5)
    assert not converged([one, Beat("b", "1", "r2", 5, 0.0)], 5)
    assert not converged([], 0)
