"""Routing rules."""

from __future__ import annotations

from typing import Literal

from fastapi import Response

from gateway.auth.admins import Role
from gateway.http.admin.etags import IfMatch, etag, wanted
from gateway.http.admin.paging import Cursor, Limit
from gateway.http.admin.providers import Cascade, Search
from gateway.http.admin.resource_desk import Desk, Listing, ResourceDesk, searching, setting
from gateway.http.admin.routing import Routes
from gateway.http.admin.rule_shapes import Order, RuleDraft, RulePatch, RuleShown, shown, split, whole
from gateway.http.admin.shapes import Page
from gateway.registry.resources.operations import Create, Reorder, Update
from gateway.registry.resources.records import Kind, Resource

routes = Routes("routing")

_ONE = ("/routing-rules/{rule}", "/providers/routing-rules/{rule}")
Sort = Literal["position", "-position", "name", "-name", "updated_at", "-updated_at"]


@routes.get("/routing-rules", "/providers/routing-rules", policy=Role.VIEWER, summary="List routing rules")
async def list_rules(
    desk: Desk,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "position",
    status: Literal["active", "inactive"] | None = None,
    search: Search = None,
) -> Page[RuleShown]:
    """In the order in which they are looked at: the file's first. The first that matches a request decides."""
    tests = [*setting("status", status, "active"), *searching(search)]
    found = await desk.page(Kind.RULE, Listing(limit, cursor, sort, tests))
    return Page(items=_presented(desk, found.items), next_cursor=found.next_cursor, total=found.total)


@routes.post(
    "/routing-rules",
    "/providers/routing-rules",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(409,),
    summary="Create a routing rule",
    responses={200: {"model": RuleShown, "description": "It is there already, and is the same."}},
)
async def create_rule(draft: RuleDraft, desk: Desk, response: Response) -> RuleShown:
    """A new rule, in the last place unless it names another."""
    settings, details = whole(draft)
    made, fresh = await desk.create(Create(Kind.RULE, draft.name, settings, details, position=draft.position))
    if not fresh:
        response.status_code = 200
    response.headers["location"] = f"/api/admin/routing-rules/{made.id}"
    return _answered(desk, made, response)


@routes.post(
    "/routing-rules/reorder",
    "/providers/routing-rules/reorder",
    policy=Role.OPERATOR,
    answers=(404, 409),
    summary="Reorder rules",
)
async def reorder_rules(order: Order, desk: Desk) -> list[RuleShown]:
    """All at once: every rule of the database is named once."""
    await desk.change(Reorder(order.ids))
    return _presented(desk, await desk.find_all(Kind.RULE, order.ids))


@routes.get(*_ONE, policy=Role.VIEWER, answers=(404,), summary="Show a routing rule")
async def get_rule(rule: str, desk: Desk, response: Response) -> RuleShown:
    """By its id or its name."""
    return _answered(desk, await desk.find(Kind.RULE, rule), response)


@routes.patch(*_ONE, policy=Role.OPERATOR, answers=(404, 409, 412), summary="Change a routing rule")
async def change_rule(
    rule: str, patch: RulePatch, desk: Desk, response: Response, if_match: IfMatch = None
) -> RuleShown:
    """What is not named stays, null removes; lists are taken whole."""
    found = await desk.find(Kind.RULE, rule)
    desk.refuse_filed(found)
    settings, details = split(patch)
    place, version = patch.position, wanted(if_match)
    made = await desk.update(Update(Kind.RULE, found.id, settings, details, position=place, version=version))
    return _answered(desk, made, response)


@routes.put(*_ONE[:1], policy=Role.OPERATOR, answers=(404, 409, 412), summary="Replace a routing rule")
async def replace_rule(
    rule: str, draft: RuleDraft, desk: Desk, response: Response, if_match: IfMatch = None
) -> RuleShown:
    """All settings anew."""
    found = await desk.find(Kind.RULE, rule)
    desk.refuse_filed(found)
    settings, details = whole(draft)
    place, version = draft.position, wanted(if_match)
    made = await desk.update(
        Update(Kind.RULE, found.id, settings, details, merge=False, name=draft.name, position=place, version=version)
    )
    return _answered(desk, made, response)


@routes.delete(*_ONE, policy=Role.OPERATOR, status_code=204, answers=(404, 409, 412), summary="Remove a routing rule")
async def remove_rule(rule: str, desk: Desk, cascade: Cascade = False, if_match: IfMatch = None) -> None:
    """With `cascade`: out of the fallbacks of others, too."""
    await desk.remove(await desk.find(Kind.RULE, rule), wanted(if_match), cascade=cascade)


def _presented(desk: ResourceDesk, items: list[Resource]) -> list[RuleShown]:
    problems = desk.problems()
    return [shown(one, problems.get(one.id)) for one in items]


def _answered(desk: ResourceDesk, resource: Resource, response: Response) -> RuleShown:
    response.headers["etag"] = etag(resource.version)
    return _presented(desk, [resource])[0]
