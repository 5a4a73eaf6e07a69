"""Resources in the database: changed in transactions that hold the whole configuration together."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.registry.compiling import Context
from gateway.registry.resources.errors import CannotSeal, Conflict, KeyReplaced, NotFound, Rejected, VersionMismatch
from gateway.registry.resources.judging import Judge
from gateway.registry.resources.operations import Create, Delete, Reorder, Rotate, Update
from gateway.registry.resources.paging import Query
from gateway.registry.resources.records import Kind
from gateway.registry.resources.repository import Resources, Rules
from gateway.registry.resources.vetting import Bounds
from tests.registry.resources.support import ALICE, SECRET, vet

if TYPE_CHECKING:
    from gateway.registry.resources.vetting import Bounds
    from gateway.storage.sql.database import Database
from tests.registry.resources.support import Office


async def test_create(office: Office) -> None:
    """A new resource has an id, version 1, its author and time; it is found by id and by name."""
    made = await office.provider(timeout=30)
    found = await office.resources.get(Kind.PROVIDER, made.id)
    assert found == made == await office.resources.get(Kind.PROVIDER, "acme")
    assert (found.version, found.created_by, found.created_at) == (1, "alice", 1_800_000_000.5)
    assert found.settings == {"type": "openai_compatible", "base_url": "https://acme.example/v1", "timeout": 30}
    assert await office.resources.revision() == 1
    assert office.recorded == [(1, "create", "providers/acme")]


async def test_update(office: Office) -> None:
    """A patch is merged, null removes; each change counts the version up, what changes nothing makes no revision."""
    made = await office.provider(timeout=30, retry_attempts=2)
    patch = Update(Kind.PROVIDER, made.id, {"timeout": None, "retry_attempts": 5}, {"note": "x"}, version=1)
    changed = (await office.resources.change(ALICE, [patch])).the(Kind.PROVIDER)
    assert changed.settings.get("timeout") is None
    assert (changed.settings["retry_attempts"], changed.details, changed.version) == (5, {"note": "x"}, 2)
    same = await office.resources.change(ALICE, [Update(Kind.PROVIDER, made.id, {"retry_attempts": 5})])
    assert (same.revision, same.changes) == (2, ())
    assert await office.resources.revision() == 2
    with pytest.raises(VersionMismatch) as caught:
        await office.resources.change(ALICE, [patch])
    assert caught.value.found == 2


async def test_replace(office: Office) -> None:
    """A replacement leaves nothing of what was there."""
    made = await office.provider(timeout=30)
    settings = {"type": "openai_compatible", "base_url": "https://other.example/v1"}
    changed = await office.resources.change(ALICE, [Update(Kind.PROVIDER, made.id, settings, merge=False)])
    assert changed.the(Kind.PROVIDER).settings == settings


async def test_unknown(office: Office) -> None:
    """What is not there cannot be read, changed or deleted."""
    with pytest.raises(NotFound):
        await office.resources.get(Kind.TEAM, "nobody")
    for operation in (Update(Kind.TEAM, "nobody"), Delete(Kind.TEAM, "nobody"), Rotate("nobody"), Reorder(["nobody"])):
        with pytest.raises(NotFound):
            await office.resources.change(ALICE, [operation])
    with pytest.raises(NotFound):
        await office.make(Kind.MODEL, "m", provider="nobody")
    assert await office.resources.revision() == 0


async def test_names(office: Office) -> None:
    """A name is unique among its kind; a model's within its provider."""
    one, other = await office.provider("one"), await office.provider("other")
    await office.model(one, "m")
    await office.model(other, "m")
    with pytest.raises(Conflict, match="taken"):
        await office.model(one, "m")
    with pytest.raises(Conflict, match="taken"):
        await office.provider("one")
    with pytest.raises(Conflict, match="taken"):
        await office.resources.change(ALICE, [Update(Kind.PROVIDER, other.id, name="one")])


