"""Operations on a state, giving the next one and what changed. Pure but for new names and sealing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, assert_never

from gateway.registry.resources.errors import CannotSeal, Conflict, NotFound, VersionMismatch
from gateway.registry.resources.identifiers import new_id
from gateway.registry.resources.kinds import context_of
from gateway.registry.resources.operations import (
    Create,
    Delete,
    Held,
    Operation,
    Reorder,
    Restore,
    Rotate,
    Update,
    merged,
)
from gateway.registry.resources.records import WITHIN_PROVIDERS, Change, Kind, Resource, Settings, State
from gateway.registry.resources.references import references_to, without
from gateway.registry.resources.restoring import brought_back, taken_back

MOST_HINTED = 4
_SHORTEST_HINTED = 20
"""Characters; of shorter secrets nothing is shown."""


class Seal(Protocol):
    """Of a plain text, for its context."""

    def __call__(self, plain: str, *, context: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Stamp:
    """When (Unix seconds), and by whom."""

    at: float
    by: str


def apply(state: State, operations: Sequence[Operation], stamp: Stamp, seal: Seal | None) -> tuple[State, list[Change]]:
    """The state after these operations, and each resource that differs. Raises NotFound, Conflict, VersionMismatch,
    CannotSeal."""
    bench = _Bench(state, stamp, seal)
    for operation in operations:
        bench.do(operation)
    return bench.finished()


@dataclass(slots=True)
class _Bench:
    """A state that is being changed."""

    before: State
    stamp: Stamp
    seal: Seal | None
    now: dict[Kind, dict[str, Resource]] = field(init=False)

    def __post_init__(self) -> None:
        self.now = {kind: dict(self.before.of(kind)) for kind in Kind}

    @property
    def state(self) -> State:
        return State(self.before.revision, self.now)

    def do(self, operation: Operation) -> None:
        if isinstance(operation, Create):
            self.create(operation)
        elif isinstance(operation, Update):
            self.update(operation)
        elif isinstance(operation, Rotate):
            self.rotate(operation)
        elif isinstance(operation, Delete):
            self.delete(operation)
        elif isinstance(operation, Reorder):
            self.reorder(operation.ids)
        elif isinstance(operation, Restore):
            for held in operation.resources:
                self.restore(held)
        else:
            assert_never(operation)

    def finished(self) -> tuple[State, list[Change]]:
        """In the order in which a database with foreign keys takes them."""
        gone, kept = [], []
        for kind in Kind:
            before, after = self.before.of(kind), self.now[kind]
            gone += [Change(kind, one, None) for name, one in before.items() if name not in after]
            kept += [Change(kind, before.get(name), one) for name, one in after.items() if one != before.get(name)]
        gone.reverse()
        return State(self.before.revision + 1, self.now), [*gone, *kept]

    # ---- operations

    def create(self, wanted: Create) -> None:
        kind, stamp = wanted.kind, self.stamp
        within = wanted.provider if kind in WITHIN_PROVIDERS else None
        if kind in WITHIN_PROVIDERS:
            self._find(Kind.PROVIDER, within or "")
        self._refuse_taken(kind, wanted.name, within)
        name = wanted.id or new_id()
        made = Resource(
            kind, name, wanted.name, dict(wanted.settings), dict(wanted.details), 1,
            stamp.at, stamp.by, stamp.at, stamp.by, provider_id=within,
        )  # fmt: skip
        if kind is Kind.CREDENTIAL and wanted.secret:
            made = self._sealed(made, wanted.secret)
        self.now[kind][name] = made
        if kind is Kind.RULE:
            self._place(name, wanted.position)

    def update(self, wanted: Update) -> None:
        found = self._find(wanted.kind, wanted.id, wanted.version)
        settings = _changed(found.settings, wanted.settings, merge=wanted.merge)
        details = _changed(found.details, wanted.details, merge=wanted.merge)
        if found.kind is Kind.CREDENTIAL and "fields" in found.settings:
            settings = {**settings, "fields": found.settings["fields"]}  # they say what is sealed, nobody else does
        name = found.name if wanted.name is None else wanted.name
        if name != found.name:
            self._refuse_taken(found.kind, name, found.provider_id)
            self._refuse_referred(found, "has another name")
        if (name, settings, details) != (found.name, found.settings, found.details):
            self._put(replace(found, name=name, settings=settings, details=details))
        if wanted.position is not None and found.kind is Kind.RULE and wanted.position != found.position:
            self._place(found.id, wanted.position)

    def rotate(self, wanted: Rotate) -> None:
        found = self._find(Kind.CREDENTIAL, wanted.id, wanted.version)
        settings = {name: value for name, value in found.settings.items() if name not in ("references", "fields")}
        if wanted.references:
            settings["references"] = dict(wanted.references)
        fresh = replace(found, settings=settings, secret=None)
        if wanted.secret:
            fresh = self._sealed(fresh, wanted.secret)
        kept = found.secret if wanted.overlap > 0 else None
        until = self.stamp.at + wanted.overlap if kept is not None else None
        self._put(replace(fresh, previous=kept, previous_until=until))

    def delete(self, wanted: Delete) -> None:
        found = self._find(wanted.kind, wanted.id, wanted.version)
        if not wanted.cascade:
            self._refuse_referred(found, "is gone")
        self._cascade(found)
        del self.now[found.kind][found.id]
        self._renumber([rule.id for rule in self._rules()])

    def reorder(self, ids: Sequence[str]) -> None:
        for name in ids:
            self._find(Kind.RULE, name)
        if sorted(ids) != sorted(self.now[Kind.RULE]):
            raise Conflict("An order names every routing rule once: read the list again, and send all of them.")
        self._renumber(ids)

    def restore(self, held: Held) -> None:
        there, shown = self.now[held.kind].get(held.id), held.shown
        if shown is None:
            self.now[held.kind].pop(held.id, None)
        elif there is None:
            self.now[held.kind][held.id] = brought_back(held, shown, self.stamp)
        else:
            back = taken_back(there, shown)
            if back != there:
                self._put(back)
            now = self.now[held.kind][held.id]
            self.now[held.kind][held.id] = replace(now, position=shown.get("position"))

    # ---- parts of them

    def _cascade(self, found: Resource) -> None:
        state = self.state
        if found.kind is Kind.PROVIDER:
            for one in state.within(found.id):
                del self.now[one.kind][one.id]
        for name in dict.fromkeys(ref.id for ref in references_to(state, found) if ref.kind is Kind.RULE):
            rule = self.now[Kind.RULE][name]  # as it is by now: it may have lost a fallback to a rule that went
            left = without(state, rule, found)
            if left is None:
                self._cascade(rule)  # others may fall back to it; of them nothing goes but that
                del self.now[Kind.RULE][rule.id]
            else:
                self._put(left)

    def _find(self, kind: Kind, wanted: str, version: int | None = None) -> Resource:
        found = self.now[kind].get(wanted)
        if found is None:
            raise NotFound(kind, wanted)
        if version is not None and version != found.version:
            raise VersionMismatch(kind, found.name, found.version)
        return found

    def _put(self, resource: Resource) -> None:
        """Once more than its version before this change, however often it is touched."""
        before = self.before.of(resource.kind).get(resource.id)
        version = 1 if before is None else before.version + 1
        fresh = replace(resource, version=version, updated_at=self.stamp.at, updated_by=self.stamp.by)
        self.now[resource.kind][resource.id] = fresh

    def _sealed(self, resource: Resource, secret: Mapping[str, str]) -> Resource:
        if self.seal is None:
            raise CannotSeal
        sealed = self.seal(json.dumps(dict(secret)), context=context_of(resource.id))
        settings = {**resource.settings, "fields": {name: hint_of(value) for name, value in secret.items()}}
        return replace(resource, settings=settings, secret=sealed)

    def _refuse_taken(self, kind: Kind, name: str, within: str | None) -> None:
        if self.state.named(kind, name, within) is not None:
            raise Conflict(f"The name {name!r} is taken among {kind}: choose another.", taken=kind)

    def _refuse_referred(self, found: Resource, how: str) -> None:
        by, goes = references_to(self.state, found), how == "is gone"
        if not goes:  # what belongs to it stays with it
            by = [one for one in by if one.kind not in WITHIN_PROVIDERS]
        if by:
            names = ", ".join(dict.fromkeys(f"{one.kind} {one.name}" for one in by[:10]))
            message = f"{found.name!r} is referred to by {names}, which would break once it {how}."
            raise Conflict(message, by, cascades=goes)

    def _rules(self) -> list[Resource]:
        return sorted(self.now[Kind.RULE].values(), key=lambda rule: (rule.position or 0, rule.id))

    def _place(self, name: str, position: int | None) -> None:
        others = [rule.id for rule in self._rules() if rule.id != name]
        at = len(others) if position is None else min(max(0, position), len(others))
        self._renumber([*others[:at], name, *others[at:]])

    def _renumber(self, ids: Sequence[str]) -> None:
        """Being moved by another one is no change of a rule's own: its version stays."""
        rules = self.now[Kind.RULE]
        for position, name in enumerate(ids):
            if rules[name].position != position:
                rules[name] = replace(rules[name], position=position)


def _changed(before: Settings, given: Settings | None, *, merge: bool) -> dict[str, Any]:
    if given is None:
        return dict(before)
    return merged(before, given) if merge else dict(given)


def hint_of(secret: str) -> str:
    """What may be shown of a secret: its last characters, if it is long."""
    return f"…{secret[-MOST_HINTED:]}" if len(secret) >= _SHORTEST_HINTED else "…"
