"""Revisions of the resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.registry.resources.errors import NotFound
from gateway.registry.resources.operations import Delete, Update
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