async def test_what_would_not_compile(office: Office) -> None:
    """A change that the configuration would not hold with is refused with the field, and nothing is written."""
    with pytest.raises(Rejected) as caught:
        await office.rule("fast", "acme", "m")
    problem = caught.value.problems[0]
    assert (problem.kind, problem.field, problem.name) == ("routing_rules", "targets.0.provider", "fast")
    assert "there is no provider `acme`" in problem.message
    with pytest.raises(Rejected) as caught:
        await office.provider(retry_attempts=99)
    assert [one.field for one in caught.value.problems] == ["retry_attempts"]
    assert await office.resources.revision() == 0
    assert office.recorded == []
    assert (await office.resources.list(Kind.PROVIDER)).items == ()


async def test_together(office: Office) -> None:
    """Several operations hold together or not at all."""
    operations = [
        Create(Kind.PROVIDER, "acme", {"type": "openai_compatible", "base_url": "https://a.example/v1"}, id="p1"),
        Create(Kind.MODEL, "m", {"context_window": "8k"}, provider="p1"),
        Create(Kind.RULE, "r", {"match": {"model": "r"}, "targets": [{"provider": "acme", "model": "m"}]}),
    ]
    with pytest.raises(Rejected):
        await office.resources.change(ALICE, [*operations, Create(Kind.TEAM, "bad name")])
    assert await office.resources.revision() == 0
    committed = await office.resources.change(ALICE, operations)
    assert [(one.action, str(one.kind)) for one in committed.changes] == [
        ("create", "providers"),
        ("create", "models"),
        ("create", "routing_rules"),
    ]
    assert committed.revision == 1


async def test_breaking_others(office: Office) -> None:
    """A change that would leave another resource without what it needs is refused, and names that one."""
    provider = await office.provider()
    model = await office.model(provider, "m")
    rule = await office.rule("r", "acme", "m")
    for kind, name in ((Kind.PROVIDER, provider.id), (Kind.MODEL, model.id)):
        with pytest.raises(Conflict) as caught:
            await office.resources.change(ALICE, [Delete(kind, name)])
        assert ("routing_rules", rule.id) in [(one.kind, one.id) for one in caught.value.by]
    with pytest.raises(Conflict):
        await office.resources.change(ALICE, [Update(Kind.PROVIDER, provider.id, name="other")])


async def test_cascade(office: Office) -> None:
    """With `cascade` everything that belongs to it goes, and rules lose their targets there; an empty one goes too."""
    one, other = await office.provider("one"), await office.provider("other")
    await office.model(one, "m")
    await office.model(other, "m")
    await office.make(Kind.CREDENTIAL, "main", provider=one.id, secret={"api_key": SECRET})
    both = [{"provider": "one", "model": "m"}, {"provider": "other", "model": "m"}]
    await office.make(Kind.RULE, "both", {"match": {"model": "both"}, "targets": both})
    await office.rule("alone", "one", "m")
    fallbacks = {"context_window": "one/m"}
    await office.rule("falls", "other", "m", fallbacks=fallbacks)
    await office.resources.change(ALICE, [Delete(Kind.PROVIDER, one.id, cascade=True)])
    rules = {rule.name: rule for rule in (await office.resources.list(Kind.RULE)).items}
    assert list(rules) == ["both", "falls"]
    assert rules["both"].settings["targets"] == both[1:]
    assert "fallbacks" not in rules["falls"].settings
    assert (await office.resources.list(Kind.CREDENTIAL)).total == 0
    assert [model.provider_id for model in (await office.resources.list(Kind.MODEL)).items] == [other.id]


