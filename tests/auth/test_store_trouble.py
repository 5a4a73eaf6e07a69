"""The run-time keys of a worker while their store is in trouble."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal

from gateway.auth.keyring import Keyring
from gateway.auth.mirror import Mirror
from gateway.auth.records import KeyRecord, digest_of, encode
from gateway.auth.store import CachePolicy
from gateway.errors import AuthUnavailable, InvalidApiKey
from gateway.storage.embedded import EmbeddedRedis
from gateway.storage.redis import RedisClient, RedisOptions, connect
from tests.auth.conftest import EMPTY, Office, Time, Workers, ready, refusal
from tests.support.waiting import eventually, pause

UNKNOWN = b"gw-" + b"x" * 43


async def test_without_the_store_known_keys_serve_for_five_minutes(
    mirror: Mirror, office: Office, workers: Workers, shared_server: EmbeddedRedis, redis: RedisClient
) -> None:
    """Then they are 503 like those that nobody knows: never 401."""
    secret = await ready(mirror, office)
    keys = workers(RedisOptions(timeout=0.2))
    await keys.find(EMPTY, secret)
    await keys.poll()
    confirmed = workers.clock.now
    await redis.execute("DEL", "gw:keys")
    await keys.poll()
    assert not keys.available
    workers.clock.now = confirmed + 300
    await keys.poll()
    assert keys.known(EMPTY, secret) is not None
    assert (await keys.find(EMPTY, secret)).key == "ci"
    assert await refusal(keys, UNKNOWN) is AuthUnavailable
    workers.clock.now = confirmed + 300.1
    assert keys.known(EMPTY, secret) is None
    assert await refusal(keys, secret) is AuthUnavailable


async def test_a_paused_server_is_503_for_what_is_unknown(
    own_server: EmbeddedRedis, wall: Time, workers: Workers
) -> None:
    """Within the client's time-out; after it goes on, all is well again."""
    client = connect(own_server.url, RedisOptions(timeout=1.0))
    token = b"gw-1"
    await Keyring(client).replace({digest_of(token): encode(KeyRecord("ci"))}, 1)
    workers._url = own_server.url
    keys = workers(RedisOptions(timeout=0.1))
    await keys.find(EMPTY, token)
    assert own_server.pid is not None
    pause(own_server.pid)
    try:
        found = await asyncio.gather(*(keys.find(EMPTY, b"%d" % n) for n in range(50)), return_exceptions=True)
        assert {type(each) for each in found} == {AuthUnavailable}
        await keys.poll()
        assert keys.known(EMPTY, token) is not None
        workers.clock.now += 299
        assert keys.known(EMPTY, token) is not None
    finally:
        os.kill(own_server.pid, signal.SIGCONT)
    async with asyncio.timeout(20):
        while not keys.available:
            await keys.poll()
            await asyncio.sleep(0.02)
    assert await refusal(keys, UNKNOWN) is InvalidApiKey
    await client.close()


async def test_a_flush_is_503_until_the_mirror_is_whole_again(
    mirror: Mirror, office: Office, workers: Workers, redis: RedisClient
) -> None:
    """An empty store says nothing about keys; the next round of the mirror fills it."""
    secret = await ready(mirror, office)
    cached, fresh = workers(), workers()
    await cached.find(EMPTY, secret)
    await redis.execute("FLUSHALL")
    assert cached.known(EMPTY, secret) is not None
    assert await refusal(fresh, secret) is AuthUnavailable
    assert await refusal(fresh, UNKNOWN) is AuthUnavailable
    assert fresh.configured is None
    await mirror.step()
    assert (await fresh.find(EMPTY, secret)).key == "ci"
    assert await refusal(fresh, UNKNOWN) is InvalidApiKey
    await cached.poll()
    assert cached.known(EMPTY, secret) is not None


async def test_a_hash_with_a_gap_says_nothing(
    mirror: Mirror, office: Office, workers: Workers, redis: RedisClient
) -> None:
    """A record that went missing by itself is our fault, not the client's."""
    secret = await ready(mirror, office)
    await redis.execute("HDEL", "gw:keys", digest_of(secret))
    keys = workers()
    assert await refusal(keys, secret) is AuthUnavailable
    await mirror.step()
    assert (await keys.find(EMPTY, secret)).key == "ci"


async def test_without_confirmation_an_entry_is_read_again(mirror: Mirror, office: Office, workers: Workers) -> None:
    """Should the rounds stop while the store works, nothing is trusted for longer than a minute."""
    secret = await ready(mirror, office)
    keys = workers()
    await keys.find(EMPTY, secret)
    workers.clock.now += 60
    assert keys.known(EMPTY, secret) is not None
    workers.clock.now += 0.1
    assert keys.known(EMPTY, secret) is None
    assert (await keys.find(EMPTY, secret)).key == "ci"
    assert keys.known(EMPTY, secret) is not None


async def test_a_record_that_cannot_be_read_is_503(workers: Workers, keyring: Keyring) -> None:
    """A newer version may have written it: the client's key is no worse for that."""
    broken = itertools.count(1)
    for raw in (b"", b"\xc1", encode({"name": "ci", "limits": {"requests": "soon"}}), encode({"title": "ci"})):
        await keyring.replace({digest_of(UNKNOWN): raw}, next(broken))
        assert await refusal(workers(), UNKNOWN) is AuthUnavailable


async def test_whether_any_key_exists(mirror: Mirror, office: Office, workers: Workers) -> None:
    """Not known, then no, then yes: for good, whatever becomes of the keys."""
    keys = workers()
    said = []
    for act in (None, mirror.step, office.create, office.revoke):
        if act is not None:
            await act()
        await keys.poll()
        said.append(keys.configured)
    assert said == [None, False, True, True]


async def test_the_first_key_is_told(mirror: Mirror, office: Office, workers: Workers) -> None:
    """A notice closes an open gateway at once."""
    await mirror.step()
    keys = await workers.running(policy=CachePolicy(poll=3600))
    await eventually(lambda: keys.configured is False)
    await office.create()
    await eventually(lambda: keys.configured)


async def test_what_was_known_of_keys_at_boot_stays(mirror: Mirror, workers: Workers) -> None:
    """A mirror from before the first key, which it does not know yet, does not open the gateway."""
    await mirror.step()
    keys = workers()
    keys.configured = True
    await keys.poll()
    assert keys.configured


async def test_secrets_are_nowhere_in_redis(
    mirror: Mirror, office: Office, workers: Workers, redis: RedisClient, shared_server: EmbeddedRedis
) -> None:
    """Neither in the hash, nor in what is published, nor in the server's files."""
    heard: list[bytes] = []
    keys = await workers.running()
    notice = keys.notice
    keys.notice = lambda message: (heard.append(message), notice(message))[1]  # type: ignore[method-assign,func-returns-value]
    secrets = [await ready(mirror, office), await office.rotate(), await office.create("b")]
    for secret in secrets:
        await keys.find(EMPTY, secret)
    await mirror.step()
    stored = repr(await redis.execute("HGETALL", "gw:keys")).encode() + b"".join(heard)
    home = shared_server._home
    stored += b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert b"mark" in stored
    assert not any(secret[11:] in stored or secret in stored for secret in secrets)
