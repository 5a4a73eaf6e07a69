"""Revisions of the resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from gateway.registry.resources.errors import NotFound, VersionMismatch
from gateway.registry.resources.operations import Delete, Rotate, Update
from gateway.registry.resources.records import Kind
from tests.registry.resources.support import ALICE, SECRET

if TYPE_CHECKING:
    from tests.registry.resources.support import Office


async def test_list_and_differences(office: Office) -> None:
    """Each revision says who changed what; two of them differ by what changed in between, each resource once."""
    made = await office.provider()
    await office.resources.change(ALICE, [Update(Kind.PROVIDER, made.id, {"timeout": 5})])
    await office.resources.change(ALICE, [Update(Kind.PROVIDER, made.id, {"timeout": 9})])
    found = await office.resources.revisions()
    assert [one.revision for one in found] == [3, 2, 1]
    assert (found[0].author.name, found[0].author.address, found[0].author.request_id) == (
        "alice",
        "192.0.2.7",
        "req-1",
    )
    assert [one.revision for one in await office.resources.revisions(before=3, most=1)] == [2]
    second = (await office.resources.one_revision(2)).changes[0]
    assert second.before is not None
    assert second.after is not None
    assert ("timeout" in second.before["settings"], second.after["settings"]["timeout"]) == (False, 5)
    differences = await office.resources.differences(1, 3)
    assert [(one.kind, one.name) for one in differences] == [(Kind.PROVIDER, "acme")]
    assert differences[0].after is not None
    assert differences[0].after["settings"]["timeout"] == 9
    with pytest.raises(LookupError):
        await office.resources.one_revision(99)


async def test_roll_back(office: Office) -> None:
    """Everything is as it was: what was changed, what was made since is gone, what was deleted is back by its id."""
    provider = await office.provider(timeout=5)
    model = await office.model(provider, "m")
    rule = await office.rule("r", "acme", "m")
    first = await office.resources.state()
    await office.resources.change(ALICE, [Update(Kind.PROVIDER, provider.id, {"timeout": 9})])
    await office.resources.change(ALICE, [Delete(Kind.MODEL, model.id, cascade=True)])
    late = await office.make(Kind.TEAM, "late")
    back = await office.resources.roll_back(ALICE, first.revision)
    assert back.revision == first.revision + 4
    assert (await office.resources.one_revision(back.revision)).rolled_back_to == first.revision
    assert (await office.resources.get(Kind.PROVIDER, "acme")).settings["timeout"] == 5
    assert (await office.resources.get(Kind.RULE, "r")).id == rule.id
    assert (await office.resources.get(Kind.MODEL, model.id)).provider_id == provider.id
    with pytest.raises(NotFound):
        await office.resources.get(Kind.TEAM, late.id)
    # And from there to where it was before.
    await office.resources.roll_back(ALICE, back.revision - 1)
    assert (await office.resources.get(Kind.TEAM, late.id)).name == "late"
    assert (await office.resources.get(Kind.PROVIDER, "acme")).settings["timeout"] == 9
    for revision in (-1, 99):
        with pytest.raises(LookupError):
            await office.resources.roll_back(ALICE, revision)


async def test_secrets_do_not_come_back(office: Office) -> None:
    """A credential that was deleted comes back without its secret; one that was rotated keeps the present one."""
    provider = await office.provider()
    gone = await office.make(Kind.CREDENTIAL, "gone", provider=provider.id, secret={"api_key": SECRET})
    kept = await office.make(Kind.CREDENTIAL, "kept", provider=provider.id, secret={"api_key": SECRET})
    before = await office.resources.revision()
    await office.resources.change(ALICE, [Delete(Kind.CREDENTIAL, gone.id)])
    await office.resources.change(ALICE, [Update(Kind.CREDENTIAL, kept.id, {"status": "inactive"})])
    await office.resources.roll_back(ALICE, before)
    back = await office.resources.get(Kind.CREDENTIAL, gone.id)
    assert (back.secret, dict(back.settings)) == (None, {})
    again = await office.resources.get(Kind.CREDENTIAL, kept.id)
    assert (again.secret, again.settings) == (kept.secret, kept.settings)


async def test_a_cascade_is_undone_whole(office: Office) -> None:
    """A revision from before a provider, its model and their rules were made, and one from before they went, both come
    back."""
    empty = await office.resources.revision()
    provider = await office.provider()
    await office.model(provider, "m")
    await office.make(Kind.CREDENTIAL, "c", provider=provider.id, secret={"api_key": SECRET})
    await office.rule("r", "acme", "m")
    whole = await office.resources.revision()
    await office.resources.roll_back(ALICE, empty)
    nothing = await office.resources.state()
    assert not any(nothing.of(kind) for kind in Kind)
    await office.resources.roll_back(ALICE, whole)
    found = await office.resources.state()
    assert [len(found.of(kind)) for kind in (Kind.PROVIDER, Kind.MODEL, Kind.CREDENTIAL, Kind.RULE)] == [1, 1, 1, 1]
    await office.resources.change(ALICE, [Delete(Kind.PROVIDER, provider.id, cascade=True)])
    await office.resources.roll_back(ALICE, whole)
    assert (await office.resources.get(Kind.RULE, "r")).settings["targets"] == [{"provider": "acme", "model": "m"}]


async def test_names_that_were_swapped(office: Office) -> None:
    """Two resources have their own names again, also when rules that name them were written since."""
    one, other = await office.provider("one"), await office.provider("other")
    before = await office.resources.revision()
    await office.resources.change(
        ALICE,
        [
            Update(Kind.PROVIDER, one.id, name="aside"),
            Update(Kind.PROVIDER, other.id, name="one"),
            Update(Kind.PROVIDER, one.id, name="other"),
        ],
    )
    await office.rule("r", "one", "m")
    await office.resources.roll_back(ALICE, before)
    providers = (await office.resources.state()).of(Kind.PROVIDER)
    assert (providers[one.id].name, providers[other.id].name) == ("one", "other")


_VALUE = {"api_key": SECRET}
_OLD = {"api_key": "env:GATEWAY_CREDENTIAL_OLD"}
_NEW = {"api_key": "env:GATEWAY_CREDENTIAL_NEW"}


@pytest.mark.parametrize(
    ("was", "rotated", "opens"),
    [
        ({"secret": _VALUE}, {"references": _NEW}, {"references": _NEW}),
        ({"references": _OLD}, {"secret": _VALUE}, {"fields": {"api_key": "…ghij"}}),
        ({"references": _OLD}, {"references": _NEW}, {"references": _OLD}),
        ({"secret": _VALUE}, {"secret": {"api_key": f"{SECRET}-new"}}, {"fields": {"api_key": "…-new"}}),
    ],
)
async def test_a_rotated_credential_is_never_emptied(
    office: Office, was: dict[str, Any], rotated: dict[str, Any], opens: dict[str, Any]
) -> None:
    """Where a stored secret is or was, what opens the provider now stays; references follow references. The rest of
    the credential is as it was."""
    provider = await office.provider()
    settings = {"references": was["references"]} if "references" in was else {}
    made = await office.make(Kind.CREDENTIAL, "c", settings, provider=provider.id, secret=was.get("secret"))
    before = await office.resources.revision()
    await office.resources.change(ALICE, [Rotate(made.id, **rotated)])
    sealed = (await office.resources.get(Kind.CREDENTIAL, made.id)).secret
    await office.resources.change(ALICE, [Update(Kind.CREDENTIAL, made.id, {"status": "inactive"}, name="d")])
    await office.resources.roll_back(ALICE, before)
    back = await office.resources.get(Kind.CREDENTIAL, made.id)
    assert (back.name, dict(back.settings), back.secret) == ("c", opens, sealed)


async def test_a_rule_that_was_aimed_at_what_goes(office: Office) -> None:
    """A rule that was aimed at a provider made since is aimed where it was, and does not go with that provider."""
    first = await office.provider("first")
    await office.model(first, "m")
    rule = await office.rule("r", "first", "m")
    before = await office.resources.revision()
    second = await office.provider("second")
    await office.model(second, "m")
    await office.resources.change(
        ALICE, [Update(Kind.RULE, rule.id, {"targets": [{"provider": "second", "model": "m"}]})]
    )
    await office.resources.roll_back(ALICE, before)
    assert (await office.resources.get(Kind.RULE, "r")).settings == rule.settings


async def test_a_version_is_never_given_twice(office: Office) -> None:
    """What comes back counts on from the last version it had: who remembers an earlier one is refused."""
    made = await office.provider()
    await office.resources.change(ALICE, [Update(Kind.PROVIDER, made.id, {"timeout": 5})])
    before = await office.resources.revision()
    await office.resources.change(ALICE, [Update(Kind.PROVIDER, made.id, {"timeout": 9})])
    await office.resources.change(ALICE, [Delete(Kind.PROVIDER, made.id)])
    await office.resources.roll_back(ALICE, before)
    back = await office.resources.get(Kind.PROVIDER, made.id)
    assert (back.version, back.settings["timeout"]) == (4, 5)
    with pytest.raises(VersionMismatch):
        await office.resources.change(ALICE, [Update(Kind.PROVIDER, made.id, {"timeout": 1}, version=1)])