@pytest.mark.parametrize("gone", [Kind.PROVIDER, Kind.MODEL, Kind.TEAM])
async def test_a_cascade_takes_fallbacks_to_what_it_takes(office: Office, gone: Kind) -> None:
    """A rule of which nothing is left goes, and out of the fallbacks of others too; the rest closes ranks."""
    provider = await office.provider("one")
    model = await office.model(provider, "m")
    team = await office.make(Kind.TEAM, "blue", {"limits": {"requests": "10/min"}})
    await office.rule("goes", "one", "m", match={"model": "goes", "team": "blue"})
    both = [{"provider": "one", "model": "m"}, {"provider": "mock", "model": "mock-small"}]
    await office.rule("stays", "one", "m", targets=both, fallbacks={"context_window": "goes"})
    found = {Kind.PROVIDER: provider, Kind.MODEL: model, Kind.TEAM: team}[gone]
    await office.resources.change(ALICE, [Delete(gone, found.id, cascade=True)])
    [rule] = (await office.resources.list(Kind.RULE)).items
    assert (rule.name, rule.position) == ("stays", 0)
    assert "fallbacks" not in rule.settings
    assert rule.settings["targets"] == (both if gone is Kind.TEAM else both[1:])


async def test_teams_of_keys(office: Office, database: Database) -> None:
    """A team that run-time keys belong to cannot go, not even by cascade."""
    team = await office.make(Kind.TEAM, "blue", {"limits": {"requests": "10/min"}})
    columns = "id, name, digest, prefix, team, limits, quotas, metadata, created_at, created_by, revision"
    async with database.begin() as connection:
        values = "'k', 'ci', :digest, 'gw-x', 'blue', '{}', '[]', '{}', 0, 'cli', 1"
        await connection.execute(text(f"INSERT INTO virtual_keys ({columns}) VALUES ({values})"), {"digest": b"d"})
    with pytest.raises(Conflict, match="ci") as caught:
        await office.resources.change(ALICE, [Delete(Kind.TEAM, team.id, cascade=True)])
    assert [(one.kind, one.name) for one in caught.value.by] == [("keys", "ci")]


async def test_order_of_rules(office: Office) -> None:
    """Rules are created at their place, moved, put in an order, and close ranks."""
    for name, position in (("a", None), ("b", None), ("c", 0)):
        settings = {"match": {"model": name}, "targets": [{"provider": "mock", "model": "mock-small"}]}
        await office.make(Kind.RULE, name, settings, position=position)

    async def names() -> list[str]:
        return [rule.name for rule in (await office.resources.list(Kind.RULE)).items]

    assert await names() == ["c", "a", "b"]
    rules = {rule.name: rule.id for rule in (await office.resources.list(Kind.RULE)).items}
    await office.resources.change(ALICE, [Update(Kind.RULE, rules["b"], position=1)])
    assert await names() == ["c", "b", "a"]
    await office.resources.change(ALICE, [Reorder([rules["a"], rules["b"], rules["c"]])])
    assert await names() == ["a", "b", "c"]
    with pytest.raises(Conflict):
        await office.resources.change(ALICE, [Reorder([rules["a"], rules["b"]])])
    await office.resources.change(ALICE, [Delete(Kind.RULE, rules["a"])])
    found = (await office.resources.list(Kind.RULE)).items
    assert [(rule.name, rule.position) for rule in found] == [("b", 0), ("c", 1)]


async def test_secrets(office: Office, database: Database) -> None:
    """A secret is sealed for its row, and stands in plain in no table."""
    provider = await office.provider()
    made = await office.make(Kind.CREDENTIAL, "main", provider=provider.id, secret={"api_key": SECRET})
    assert made.settings == {"fields": {"api_key": "…ghij"}}
    assert made.secret is not None
    assert made.secret.startswith(f"credentials/{made.id}#")
    rotated = await office.resources.change(ALICE, [Rotate(made.id, {"api_key": "sk-new-" + "9" * 20}, overlap=60.0)])
    fresh = rotated.the(Kind.CREDENTIAL)
    assert fresh.secret != made.secret
    assert (fresh.previous, fresh.previous_until) == (made.secret, 1_800_000_060.5)
    async with database.connect() as connection:
        for table in ("credentials", "config_changes", "config_revisions"):
            rows = (await connection.execute(text(f"SELECT * FROM {table}"))).all()
            assert SECRET not in json.dumps([[str(value) for value in row] for row in rows])


