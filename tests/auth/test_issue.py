"""Keys in the database: what is kept of them, and what operators may do."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from gateway.auth.drafts import Draft
from gateway.auth.issue import LINGER_SECONDS, Issuer
from gateway.auth.records import Change, decode, digest_of, principal_of
from gateway.errors import OperatorError
from gateway.storage.sql.database import Database
from gateway.storage.sql.migrate import migrate
from gateway.types import LimitSpec
from tests.auth.conftest import Time
from tests.support import postgres

FULL = Draft(
    "ci",
    team="research",
    models=["gpt-4o*", "fast"],
    services=["chat"],
    limits={"requests": "60/min", "tokens": {"rate": "100k/min", "burst": "5k"}, "concurrency": 5},
    quotas=[
        {"period": "month", "cost": "100", "soft": "0.8"},
        {"period": "day", "tokens": "5M", "action_on_exceed": {"downgrade": "mini"}, "zone": "Europe/Berlin"},
    ],
    metadata={"owner": "ada"},
    expires_at=1_900_000_000.0,
)


def live(change: Change) -> dict[bytes, str]:
    """Whose digests can be used."""
    return {digest: decode(record).name for digest, record in change.live.items()}


async def test_a_secret_is_long_random_and_marked(issuer: Issuer) -> None:
    """`gw-` and 256 bits, urlsafe; the visible part is eight characters of it."""
    secrets = {(await issuer.create(Draft(f"k{n}"), "test")).secret for n in range(20)}
    assert len(secrets) == 20
    assert all(re.fullmatch(r"gw-[A-Za-z0-9_-]{43}", secret) for secret in secrets)
    assert {info.prefix for info in await issuer.list_all()} == {secret[:11] for secret in secrets}


async def test_all_that_was_asked_for_is_kept(issuer: Issuer) -> None:
    """Team, models, limits, quotas, notes, expiry and maker come back; the Principal enforces them."""
    issued = await issuer.create(FULL, "cli:ada")
    [info] = await issuer.list_all()
    assert (info.team, info.models, info.services) == ("research", ["gpt-4o*", "fast"], ["chat"])
    assert (info.limits, info.quotas, info.metadata) == (FULL.limits, FULL.quotas, {"owner": "ada"})
    assert (info.state, info.created_by, info.expires_at) == ("active", "cli:ada", 1_900_000_000.0)
    [(digest, record)] = issued.change.live.items()
    assert digest == digest_of(issued.secret.encode())
    principal = principal_of(decode(record), digest)
    assert (principal.key, principal.team, principal.models) == ("ci", "research", ("gpt-4o*", "fast"))
    assert principal.services == frozenset({"chat"})
    assert principal.expires_at == 1_900_000_000.0
    assert LimitSpec("key", "ci", "requests", 60, 60.0, 60) in principal.limits
    assert {(limit.kind, limit.capacity) for limit in principal.limits} == {
        ("requests", 60),
        ("tokens", 5000),
        ("concurrency", 5),
    }
    assert [(quota.kind, quota.amount, quota.zone, quota.action) for quota in principal.quotas] == [
        ("cost", 100_000_000_000, "UTC", "reject"),
        ("tokens", 5_000_000, "Europe/Berlin", "downgrade"),
    ]


async def test_a_rotation_keeps_the_old_secret_for_its_grace(issuer: Issuer, wall: Time) -> None:
    """Both secrets are one key; the old one carries the end of its grace, and is forgotten some time after."""
    first = await issuer.create(Draft("ci"), "test")
    second = await issuer.rotate("ci", grace=600)
    records = {digest: decode(record) for digest, record in second.change.live.items()}
    old, new = digest_of(first.secret.encode()), digest_of(second.secret.encode())
    assert (records[new].expires_at, records[old].expires_at) == (None, wall.now + 600)
    assert second.change.gone == []
    assert second.info.grace_until == wall.now + 600
    wall.now += 601 + LINGER_SECONDS
    assert live(await issuer.changed(0)) == {new: "ci"}
    assert (await issuer.list_all())[0].grace_until is None


async def test_a_rotation_cuts_earlier_graces_short(issuer: Issuer, wall: Time) -> None:
    """Without grace nothing but the new secret opens, whatever an earlier rotation promised."""
    secrets = [(await issuer.create(Draft("ci"), "test")).secret, (await issuer.rotate("ci", 600)).secret]
    last = await issuer.rotate("ci", 0)
    ends = {digest: decode(record).expires_at for digest, record in last.change.live.items()}
    assert [ends[digest_of(secret.encode())] for secret in secrets] == [wall.now, wall.now]
    assert last.info.grace_until is None


async def test_a_rotated_secret_does_not_outlive_its_key(issuer: Issuer, wall: Time) -> None:
    """The grace ends with the key at the latest."""
    first = await issuer.create(Draft("ci", expires_at=wall.now + 100), "test")
    change = (await issuer.rotate("ci", grace=600)).change
    assert decode(change.live[digest_of(first.secret.encode())]).expires_at == wall.now + 100


async def test_a_revoked_key_is_gone_with_all_its_secrets(issuer: Issuer) -> None:
    """Its present secret and those before; revoking again says the same."""
    issued = [await issuer.create(Draft("ci"), "test"), await issuer.rotate("ci", 60), await issuer.rotate("ci", 60)]
    for _ in range(2):
        revoked = await issuer.revoke("ci")
        assert revoked.info.state == "revoked"
        assert set(revoked.change.gone) == {digest_of(each.secret.encode()) for each in issued}
        assert revoked.change.live == {}
    assert (await issuer.changed(0)).live == {}


async def test_changes_are_told_from_a_revision_on(issuer: Issuer) -> None:
    """Each change counts one up; what is asked for from a revision holds what happened after it."""
    assert await issuer.revision() == 0
    for name in ("a", "b", "c"):
        await issuer.create(Draft(name), "test")
    await issuer.revoke("a")
    assert await issuer.revision() == 4
    assert sorted(live(await issuer.changed(0)).values()) == ["b", "c"]
    change = await issuer.changed(2)
    assert (change.since, change.revision, list(live(change).values()), len(change.gone)) == (2, 4, ["c"], 1)
    assert await issuer.changed(4) == Change(4, 4, {}, [])


async def test_names_are_used_once(issuer: Issuer) -> None:
    """A name in use, a revoked one, and one that is unknown are refused with what to do."""
    await issuer.create(Draft("ci"), "test")
    with pytest.raises(OperatorError, match="gateway keys rotate ci"):
        await issuer.create(Draft("ci"), "test")
    await issuer.revoke("ci")
    with pytest.raises(OperatorError, match="Use another"):
        await issuer.create(Draft("ci"), "test")
    with pytest.raises(OperatorError, match="create another"):
        await issuer.rotate("ci")
    with pytest.raises(OperatorError, match="gateway keys list"):
        await issuer.revoke("nobody")
    assert await issuer.revision() == 2


async def test_an_expired_key_is_shown_and_not_rotated(issuer: Issuer, wall: Time) -> None:
    """Its time is over: a new secret would open nothing."""
    await issuer.create(Draft("ci", expires_at=wall.now + 10), "test")
    wall.now += 10
    assert [info.state for info in await issuer.list_all()] == ["expired"]
    with pytest.raises(OperatorError, match="expired"):
        await issuer.rotate("ci")


@pytest.mark.parametrize(
    ("draft", "told"),
    [
        (Draft("a b"), "name: a name is"),
        (Draft("a", limits={"requests": "60"}), "limits.requests: expected a rate"),
        (Draft("a", limits={"speed": 1}), "limits.speed: "),
        (Draft("a", quotas=[{"period": "day", "requests": 1, "throttle_to": "1/s"}]), "quotas.0.throttle_to: "),
        (Draft("a", quotas=[{"period": "month"}]), "quotas.0: a quota needs an amount"),
        (Draft("a", quotas=[{"period": "month", "cost": -1}]), "quotas.0.cost: "),
        (Draft("a", services=["telepathy"]), "services.0: "),
        (Draft("a", models=[]), "models: an empty list"),
        (Draft("a", metadata={str(n): "" for n in range(65)}), "metadata: at most 64"),
        (Draft("a", metadata={"a": "b" * 257}), "metadata: "),
    ],
)
async def test_mistakes_are_told(issuer: Issuer, draft: Draft, told: str) -> None:
    """The rules are those of the configuration file; nothing is created."""
    with pytest.raises(OperatorError, match=f"^{re.escape(told)}"):
        await issuer.create(draft, "test")
    assert await issuer.list_all() == []


@pytest.mark.parametrize("text", ["'; DROP TABLE virtual_keys; --", "ci' OR '1'='1", 'ci" --', "%", "\0", "ci\n"])
async def test_names_are_never_sql(issuer: Issuer, text: str) -> None:
    """Whatever stands in a name is looked up as it is, or refused."""
    await issuer.create(Draft("ci"), "test")
    for act in (issuer.revoke, issuer.rotate):
        with pytest.raises(OperatorError):
            await act(text)
    with pytest.raises(OperatorError):
        await issuer.create(Draft(text), "test")
    note = "a" + text.replace("\0", "")
    await issuer.create(Draft("notes", team=note, metadata={"note": note}), "test")
    assert [info.state for info in await issuer.list_all()] == ["active", "active"]


async def test_secrets_are_nowhere_in_the_database(issuer: Issuer, database: Database, tmp_path: Path) -> None:
    """Neither the file nor its log holds a secret; nor does what the issuer prints of itself."""
    issued = [await issuer.create(FULL, "test"), await issuer.rotate("ci"), await issuer.create(Draft("b"), "test")]
    stored = b"".join(path.read_bytes() for path in files_in(tmp_path))
    assert b"research" in stored
    for each in issued:
        assert each.secret[11:].encode() not in stored
        assert each.secret not in repr(each)
        assert each.secret.encode() not in msgspec.msgpack.encode(each.change)


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_file()]


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Postgres]:
    with postgres.server() as found:
        yield found


@pytest.fixture
async def on_postgres(server: postgres.Postgres, wall: Time) -> AsyncIterator[Issuer]:
    url = server.create()
    migrate(url)
    database = Database(url)
    yield Issuer(database, wall)
    await database.close()


async def test_postgresql(on_postgres: Issuer, wall: Time) -> None:
    """A key's whole life is the same there, and writers at the same time follow one another."""
    issuer = on_postgres
    first = await issuer.create(FULL, "test")
    assert (await issuer.list_all())[0].limits == FULL.limits
    rotated = await issuer.rotate("ci", 60)
    assert len(live(await issuer.changed(0))) == 2
    await asyncio.gather(*(issuer.create(Draft(f"k{n}"), "test") for n in range(20)))
    assert await issuer.revision() == 22
    assert len((await issuer.changed(12)).live) == 10
    gone = (await issuer.revoke("ci")).change.gone
    assert set(gone) == {digest_of(each.secret.encode()) for each in (first, rotated)}
    made = await asyncio.gather(*(issuer.create(Draft("one"), "test") for _ in range(5)), return_exceptions=True)
    assert sum(not isinstance(each, BaseException) for each in made) == 1
    assert sum(isinstance(each, OperatorError) for each in made) == 4
