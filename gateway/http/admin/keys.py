"""Virtual keys."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Response

from gateway.auth.admins import Role
from gateway.auth.drafts import Draft
from gateway.auth.refusals import KeyNameTaken
from gateway.http.admin import key_lists
from gateway.http.admin.access import Caller, Recorder
from gateway.http.admin.etags import IfMatch, etag, wanted
from gateway.http.admin.key_service import KeyService
from gateway.http.admin.key_shapes import (
    KeyCreated,
    KeyDraft,
    KeyPatch,
    KeyRotated,
    KeyRotation,
    KeyShown,
    KeyState,
    issued_of,
    shown,
)
from gateway.http.admin.paging import Cursor, Limit
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import ServicesDep
from gateway.http.admin.shapes import Page

routes = Routes("keys")

Text = Annotated[str | None, Query(max_length=200)]


@routes.get("/keys", policy=Role.VIEWER, summary="List keys")
async def list_keys(
    services: ServicesDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Literal["name", "-name", "created_at", "-created_at"] = "name",
    state: KeyState | None = None,
    team: Text = None,
    search: Annotated[str | None, Query(max_length=200, description="Part of the name.")] = None,
) -> Page[KeyShown]:
    """Keys of the file and of the database, without secrets; revoked ones too unless `state` says otherwise."""
    wish = key_lists.Wish(limit, cursor, sort, state, team, search)
    return await key_lists.page(services, wish)


@routes.post(
    "/keys",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(409,),
    summary="Create a key",
    responses={200: {"model": KeyCreated, "description": "It is there already, and is the same."}},
)
async def create_key(
    draft: KeyDraft, services: ServicesDep, caller: Caller, record: Recorder, response: Response
) -> KeyCreated:
    """A new key. Its secret is in the answer, and nowhere else ever after."""
    service = KeyService(services, caller, record)
    service.refuse_file_name(draft.name)
    try:
        issued, told = await service.create(draft.draft())
    except KeyNameTaken as taken:
        known = await service.same(draft.draft(), taken)
        response.status_code = 200
        response.headers["etag"] = etag(known.revision)
        return KeyCreated(**shown(known).model_dump(), secret=None, told=True)
    response.headers["etag"] = etag(issued.info.revision)
    response.headers["location"] = f"/api/admin/keys/{issued.info.name}"
    return issued_of(KeyCreated, issued, told=told)


@routes.get("/keys/{name}", policy=Role.VIEWER, answers=(404,), summary="Show a key")
async def get_key(name: str, services: ServicesDep, caller: Caller, record: Recorder, response: Response) -> KeyShown:
    """One key, without its secret."""
    found = await KeyService(services, caller, record).get(name)
    response.headers["etag"] = etag(found.revision)
    return found


@routes.patch("/keys/{name}", policy=Role.OPERATOR, answers=(404, 409, 412), summary="Change a key")
async def change_key(
    name: str,
    patch: KeyPatch,
    services: ServicesDep,
    caller: Caller,
    record: Recorder,
    response: Response,
    if_match: IfMatch = None,
) -> KeyShown:
    """Other settings for a key; what is not named stays, null removes. Its secret stays."""
    issued = await KeyService(services, caller, record).update(name, patch.changes(), wanted(if_match))
    response.headers["etag"] = etag(issued.info.revision)
    return shown(issued.info)


@routes.put("/keys/{name}", policy=Role.OPERATOR, answers=(404, 409, 412), summary="Replace a key's settings")
async def replace_key(
    name: str,
    patch: KeyPatch,
    services: ServicesDep,
    caller: Caller,
    record: Recorder,
    response: Response,
    if_match: IfMatch = None,
) -> KeyShown:
    """All settings of a key anew; what is not named is removed. Its secret stays."""
    issued = await KeyService(services, caller, record).update(name, _whole(patch), wanted(if_match))
    response.headers["etag"] = etag(issued.info.revision)
    return shown(issued.info)


@routes.post("/keys/{name}/rotate", policy=Role.OPERATOR, answers=(404, 409), summary="Give a key a new secret")
async def rotate_key(
    name: str, rotation: KeyRotation, services: ServicesDep, caller: Caller, record: Recorder, response: Response
) -> KeyRotated:
    """A new secret, shown once. The one before it opens for `grace_seconds` more; calls under way go on."""
    issued, told = await KeyService(services, caller, record).rotate(name, rotation.grace_seconds)
    response.headers["etag"] = etag(issued.info.revision)
    return issued_of(KeyRotated, issued, told=told)


@routes.delete("/keys/{name}", policy=Role.OPERATOR, answers=(404, 409, 412), summary="Revoke a key")
async def revoke_key(
    name: str, services: ServicesDep, caller: Caller, record: Recorder, response: Response, if_match: IfMatch = None
) -> KeyShown:
    """End a key for good, its open streams too. Its row stays: the ledger names it."""
    issued = await KeyService(services, caller, record).revoke(name, wanted(if_match))
    response.headers["etag"] = etag(issued.info.revision)
    return shown(issued.info)


def _whole(patch: KeyPatch) -> dict[str, Any]:
    empty = Draft("")
    fresh = {name: getattr(empty, name) for name in KeyPatch.model_fields}
    return fresh | patch.changes()