async def test_bad_secrets(office: Office) -> None:
    """A secret that no provider of the type takes, or that no header can hold, is refused without being shown."""
    provider = await office.provider()
    for secret, field in (
        ({"api_key": "with space " + SECRET}, "secret.api_key"),
        ({"session_token": SECRET}, "secret.session_token"),
        ({"header:host": SECRET}, "secret.header:host"),
    ):
        with pytest.raises(Rejected) as caught:
            await office.make(Kind.CREDENTIAL, "main", provider=provider.id, secret=secret)
        assert [one.field for one in caught.value.problems] == [field]
        assert SECRET not in str(caught.value)


async def test_without_a_key(database: Database, office: Office) -> None:
    """Without a key to encrypt with no secret can be stored, and everything else works."""
    resources = Resources(database, Rules(Judge(office.base, Context()), Bounds(vet)))
    settings = {"type": "openai_compatible", "base_url": "https://a.example/v1"}
    provider = (await resources.change(ALICE, [Create(Kind.PROVIDER, "acme", settings)])).the(Kind.PROVIDER)
    with pytest.raises(CannotSeal, match="ENCRYPTION_KEY"):
        await resources.change(
            ALICE, [Create(Kind.CREDENTIAL, "main", provider=provider.id, secret={"api_key": SECRET})]
        )
    references = {"references": {"api_key": "env:GATEWAY_CREDENTIAL_ACME"}}
    await resources.change(ALICE, [Create(Kind.CREDENTIAL, "main", references, provider=provider.id)])


async def test_a_key_that_was_replaced(database: Database, office: Office) -> None:
    """What others could not open is not stored; a change without a new secret asks nobody."""
    asked = []

    async def prove(_: AsyncConnection) -> None:
        asked.append(1)
        raise KeyReplaced

    rules = Rules(Judge(office.base, Context()), Bounds(vet))
    resources = Resources(database, rules, seal=office.resources.seal, prove=prove)
    settings = {"type": "openai_compatible", "base_url": "https://a.example/v1"}
    provider = (await resources.change(ALICE, [Create(Kind.PROVIDER, "acme", settings)])).the(Kind.PROVIDER)
    assert not asked
    with pytest.raises(KeyReplaced, match="another ENCRYPTION_KEY"):
        await resources.change(
            ALICE, [Create(Kind.CREDENTIAL, "main", provider=provider.id, secret={"api_key": SECRET})]
        )
    assert not (await resources.list(Kind.CREDENTIAL)).items


async def test_what_is_not_to_be_said(office: Office) -> None:
    """Secrets in the open, files of the machine and private networks cannot be set at run time."""
    for settings, field in (
        ({"api_key": SECRET}, "api_key"),
        ({"allow_private_network": True}, "allow_private_network"),
        ({"ca_file": "/etc/passwd"}, "ca_file"),
        ({"headers": {"X-Api-Key": SECRET}}, "headers.X-Api-Key"),
        ({"models": ["m"]}, "models"),
        ({"base_url": "http://127.0.0.1:9000/v1"}, "base_url"),
        ({"base_url": "http://169.254.169.254/v1"}, "base_url"),
        ({"base_url": "http://localhost/v1"}, "base_url"),
        ({"type": "azure", "resource": "x", "client_secret": SECRET}, "client_secret"),
        ({"type": "vertex", "project": "p", "location": "eu", "credentials_file": "/etc/passwd"}, "credentials_file"),
    ):
        with pytest.raises(Rejected) as caught:
            await office.provider(**settings)
        assert field in [one.field for one in caught.value.problems]
        assert SECRET not in str(caught.value)
    provider = await office.provider()
    for reference in ("env:PATH", "file:/etc/passwd", "SECRET", "env:"):
        settings = {"references": {"api_key": reference}}
        with pytest.raises(Rejected):
            await office.make(Kind.CREDENTIAL, "main", settings, provider=provider.id)


