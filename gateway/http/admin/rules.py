"""Routing rules."""

from __future__ import annotations

from typing import Literal

from fastapi import Response

from gateway.auth.admins import Role
from gateway.http.admin.etags import IfMatch, etag, wanted
from gateway.http.admin.paging import Cursor, Limit
from gateway.http.admin.providers import Cascade, Search
from gateway.http.admin.resource_service import Listing, ResourceService, ServiceDep, searching, setting
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
    service: ServiceDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "position",
    status: Literal["active", "inactive"] | None = None,
    search: Search = None,
) -> Page[RuleShown]:
    """In the order in which they are looked at: the file's first. The first that matches a request decides."""
    tests = [*setting("status", status, "active"), *searching(search)]
    found = await service.page(Kind.RULE, Listing(limit, cursor, sort, tests))
    return Page(items=_presented(service, found.items), next_cursor=found.next_cursor, total=found.total)


@routes.post(
    "/routing-rules",
    "/providers/routing-rules",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(409,),
    summary="Create a routing rule",
    responses={200: {"model": RuleShown, "description": "It is there already, and is the same."}},
)
async def create_rule(draft: RuleDraft, service: ServiceDep, response: Response) -> RuleShown:
    """A new rule, in the last place unless it names another."""
    settings, details = whole(draft)
    made, fresh = await service.create(Create(Kind.RULE, draft.name, settings, details, position=draft.position))
    if not fresh:
        response.status_code = 200
    response.headers["location"] = f"/api/admin/routing-rules/{made.id}"
    return _answered(service, made, response)


@routes.post(
    "/routing-rules/reorder",
    "/providers/routing-rules/reorder",
    policy=Role.OPERATOR,
    answers=(404, 409),
    summary="Reorder rules",
)
async def reorder_rules(order: Order, service: ServiceDep) -> list[RuleShown]:
    """All at once: every rule of the database is named once."""
    await service.change(Reorder(order.ids))
    return _presented(service, await service.find_all(Kind.RULE, order.ids))


@routes.get(*_ONE, policy=Role.VIEWER, answers=(404,), summary="Show a routing rule")
async def get_rule(rule: str, service: ServiceDep, response: Response) -> RuleShown:
    """By its id or its name."""
    return _answered(service, await service.find(Kind.RULE, rule), response)


@routes.patch(*_ONE, policy=Role.OPERATOR, answers=(404, 409, 412), summary="Change a routing rule")
async def change_rule(
    rule: str, patch: RulePatch, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> RuleShown:
    """What is not named stays, null removes; lists are taken whole."""
    found = await service.find(Kind.RULE, rule)
    service.refuse_filed(found)
    settings, details = split(patch)
    place, version = patch.position, wanted(if_match)
    made = await service.update(Update(Kind.RULE, found.id, settings, details, position=place, version=version))
    return _answered(service, made, response)


@routes.put(*_ONE[:1], policy=Role.OPERATOR, answers=(404, 409, 412), summary="Replace a routing rule")
async def replace_rule(
    rule: str, draft: RuleDraft, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> RuleShown:
    """All settings anew."""
    found = await service.find(Kind.RULE, rule)
    service.refuse_filed(found)
    settings, details = whole(draft)
    place, version = draft.position, wanted(if_match)
    made = await service.update(
        Update(Kind.RULE, found.id, settings, details, merge=False, name=draft.name, position=place, version=version)
    )
    return _answered(service, made, response)


@routes.delete(*_ONE, policy=Role.OPERATOR, status_code=204, answers=(404, 409, 412), summary="Remove a routing rule")
async def remove_rule(rule: str, service: ServiceDep, cascade: Cascade = False, if_match: IfMatch = None) -> None:
    """With `cascade`: out of the fallbacks of others, too."""
    await service.remove(await service.find(Kind.RULE, rule), wanted(if_match), cascade=cascade)


def _presented(service: ResourceService, items: list[Resource]) -> list[RuleShown]:
    problems = service.problems()
    return [shown(one, problems.get(one.id)) for one in items]


def _answered(service: ResourceService, resource: Resource, response: Response) -> RuleShown:
    response.headers["etag"] = etag(resource.version)
    return _presented(service, [resource])[0]
