"""Tokens of the admin API."""

from __future__ import annotations

from fastapi import Response

from gateway.auth.admins import Role
from gateway.http.admin.access import Caller, Recorder
from gateway.http.admin.access_shapes import TokenCreated, TokenDraft, TokenShown, token_shown
from gateway.http.admin.paging import Cursor, Limit, cut, read_cursor
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import ServicesDep
from gateway.http.admin.shapes import Page

routes = Routes("access")
_SORT = "-created_at"


@routes.get("/tokens", policy=Role.VIEWER, summary="List tokens")
async def list_tokens(
    services: ServicesDep, caller: Caller, limit: Limit = 50, cursor: Cursor = None
) -> Page[TokenShown]:
    """Everybody's for admins, one's own for others; the newest first."""
    after = read_cursor(cursor, _SORT, float, str)
    tokens = services.authenticator.tokens
    found = await tokens.list_for(caller, None if after is None else (after[0], after[1]), limit + 1)
    part = cut(found, limit, _SORT, lambda token: (token.created_at, token.id))
    items = [token_shown(token) for token in part.items]
    return Page(items=items, next_cursor=part.next_cursor, total=await tokens.count_for(caller))


@routes.post("/tokens", policy=Role.VIEWER, status_code=201, summary="Create a token")
async def create_token(
    draft: TokenDraft, services: ServicesDep, caller: Caller, record: Recorder, response: Response
) -> TokenCreated:
    """A token of the caller's own. It is in the answer, and nowhere else ever after."""
    made = await services.authenticator.tokens.create(caller, record, draft.name, draft.role, draft.until)
    response.headers["location"] = f"/api/admin/tokens/{made.id}"
    return TokenCreated(**token_shown(made).model_dump(), token=made.secret)


@routes.delete("/tokens/{token}", policy=Role.VIEWER, status_code=204, answers=(404,), summary="Revoke a token")
async def revoke_token(token: str, services: ServicesDep, caller: Caller, record: Recorder) -> Response:
    """End it for good, at once; one's own, or anybody's for admins."""
    await services.authenticator.tokens.revoke(caller, record, token)
    return Response(status_code=204)
