"""Revisions of the configuration: who changed what, what differs, and the way back."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import JsonValue

from gateway.auth.admins import Role
from gateway.http.admin.moments import iso
from gateway.http.admin.paging import Cursor, Limit, read_cursor, write_cursor
from gateway.http.admin.problems import Invalid, NotThere
from gateway.http.admin.resource_service import ServiceDep
from gateway.http.admin.routing import Routes
from gateway.http.admin.shapes import Page, Shown, Stamp
from gateway.registry.resources.history import Difference, Revision

routes = Routes("revisions")

_SORT = "-revision"
_LAST = 2**53
Number = Annotated[int, Path(ge=0, le=_LAST, description="A revision; 0: before anything was changed.")]


class DifferenceShown(Shown):
    """One resource before and after; null: it was not there. Secrets are in neither."""

    kind: str
    id: str
    name: str
    fields: list[str]
    """What differs, by its place."""
    before: dict[str, JsonValue] | None
    after: dict[str, JsonValue] | None


class RevisionShown(Shown):
    """One change of the configuration."""

    revision: int
    at: Stamp
    actor: str
    actor_kind: str
    address: str | None
    request_id: str | None
    rolled_back_to: int | None


class RevisionDetail(RevisionShown):
    """One change, with what it changed."""

    changes: list[DifferenceShown]


class DifferenceList(Shown):
    """What differs between two revisions."""

    older: int
    newer: int
    changes: list[DifferenceShown]


class RolledBack(Shown):
    """A revision that brought an earlier one back."""

    revision: int
    rolled_back_to: int
    changed: list[str]
    """What it changed: kind and name."""


@routes.get("/revisions", policy=Role.VIEWER, summary="List revisions")
async def list_revisions(service: ServiceDep, limit: Limit = 50, cursor: Cursor = None) -> Page[RevisionShown]:
    """The newest first."""
    after = read_cursor(cursor, _SORT, int)
    found = await service.services.resources.revisions(None if after is None else after[0], limit + 1)
    items = [_shown(one) for one in found[:limit]]
    following = write_cursor(_SORT, (items[-1].revision,)) if len(found) > limit else None
    # Every change is one revision, and they are counted.
    return Page(items=items, next_cursor=following, total=await service.services.resources.revision())


@routes.get("/revisions/diff", policy=Role.VIEWER, summary="Compare revisions")
async def compare_revisions(
    service: ServiceDep,
    older: Annotated[int, Query(ge=0, le=_LAST)],
    newer: Annotated[int | None, Query(ge=0, le=_LAST, description="Omitted: the present one.")] = None,
) -> DifferenceList:
    """Each resource that differs, once."""
    present = await service.services.resources.revision()
    last = present if newer is None else newer
    if not older <= last <= present:
        raise Invalid(
            f"older: revisions go from 0 to {present}, the older one first.",
            field="older",
            suggestions=["GET /revisions lists them."],
        )
    found = await service.services.resources.differences(older, last)
    return DifferenceList(older=older, newer=last, changes=[_difference(one) for one in found])


@routes.get("/revisions/{revision}", policy=Role.VIEWER, answers=(404,), summary="Show a revision")
async def get_revision(revision: Number, service: ServiceDep) -> RevisionDetail:
    """With what it changed."""
    try:
        found = await service.services.resources.one_revision(revision)
    except LookupError:
        raise _unknown() from None
    return RevisionDetail(**_shown(found).model_dump(), changes=[_difference(one) for one in found.changes])


@routes.post("/revisions/{revision}/rollback", policy=Role.ADMIN, answers=(404, 409), summary="Roll back to a revision")
async def roll_back(revision: Number, service: ServiceDep) -> RolledBack:
    """Everything as it was then, as a new revision. Secrets are kept nowhere: a credential that comes back needs its
    secret again, and one that was rotated keeps its present one."""
    try:
        done = await service.services.resources.roll_back(service.author, revision)
    except LookupError:
        raise _unknown() from None
    changed = [f"{one.kind}/{one.resource.name}" for one in done.changes]
    return RolledBack(revision=done.revision, rolled_back_to=revision, changed=changed)


def _unknown() -> NotThere:
    return NotThere("There is no such revision.", field="revision", suggestions=["GET /revisions lists them."])


def _shown(found: Revision) -> RevisionShown:
    return RevisionShown(
        revision=found.revision,
        at=iso(found.at) or "",
        actor=found.author.name,
        actor_kind=found.author.kind,
        address=found.author.address,
        request_id=found.author.request_id,
        rolled_back_to=found.rolled_back_to,
    )


def _difference(found: Difference) -> DifferenceShown:
    return DifferenceShown(
        kind=found.kind.value,
        id=found.id,
        name=found.name,
        fields=sorted(_fields(found.before or {}, found.after or {}, "")),
        before=found.before,
        after=found.after,
    )


def _fields(before: dict[str, Any], after: dict[str, Any], place: str) -> set[str]:
    """The places of what is not the same; the version always differs and says nothing."""
    found: set[str] = set()
    for name in before.keys() | after.keys():
        one, other = before.get(name), after.get(name)
        if one == other or (not place and name == "version"):
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            found |= _fields(one, other, f"{place}{name}.")
        else:
            found.add(f"{place}{name}")
    return found