async def test_all_or_nothing(office: Office) -> None:
    """When the audit cannot be written, nothing is."""
    office.fail = RuntimeError("no audit")
    with pytest.raises(RuntimeError, match="no audit"):
        await office.provider()
    office.fail = None
    assert await office.resources.revision() == 0
    assert (await office.resources.list(Kind.PROVIDER)).total == 0


async def test_writers_follow_one_another(office: Office) -> None:
    """Changes at once each get a revision of their own, and none is lost."""
    made = await office.provider()

    async def patch(number: int) -> int:
        change = Update(Kind.PROVIDER, made.id, details={f"n{number}": number})
        return (await office.resources.change(ALICE, [change])).revision

    revisions = await asyncio.gather(*(patch(number) for number in range(8)))
    assert sorted(revisions) == list(range(2, 10))
    found = await office.resources.get(Kind.PROVIDER, made.id)
    assert found.details == {f"n{number}": number for number in range(8)}
    assert found.version == 9


async def test_several_writers(office: Office, database: Database) -> None:
    """Another process's change is seen before one's own is made."""
    other = Resources(database, Rules(Judge(office.base, Context()), Bounds(vet)))
    made = await office.provider()
    await other.change(ALICE, [Update(Kind.PROVIDER, made.id, details={"a": 1})])
    changed = await office.resources.change(ALICE, [Update(Kind.PROVIDER, made.id, details={"b": 2})])
    assert changed.the(Kind.PROVIDER).details == {"a": 1, "b": 2}


async def test_observed(office: Office) -> None:
    """What was found out about a resource is kept without a revision, and a change leaves it alone."""
    made = await office.provider()
    await office.resources.observe(Kind.PROVIDER, made.id, {"test": "ok"})
    await office.resources.change(ALICE, [Update(Kind.PROVIDER, made.id, {"timeout": 5})])
    found = await office.resources.get(Kind.PROVIDER, made.id)
    assert (found.observed, found.version) == ({"test": "ok"}, 2)
    assert await office.resources.revision() == 2
    with pytest.raises(NotFound):
        await office.resources.observe(Kind.PROVIDER, "nobody", {})


async def test_pages(office: Office) -> None:
    """A list comes in pages, filtered and sorted; a cursor leads on exactly once through everything."""
    provider = await office.provider()
    create = [
        Create(Kind.MODEL, f"m%{n}", {"status": "active" if n % 2 else "inactive"}, provider=provider.id)
        for n in range(7)
    ]
    await office.resources.change(ALICE, create)
    seen, cursor = [], None
    while True:
        page = await office.resources.list(Kind.MODEL, Query(limit=3, cursor=cursor, descending=True))
        assert page.total == 7
        seen += [model.name for model in page.items]
        cursor = page.cursor
        if cursor is None:
            break
    assert seen == [f"m%{n}" for n in reversed(range(7))]
    active = await office.resources.list(Kind.MODEL, Query(where={"status": "active"}, provider_id=provider.id))
    assert [model.name for model in active.items] == ["m%1", "m%3", "m%5"]
    assert (await office.resources.list(Kind.MODEL, Query(search="M%6"))).total == 1
    assert (await office.resources.list(Kind.MODEL, Query(search="_"))).total == 0
    assert (await office.resources.list(Kind.MODEL, Query(provider_id="nobody"))).total == 0
    for query in (Query(cursor="rubbish!"), Query(sort="settings"), Query(sort="position"), Query(cursor="WzEsMl0")):
        with pytest.raises(ValueError, match=r"sorted|none of ours"):
            await office.resources.list(Kind.MODEL, query)
