"""The mirror: Redis holds what the database says, whatever happens to either."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from gateway.auth import keyring as keyring_module
from gateway.auth import mirror as mirror_module
from gateway.auth.drafts import Draft
from gateway.auth.issue import Issuer
from gateway.auth.keyring import Keyring
from gateway.auth.mirror import Mirror
from gateway.auth.records import Change, decode, digest_of
from gateway.auth.store import CachePolicy
from gateway.storage.redis import RedisClient, RedisOptions, connect
from gateway.storage.slots import key_slot
from gateway.storage.sql.database import Database
from tests.auth.conftest import Office, Time


async def names(keyring: Keyring, redis: RedisClient) -> list[str]:
    """Whose records stand in Redis; the mark has to agree."""
    mark = (await keyring.look()).mark
    assert mark is not None
    assert mark.whole
    fields = await redis.execute("HGETALL", "gw:keys")
    held = dict(zip(fields[::2], fields[1::2], strict=True))
    return sorted(decode(record).name for digest, record in held.items() if digest != b"mark")


async def test_the_first_round_fills(mirror: Mirror, issuer: Issuer, keyring: Keyring, redis: RedisClient) -> None:
    """Without any key too: then the mark says that there is none."""
    await mirror.step()
    assert await names(keyring, redis) == []
    look = await keyring.look()
    assert look.mark is not None
    assert look.mark.revision == 0
    for name in ("a", "b"):
        await issuer.create(Draft(name), "test")
    again = Mirror(issuer, keyring)
    await again.step()
    assert await names(keyring, redis) == ["a", "b"]
    assert await redis.execute("PTTL", "gw:keys") == -1


async def test_later_rounds_follow(mirror: Mirror, issuer: Issuer, keyring: Keyring, redis: RedisClient) -> None:
    """What changed in the database alone is brought in; what did not costs no write."""
    await mirror.step()
    await issuer.create(Draft("a"), "test")
    await issuer.create(Draft("b"), "test")
    await mirror.step()
    assert await names(keyring, redis) == ["a", "b"]
    epoch = (await keyring.look()).mark
    await issuer.rotate("a", 60)
    await issuer.revoke("b")
    await mirror.step()
    assert await names(keyring, redis) == ["a", "a"]
    mark = (await keyring.look()).mark
    assert mark is not None
    assert epoch is not None
    assert (mark.epoch, mark.revision) == (epoch.epoch, 4)


@pytest.mark.parametrize("loss", [("FLUSHALL",), ("DEL", "gw:keys"), ("HDEL", "gw:keys", "mark")])
async def test_what_is_lost_is_filled_again(
    mirror: Mirror, office: Office, keyring: Keyring, redis: RedisClient, loss: tuple[str, ...]
) -> None:
    """By the next round."""
    await mirror.step()
    await office.create("a")
    await redis.execute(*loss)
    await mirror.step()
    assert await names(keyring, redis) == ["a"]


async def test_a_server_that_lost_its_last_second(
    mirror: Mirror, office: Office, keyring: Keyring, redis: RedisClient
) -> None:
    """A revocation that the server forgot in a crash is told again: the mark is older than what we wrote."""
    await mirror.step()
    await office.create("a")
    dump = await redis.execute("DUMP", "gw:keys")
    await office.revoke("a")
    await mirror.step()
    assert await names(keyring, redis) == []
    await redis.execute("RESTORE", "gw:keys", 0, dump, "REPLACE")
    assert await names(keyring, redis) == ["a"]
    await mirror.step()
    assert await names(keyring, redis) == []


async def test_another_database_replaces_all(
    mirror: Mirror, office: Office, keyring: Keyring, redis: RedisClient, empty_database: Path, tmp_path: Path
) -> None:
    """Redis kept what a database says that is no longer used: nothing of it survives."""
    await mirror.step()
    for name in ("a", "b", "c"):
        await office.create(name)
    other = Database(shutil.copy(empty_database, tmp_path / "other.db"))
    issuer = Issuer(other)
    await issuer.create(Draft("x"), "test")
    await Mirror(issuer, keyring).step()
    assert await names(keyring, redis) == ["x"]
    await other.close()


async def test_many_keys(mirror: Mirror, issuer: Issuer, keyring: Keyring, redis: RedisClient) -> None:
    """Far more than one command carries, filled and followed; nothing is left aside."""
    count = 3 * keyring_module._CHUNK + 7
    change = Change(0, 1, {digest_of(b"%d" % n): b"\x81\xa4name\xa1k" for n in range(count)}, [])
    assert await keyring.replace(change.live, 1)
    assert len(await names(keyring, redis)) == count
    more = {digest_of(b"more%d" % n): b"\x81\xa4name\xa1m" for n in range(count)}
    assert await keyring.apply(Change(1, 5, more, list(change.live)[:300]))
    assert len(await names(keyring, redis)) == 2 * count - 300
    look = await keyring.look()
    assert look.mark is not None
    assert look.mark.revision == 5
    assert await redis.execute("DBSIZE") == 1


async def test_a_long_absence_is_filled_and_told(
    mirror: Mirror, issuer: Issuer, keyring: Keyring, redis: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When very much changed, the hash is filled anew, and what was revoked is still told by name."""
    monkeypatch.setattr(mirror_module, "_DELTA_MAX", 3)
    await mirror.step()
    await issuer.create(Draft("old"), "test")
    await mirror.step()
    before = (await keyring.look()).mark
    for n in range(5):
        await issuer.create(Draft(f"k{n}"), "test")
    await issuer.revoke("old")
    await mirror.step()
    after = (await keyring.look()).mark
    assert await names(keyring, redis) == [f"k{n}" for n in range(5)]
    assert before is not None
    assert after is not None
    assert before.epoch != after.epoch
    assert after.revision == 7


