"""Teams: keys that share limits and quotas."""

from __future__ import annotations

from fastapi import Response

from gateway.auth.admins import Role
from gateway.http.admin.etags import IfMatch
from gateway.http.admin.limit_shapes import TeamDraft, TeamPatch, TeamShown, team_shown
from gateway.http.admin.paging import Cursor, Limit
from gateway.http.admin.plain import Plain
from gateway.http.admin.providers import Cascade, Search, Sort
from gateway.http.admin.resource_service import Listing, ServiceDep, searching
from gateway.http.admin.routing import Routes
from gateway.http.admin.shapes import Page
from gateway.registry.resources.records import Kind

routes = Routes("limits")

_plain = Plain(Kind.TEAM, "teams", team_shown)
_ALL = ("/teams",)
_ONE = ("/teams/{team}",)


@routes.get(*_ALL, policy=Role.VIEWER, summary="List teams")
async def list_teams(
    service: ServiceDep, limit: Limit = 50, cursor: Cursor = None, sort: Sort = "name", search: Search = None
) -> Page[TeamShown]:
    """Those of the file and of the database."""
    return await _plain.page(service, Listing(limit, cursor, sort, [*searching(search)]))


@routes.post(
    *_ALL,
    policy=Role.OPERATOR,
    status_code=201,
    answers=(409,),
    summary="Create a team",
    responses={200: {"model": TeamShown, "description": "It is there already, and is the same."}},
)
async def create_team(draft: TeamDraft, service: ServiceDep, response: Response) -> TeamShown:
    """A new team."""
    return await _plain.create(service, draft, response)


@routes.get(*_ONE, policy=Role.VIEWER, answers=(404,), summary="Show a team")
async def get_team(team: str, service: ServiceDep, response: Response) -> TeamShown:
    """By its id or its name."""
    return await _plain.get(service, team, response)


@routes.patch(*_ONE, policy=Role.OPERATOR, answers=(404, 409, 412), summary="Change a team")
async def change_team(
    team: str, patch: TeamPatch, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> TeamShown:
    """What is not named stays, null removes."""
    return await _plain.change(service, team, patch, if_match, response)


@routes.put(*_ONE, policy=Role.OPERATOR, answers=(404, 409, 412), summary="Replace a team")
async def replace_team(
    team: str, draft: TeamDraft, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> TeamShown:
    """All settings anew."""
    return await _plain.replace(service, team, draft, if_match, response)


@routes.delete(*_ONE, policy=Role.OPERATOR, status_code=204, answers=(404, 409, 412), summary="Remove a team")
async def remove_team(team: str, service: ServiceDep, cascade: Cascade = False, if_match: IfMatch = None) -> None:
    """Refused while keys or routing rules name it; `cascade` takes the rules with it."""
    await _plain.remove(service, team, if_match, cascade=cascade)
