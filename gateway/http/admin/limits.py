"""Limits and quotas beyond keys and teams: of users, models, providers, or of everything together."""

from __future__ import annotations

from fastapi import Response

from gateway.auth.admins import Role
from gateway.http.admin.etags import IfMatch
from gateway.http.admin.limit_shapes import LimitDraft, LimitPatch, LimitShown, Scope, limit_shown
from gateway.http.admin.paging import Cursor, Limit
from gateway.http.admin.plain import Plain
from gateway.http.admin.providers import Cascade, Search, Sort
from gateway.http.admin.resource_service import Listing, ServiceDep, searching, setting
from gateway.http.admin.routing import Routes
from gateway.http.admin.shapes import Page
from gateway.registry.resources.records import Kind

routes = Routes("limits")

_plain = Plain(Kind.LIMIT, "limits", limit_shown)
_ALL = ("/limits", "/quotas")
_ONE = ("/limits/{limit_id}", "/quotas/{limit_id}")


@routes.get(*_ALL, policy=Role.VIEWER, summary="List limits")
async def list_limits(
    service: ServiceDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "name",
    search: Search = None,
    scope: Scope | None = None,
) -> Page[LimitShown]:
    """Those of the file and of the database."""
    return await _plain.page(service, Listing(limit, cursor, sort, [*searching(search), *setting("scope", scope)]))


@routes.post(
    *_ALL,
    policy=Role.OPERATOR,
    status_code=201,
    answers=(409,),
    summary="Create a limit",
    responses={200: {"model": LimitShown, "description": "It is there already, and is the same."}},
)
async def create_limit(draft: LimitDraft, service: ServiceDep, response: Response) -> LimitShown:
    """A new limit."""
    return await _plain.create(service, draft, response)


@routes.get(*_ONE, policy=Role.VIEWER, answers=(404,), summary="Show a limit")
async def get_limit(limit_id: str, service: ServiceDep, response: Response) -> LimitShown:
    """By its id or its name."""
    return await _plain.get(service, limit_id, response)


@routes.patch(*_ONE, policy=Role.OPERATOR, answers=(404, 409, 412), summary="Change a limit")
async def change_limit(
    limit_id: str, patch: LimitPatch, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> LimitShown:
    """What is not named stays, null removes."""
    return await _plain.change(service, limit_id, patch, if_match, response)


@routes.put(*_ONE, policy=Role.OPERATOR, answers=(404, 409, 412), summary="Replace a limit")
async def replace_limit(
    limit_id: str, draft: LimitDraft, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> LimitShown:
    """All settings anew."""
    return await _plain.replace(service, limit_id, draft, if_match, response)


@routes.delete(*_ONE, policy=Role.OPERATOR, status_code=204, answers=(404, 409, 412), summary="Remove a limit")
async def remove_limit(limit_id: str, service: ServiceDep, cascade: Cascade = False, if_match: IfMatch = None) -> None:
    """What it counted is forgotten."""
    await _plain.remove(service, limit_id, if_match, cascade=cascade)
