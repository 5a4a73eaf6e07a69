"""The keys that a worker knows: hits, misses, changes, and a store that is away."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from gateway.auth.keyring import Keyring, read_notice
from gateway.auth.mirror import Mirror
from gateway.auth.records import Change, KeyRecord, digest_of, encode
from gateway.auth.store import CachePolicy, Keys
from gateway.errors import AuthUnavailable, GatewayError, InvalidApiKey, KeyExpired, KeyRevoked
from gateway.registry.snapshot import Snapshot, VirtualKey
from gateway.storage.errors import StoreUnavailable
from gateway.types import Principal
from tests.auth.conftest import EMPTY, Office, Time, Workers, ready, refusal
from tests.support.waiting import eventually

UNKNOWN = b"gw-" + b"x" * 43


async def test_a_key_is_read_once_and_then_known(mirror: Mirror, office: Office, workers: Workers) -> None:
    """The first call reads Redis; those that follow cost no I/O."""
    secret = await ready(mirror, office)
    keys = workers()
    assert keys.known(EMPTY, secret) is None
    principal = await keys.find(EMPTY, secret)
    read = workers.calls
    assert (principal.key, principal.digest) == ("ci", digest_of(secret))
    assert all(keys.known(EMPTY, secret) is principal for _ in range(100))
    assert workers.calls == read > 0


async def test_keys_of_the_file_come_first(mirror: Mirror, office: Office, workers: Workers) -> None:
    """They need no store; a database key of the same name does not work beside one."""
    of_file = Principal("ci", digest=digest_of(UNKNOWN))
    snapshot = Snapshot(
        "rev", keys={of_file.digest: of_file}, virtual_keys={"ci": VirtualKey("ci", of_file.digest, of_file)}
    )
    keys = workers()
    assert keys.known(snapshot, UNKNOWN) is of_file
    assert workers.calls == 0
    secret = await ready(mirror, office)
    assert await refusal(keys, secret, snapshot) is InvalidApiKey
    assert keys.known(snapshot, secret) is None
    assert (await keys.find(EMPTY, secret)).key == "ci"
    assert keys.known(snapshot, secret) is None


async def test_a_key_of_the_file_expires(workers: Workers, wall: Time) -> None:
    """At its moment, not before."""
    principal = Principal("ci", expires_at=wall.now + 1)
    snapshot = Snapshot("rev", keys={digest_of(UNKNOWN): principal})
    keys = workers()
    assert keys.known(snapshot, UNKNOWN) is principal
    wall.now += 1
    with pytest.raises(KeyExpired):
        keys.known(snapshot, UNKNOWN)


async def test_a_database_key_expires(mirror: Mirror, office: Office, workers: Workers, wall: Time) -> None:
    """Whether it is cached or not: 401 that says so, from its moment on."""
    await mirror.step()
    secret = await office.create(expires_at=wall.now + 10)
    cached, uncached = workers(), workers()
    await cached.find(EMPTY, secret)
    wall.now += 9.9
    assert cached.known(EMPTY, secret) is not None
    wall.now += 0.1
    with pytest.raises(KeyExpired) as refused:
        cached.known(EMPTY, secret)
    assert (refused.value.public_status, refused.value.public_code) == (401, "invalid_api_key")
    assert await refusal(uncached, secret) is KeyExpired


async def test_a_rotated_secret_works_until_its_grace_ends(
    mirror: Mirror, office: Office, workers: Workers, wall: Time
) -> None:
    """Both are the same key meanwhile; afterwards the old one has expired, and nobody was told of a revocation."""
    old = await ready(mirror, office)
    keys = await workers.running()
    revoked: list[frozenset[bytes]] = []
    keys.on_revoked(revoked.append)
    await keys.find(EMPTY, old)
    new = await office.rotate(grace=60)
    assert (await keys.find(EMPTY, new)).key == "ci"
    await eventually(lambda: (found := keys.known(EMPTY, old)) is not None and found.expires_at == wall.now + 60)
    wall.now += 60
    with pytest.raises(KeyExpired):
        keys.known(EMPTY, old)
    assert keys.known(EMPTY, new) is not None
    last = await office.rotate(grace=0)
    assert (await keys.find(EMPTY, last)).key == "ci"
    await eventually(lambda: expired(keys, new))
    await mirror.step()
    await keys.poll()
    assert revoked == []


def expired(keys: Keys, credential: bytes) -> bool:
    """`known` says so."""
    try:
        keys.known(EMPTY, credential)
    except KeyExpired:
        return True
    return False


# ---- credentials that are none


@pytest.mark.parametrize(
    "credential",
    [
        b"",
        b"\0",
        b"mark",
        b"gw:keys",
        b"' OR 1=1 --",
        b'"; FLUSHALL',
        b"*1\r\n$8\r\nFLUSHALL\r\n",
        b"\xff" * 32,
        UNKNOWN,
    ],
)
async def test_what_is_no_key_is_401(mirror: Mirror, office: Office, workers: Workers, credential: bytes) -> None:
    """Injections, names of our own fields, nonsense: nothing opens, and nothing breaks."""
    secret = await ready(mirror, office)
    keys = workers()
    assert await refusal(keys, credential) is InvalidApiKey
    assert keys.known(EMPTY, credential) is None
    assert (await keys.find(EMPTY, secret)).key == "ci"


async def test_a_stolen_digest_opens_nothing(mirror: Mirror, office: Office, workers: Workers) -> None:
    """Who reads Redis or the database cannot log in with what stands there."""
    digest = digest_of(await ready(mirror, office))
    keys = workers()
    for stolen in (digest, digest.hex().encode(), b"sha256:" + digest.hex().encode(), digest.hex().upper().encode()):
        assert await refusal(keys, stolen) is InvalidApiKey


async def test_tokens_with_a_common_start_stay_apart(workers: Workers, keyring: Keyring) -> None:
    """The cache tells tokens apart by all of their bytes (CVE-2026-35030: by the first ones)."""
    start = b"gw-" + b"a" * 200
    tokens = [start + bytes([n]) for n in range(40)]
    records = {digest_of(token): encode(KeyRecord(f"k{n}")) for n, token in enumerate(tokens[:20])}
    await keyring.replace(records, 20)
    keys = workers()
    for _ in range(2):
        for n, token in enumerate(tokens):
            if n < 20:
                assert (keys.known(EMPTY, token) or await keys.find(EMPTY, token)).key == f"k{n}"
            else:
                assert keys.known(EMPTY, token) is None
                assert await refusal(keys, token) is InvalidApiKey
    assert await refusal(keys, start) is InvalidApiKey


async def test_what_is_unknown_is_remembered_for_a_while(mirror: Mirror, workers: Workers) -> None:
    """The same wrong key asks Redis once in some seconds."""
    await mirror.step()
    keys = workers()
    assert await refusal(keys, UNKNOWN) is InvalidApiKey
    read = workers.calls
    assert {await refusal(keys, UNKNOWN) for _ in range(20)} == {InvalidApiKey}
    assert workers.calls == read
    workers.clock.now += CachePolicy().negative
    assert await refusal(keys, UNKNOWN) is InvalidApiKey
    assert workers.calls == read + 1


async def test_a_key_that_is_created_after_all_is_known_at_once(
    mirror: Mirror, office: Office, workers: Workers
) -> None:
    """Its creation drops what was remembered of its absence."""
    await mirror.step()
    keys = await workers.running()
    secret = await office.create()
    change = await office.issuer.changed(0)
    await office.keyring.apply(Change(1, 1, {}, [digest_of(secret)]))
    await eventually(lambda: keys._found_absent(digest_of(secret)) is not None)
    await office.keyring.apply(change)
    await eventually(lambda: keys._found_absent(digest_of(secret)) is None)
    assert (await keys.find(EMPTY, secret)).key == "ci"


async def test_the_caches_are_bounded(workers: Workers, keyring: Keyring) -> None:
    """Neither keys nor wrong guesses grow without end; what open calls need stays."""
    tokens = [b"gw-%d" % n for n in range(50)]
    await keyring.replace({digest_of(token): encode(KeyRecord("k")) for token in tokens}, 1)
    needed = digest_of(tokens[0])
    keys = workers(policy=CachePolicy(entries=10, negatives=10), in_use=lambda digest: digest == needed)
    for token in tokens:
        await keys.find(EMPTY, token)
    assert (len(keys._cache), keys.known(EMPTY, tokens[0]) is not None) == (10, True)
    assert keys.known(EMPTY, tokens[1]) is None
    for n in range(50):
        assert await refusal(keys, b"none-%d" % n) is InvalidApiKey
    assert len(keys._absent) == 10


# ---- many at once


async def test_a_thousand_misses_are_one_read(mirror: Mirror, office: Office, workers: Workers) -> None:
    """Who comes while the answer is on its way waits for that one."""
    secret = await ready(mirror, office)
    keys = workers()
    await keys.poll()
    read = workers.calls
    found = await asyncio.gather(*(keys.find(EMPTY, secret) for _ in range(1000)))
    assert len(set(map(id, found))) == 1
    assert workers.calls == read + 1


async def test_different_keys_share_reads(workers: Workers, keyring: Keyring) -> None:
    """A thousand keys at once take a handful of reads, and everybody gets their own."""
    tokens = {f"k{n}": b"gw-%d" % n for n in range(1000)}
    await keyring.replace({digest_of(token): encode(KeyRecord(name)) for name, token in tokens.items()}, 1)
    keys = workers()
    await keys.poll()
    read = workers.calls
    found = await asyncio.gather(*(keys.find(EMPTY, token) for token in tokens.values()))
    assert [principal.key for principal in found] == list(tokens)
    assert workers.calls - read <= 5


async def test_who_leaves_takes_nothing_from_the_others(mirror: Mirror, office: Office, workers: Workers) -> None:
    """A cancelled caller cancels its own wait, not the read."""
    secret = await ready(mirror, office)
    keys = workers()
    tasks = [asyncio.create_task(keys.find(EMPTY, secret)) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks[:5]:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [True] * 5 + [False] * 5


async def test_too_many_unknown_keys_at_once_are_refused(mirror: Mirror, workers: Workers) -> None:
    """A flood of guesses is bounded, with 503."""
    await mirror.step()
    keys = workers(policy=CachePolicy(waiting=10))
    found = await asyncio.gather(*(keys.find(EMPTY, b"%d" % n) for n in range(30)), return_exceptions=True)
    assert {type(each) for each in found[:10]} == {InvalidApiKey}
    assert {type(each) for each in found[10:]} == {AuthUnavailable}


# ---- revocation


@pytest.mark.parametrize("subscribed", [True, False], ids=["told", "cut off"])
async def test_a_revocation_reaches_every_worker(
    mirror: Mirror, office: Office, workers: Workers, subscribed: bool
) -> None:
    """By the notice, or by looking; the worker hears which secrets, so that it can end their streams."""
    secret = await ready(mirror, office)
    other = await office.create("other")
    all_keys = [await workers.running(subscribed=subscribed) for _ in range(2)]
    told: list[frozenset[bytes]] = []
    for keys in all_keys:
        keys.on_revoked(told.append)
        assert (await keys.find(EMPTY, secret)).key == "ci"
        await keys.find(EMPTY, other)
    await office.revoke()
    await eventually(lambda: all(keys.known(EMPTY, secret) is None for keys in all_keys))
    assert told[:2] == [frozenset({digest_of(secret)})] * 2
    for keys in all_keys:
        assert await refusal(keys, secret) is KeyRevoked
        assert keys.known(EMPTY, other) is not None


async def test_a_notice_alone_revokes(mirror: Mirror, office: Office, workers: Workers) -> None:
    """Without waiting for the next look, and even when nothing can be read any more."""
    secret = await ready(mirror, office)
    keys = await workers.running(policy=CachePolicy(poll=3600))
    await keys.find(EMPTY, secret)
    told: list[frozenset[bytes]] = []
    keys.on_revoked(told.append)
    await office.revoke()
    await eventually(lambda: told)
    assert keys.known(EMPTY, secret) is None


async def test_only_the_bookkeeper_could_tell(mirror: Mirror, office: Office, workers: Workers) -> None:
    """A revocation that reached the database alone is taken up by the mirror's next round."""
    secret = await ready(mirror, office)
    keys = await workers.running()
    await keys.find(EMPTY, secret)
    await office.issuer.revoke("ci")
    assert keys.known(EMPTY, secret) is not None
    await mirror.step()
    await eventually(lambda: keys.known(EMPTY, secret) is None)
    assert await refusal(keys, secret) is KeyRevoked