# ---- writers that meet


async def test_a_writer_that_was_held_up_brings_nothing_back(
    mirror: Mirror, issuer: Issuer, keyring: Keyring, redis: RedisClient
) -> None:
    """A rotation is told after the revocation that followed it: the key stays gone."""
    await mirror.step()
    created = await issuer.create(Draft("a"), "test")
    await keyring.apply(created.change)
    rotated = await issuer.rotate("a", 60)
    revoked = await issuer.revoke("a")
    await keyring.apply(revoked.change)
    assert await names(keyring, redis) == []
    await mirror.step()
    assert not await keyring.apply(rotated.change)
    assert await names(keyring, redis) == []


async def test_a_revocation_is_never_held_back(
    mirror: Mirror, issuer: Issuer, keyring: Keyring, redis: RedisClient
) -> None:
    """Although an earlier change has not arrived, the secret is gone at once; the rest follows in a round."""
    await mirror.step()
    created = await issuer.create(Draft("a"), "test")
    await keyring.apply(created.change)
    await issuer.create(Draft("b"), "test")
    assert not await keyring.apply((await issuer.revoke("a")).change)
    assert await names(keyring, redis) == []
    await mirror.step()
    assert await names(keyring, redis) == ["b"]


async def test_an_older_state_does_not_replace_a_newer_one(
    mirror: Mirror, issuer: Issuer, keyring: Keyring, redis: RedisClient
) -> None:
    """A second bookkeeper that read the database before a change gives way to the first, which read it after."""
    await mirror.step()
    await keyring.apply((await issuer.create(Draft("a"), "test")).change)
    stale = await issuer.changed(0)
    await keyring.apply((await issuer.revoke("a")).change)
    assert not await keyring.replace(stale.live, stale.revision)
    assert await names(keyring, redis) == []
    assert await redis.execute("DBSIZE") == 1


async def test_two_bookkeepers_agree(mirror: Mirror, issuer: Issuer, keyring: Keyring, redis: RedisClient) -> None:
    """Each takes up what happened, and neither undoes the other's work or begins anew for it."""
    other = Mirror(issuer, keyring)
    await mirror.step()
    await other.step()
    first = (await keyring.look()).mark
    for n in range(6):
        await issuer.create(Draft(f"k{n}"), "test")
        await (mirror if n % 2 else other).step()
    await mirror.step()
    await other.step()
    last = (await keyring.look()).mark
    assert await names(keyring, redis) == [f"k{n}" for n in range(6)]
    assert first is not None
    assert last is not None
    assert first.epoch == last.epoch


def test_filling_stays_in_one_slot() -> None:
    """On a Cluster the hash and the one that is filled aside live on one node."""
    assert key_slot(f"{{{keyring_module.HASH}}}:0123abcd") == key_slot(keyring_module.HASH)


def test_the_promise_of_five_seconds() -> None:
    """Cut off from every notice, a revocation takes a round of the mirror and one of the worker."""
    assert mirror_module.POLL_SECONDS + CachePolicy().poll <= 4.0


# ---- trouble, and what is said


async def test_trouble_is_said_once(
    issuer: Issuer, keyring: Keyring, redis: RedisClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that is away does not end the mirror; the log tells when it began and when it was over."""
    caplog.set_level(logging.INFO, "gateway.auth.mirror")
    away = connect(f"unix://{tmp_path}/nobody.sock", RedisOptions(timeout=0.5))
    mirror = Mirror(issuer, Keyring(away))
    assert [await mirror.round() for _ in range(3)] == [False] * 3
    mirror._keyring = keyring
    assert await mirror.round()
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert said == ["keys are not mirrored at the moment", "0 keys mirrored, revision 0", "keys are mirrored again"]
    await away.close()


async def test_a_clash_of_names_is_said(
    issuer: Issuer, keyring: Keyring, redis: RedisClient, caplog: pytest.LogCaptureFixture, wall: Time
) -> None:
    """Once for each key that stands in the file too, also when the file changes later."""
    of_file = {"ci"}
    mirror = Mirror(issuer, keyring, file_names=lambda: of_file)
    for name in ("ci", "app", "old"):
        await issuer.create(Draft(name), "test")
    await issuer.revoke("old")
    for _ in range(3):
        await mirror.step()
    of_file |= {"app", "old", "other"}
    for _ in range(3):
        await mirror.step()
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [text.split(" stands")[0] for text in said] == ["the key ci", "the key app"]
    assert "gateway keys revoke ci" in said[0]
