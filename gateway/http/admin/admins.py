"""Users who administer."""

from __future__ import annotations

from fastapi import Response

from gateway.auth.admins import Role
from gateway.auth.users import Changed
from gateway.http.admin.access import Caller, Recorder
from gateway.http.admin.access_shapes import UserDraft, UserPatch, UserShown, user_shown
from gateway.http.admin.etags import IfMatch, etag, wanted
from gateway.http.admin.paging import Cursor, Limit, cut, read_cursor
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import ServicesDep
from gateway.http.admin.shapes import Page

routes = Routes("access")
_SORT = "name"


@routes.get("/admins", policy=Role.ADMIN, summary="List users")
async def list_admins(services: ServicesDep, limit: Limit = 50, cursor: Cursor = None) -> Page[UserShown]:
    """By name; disabled ones too."""
    after = read_cursor(cursor, _SORT, str)
    users = services.authenticator.users
    found = await users.list_all("" if after is None else after[0], limit + 1)
    part = cut(found, limit, _SORT, lambda user: (user.name,))
    items = [user_shown(user) for user in part.items]
    return Page(items=items, next_cursor=part.next_cursor, total=await users.count())


@routes.post("/admins", policy=Role.ADMIN, status_code=201, answers=(409,), summary="Create a user")
async def create_admin_user(
    draft: UserDraft, services: ServicesDep, caller: Caller, record: Recorder, response: Response
) -> UserShown:
    """Its role is at most the caller's."""
    password = None if draft.password is None else draft.password.get_secret_value()
    user = await services.authenticator.users.create(caller, record, draft.name, draft.role, password)
    response.headers["etag"] = etag(user.version)
    response.headers["location"] = f"/api/admin/admins/{user.name}"
    return user_shown(user)


@routes.get("/admins/{name}", policy=Role.ADMIN, answers=(404,), summary="Show a user")
async def get_admin_user(name: str, services: ServicesDep, response: Response) -> UserShown:
    """By name or id."""
    user = await services.authenticator.users.get(name)
    response.headers["etag"] = etag(user.version)
    return user_shown(user)


@routes.patch("/admins/{name}", policy=Role.ADMIN, answers=(404, 412), summary="Change a user")
async def patch_admin_user(
    name: str,
    patch: UserPatch,
    services: ServicesDep,
    caller: Caller,
    record: Recorder,
    response: Response,
    if_match: IfMatch = None,
) -> UserShown:
    """Another role or password, shut out or let in; the user's sessions end."""
    password = None if patch.password is None else patch.password.get_secret_value()
    change = Changed(patch.role, password, patch.disabled, wanted(if_match))
    user = await services.authenticator.users.change(caller, record, name, change)
    response.headers["etag"] = etag(user.version)
    return user_shown(user)


@routes.delete("/admins/{name}", policy=Role.ADMIN, status_code=204, answers=(404, 412), summary="Disable a user")
async def disable_admin_user(
    name: str, services: ServicesDep, caller: Caller, record: Recorder, if_match: IfMatch = None
) -> Response:
    """Shut it out at once, with its sessions and tokens. It stays in the list: the audit log names it."""
    await services.authenticator.users.change(caller, record, name, Changed(disabled=True, version=wanted(if_match)))
    return Response(status_code=204)
