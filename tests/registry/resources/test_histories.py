"""Any revision of any history can be gone back to."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.registry.resources.errors import Conflict, Rejected
from gateway.registry.resources.operations import Create, Delete, Operation, Reorder, Rotate, Update
from gateway.registry.resources.records import WITHIN_PROVIDERS, Kind, Resource, State
from tests.registry.resources.support import ALICE, SECRET, Office

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.storage.sql.database import Database

_CHANGES = 30
_NAMES = ("a", "b", "c", "d")
_REFERENCES = {"api_key": "env:GATEWAY_CREDENTIAL_A"}
_LIMIT = {"match": {}, "metrics": {"requests": {"limit": 5, "window": "1m"}}}


class _Hand:
    """Changes resources as chance has it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def operations(self, state: State) -> list[Operation]:
        """One change; it may be refused."""
        ways: list[Callable[[State], list[Operation]]] = [
            self._create, self._create, self._create, self._rule, self._change, self._rename, self._swap, self._delete,
            self._rotate, self._reorder,
        ]  # fmt: skip
        return self.chance.choice(ways)(state)

    def any(self, state: State, *kinds: Kind) -> Resource | None:
        """One that is there."""
        found = [one for kind in kinds or Kind for one in state.of(kind).values()]
        return self.chance.choice(found) if found else None

    def _create(self, state: State) -> list[Operation]:
        kind, name = self.chance.choice([one for one in Kind if one is not Kind.RULE]), self.chance.choice(_NAMES)
        owner = self.any(state, Kind.PROVIDER)
        if kind in WITHIN_PROVIDERS and owner is None:
            kind = Kind.PROVIDER
        settings: dict[str, Any] = {}
        if kind is Kind.PROVIDER:
            settings = {"type": "openai_compatible", "base_url": "https://acme.example/v1"}
        elif kind is Kind.LIMIT:
            settings = _LIMIT
        secret = {"api_key": SECRET} if kind is Kind.CREDENTIAL else None
        return [Create(kind, name, settings, provider=owner.id if owner is not None else None, secret=secret)]

    def _rule(self, state: State) -> list[Operation]:
        model = self.any(state, Kind.MODEL)
        if model is None:
            return self._create(state)
        owner, name = state.of(Kind.PROVIDER)[model.provider_id or ""], self.chance.choice(_NAMES)
        settings = {"match": {"model": f"{name}-wanted"}, "targets": [{"provider": owner.name, "model": model.name}]}
        return [Create(Kind.RULE, name, settings, position=self.chance.randrange(3))]

    def _change(self, state: State) -> list[Operation]:
        found = self.any(state)
        return [] if found is None else [Update(found.kind, found.id, details={"note": self.chance.random()})]

    def _rename(self, state: State) -> list[Operation]:
        found = self.any(state)
        return [] if found is None else [Update(found.kind, found.id, name=self.chance.choice(_NAMES))]

    def _swap(self, state: State) -> list[Operation]:
        one = self.any(state)
        other = None if one is None else self.any(state, one.kind)
        if one is None or other is None or one is other:
            return []
        return [
            Update(one.kind, one.id, name="aside"),
            Update(one.kind, other.id, name=one.name),
            Update(one.kind, one.id, name=other.name),
        ]

    def _delete(self, state: State) -> list[Operation]:
        found = self.any(state)
        return [] if found is None else [Delete(found.kind, found.id, cascade=self.chance.random() < 0.7)]

    def _rotate(self, state: State) -> list[Operation]:
        found = self.any(state, Kind.CREDENTIAL)
        if found is None:
            return []
        if self.chance.random() < 0.5:
            return [Rotate(found.id, references=_REFERENCES)]
        return [Rotate(found.id, secret={"api_key": SECRET})]

    def _reorder(self, state: State) -> list[Operation]:
        rules = list(state.of(Kind.RULE))
        self.chance.shuffle(rules)
        return [Reorder(rules)]


def _document(state: State) -> dict[tuple[str, str], Any]:
    """Everything that was decided, but for what opens a provider."""
    return {(kind, one.id): _decided(one) for kind in Kind for one in state.of(kind).values()}


def _decided(resource: Resource) -> dict[str, Any]:
    shown = resource.shown
    del shown["version"]
    if resource.kind is Kind.CREDENTIAL:
        shown["settings"] = {
            name: value for name, value in shown["settings"].items() if name not in ("references", "fields")
        }
    return shown


def _opening(state: State) -> set[str]:
    """Credentials that open something."""
    return {one.id for one in state.of(Kind.CREDENTIAL).values() if one.secret or one.settings.get("references")}


@pytest.mark.parametrize("seed", range(4))
async def test_every_revision_comes_back_exactly(office: Office, database: Database, seed: int) -> None:
    """After changes of all kinds, renames, swaps and cascades, each revision in any order gives its document, and no
    credential that opened something is left without."""
    hand, resources = _Hand(seed), office.resources
    state = await resources.state()
    documents = {state.revision: _document(state)}
    for _ in range(_CHANGES):
        try:
            await resources.change(ALICE, hand.operations(state))
        except (Conflict, Rejected):
            continue
        state = await resources.state()
        documents[state.revision] = _document(state)
    assert len(documents) > _CHANGES / 3
    wanted = list(documents)
    hand.chance.shuffle(wanted)
    for revision in wanted:
        before = await resources.state()
        await resources.roll_back(ALICE, revision)
        after = await Office(database).resources.state()  # as another replica reads it
        assert _document(after) == documents[revision], f"revision {revision}"
        still = {one for one in _opening(before) if one in after.of(Kind.CREDENTIAL)}
        assert still <= _opening(after)