@pytest.mark.parametrize(("breaks", "wanted"), [(False, InvalidApiKey), (True, AuthUnavailable)])
async def test_what_was_read_before_a_notice_is_not_kept(
    mirror: Mirror, office: Office, workers: Workers, breaks: bool, wanted: type[GatewayError]
) -> None:
    """A key that is revoked between its reading and its arrival is read again, and never served if that fails."""
    secret = await ready(mirror, office)
    keys = workers()
    await keys.poll()
    look = keys._keyring.look
    digest = digest_of(secret)

    async def slow(digests: list[bytes] = []) -> object:  # noqa: B006 - as the original
        if looked and breaks:
            raise StoreUnavailable("down")
        found = await look(digests)
        if digest in digests and not looked:
            looked.append(1)
            await office.revoke()
            keys.notice(notice)
        return found

    looked: list[int] = []
    notice = b"e 1 2\n" + msgpack_of([digest], [])
    keys._keyring.look = slow  # type: ignore[method-assign,assignment]
    assert await refusal(keys, secret) is wanted
    assert keys.known(EMPTY, secret) is None


def msgpack_of(revoked: list[bytes], changed: list[bytes]) -> bytes:
    return msgspec.msgpack.encode((revoked, changed))


async def test_a_gap_in_the_notices_is_looked_into(mirror: Mirror, office: Office, workers: Workers) -> None:
    """When revisions do not follow each other, every key is looked at again."""
    secret = await ready(mirror, office)
    keys = await workers.running(subscribed=False, policy=CachePolicy(poll=3600))
    await keys.find(EMPTY, secret)
    await eventually(lambda: keys._version is not None)
    await office.revoke()
    await office.create("other")
    assert keys.known(EMPTY, secret) is not None
    keys.notice(f"{keys._version[0]} 2 3\n".encode() + msgpack_of([], []))  # type: ignore[index]
    await eventually(lambda: keys.known(EMPTY, secret) is None)


@pytest.mark.parametrize("message", [b"", b"\n", b"a b c\n", b"e 1 2\nnonsense", b"\xff\xff \n", b"e 1 2\n\x92\x90"])
async def test_a_notice_that_is_none_is_survived(mirror: Mirror, workers: Workers, message: bytes) -> None:
    """Whoever can publish cannot break a worker."""
    with pytest.raises(ValueError):  # noqa: PT011 - of any kind
        read_notice(message)
    keys = workers()
    keys.notice(message)
