"""Models of providers."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query, Response
from pydantic import Field

from gateway.auth.admins import Role
from gateway.http.admin.etags import IfMatch, etag, wanted
from gateway.http.admin.model_shapes import ModelDraft, ModelPatch, ModelShown, ModelStatus, shown, split, whole
from gateway.http.admin.paging import Cursor, Limit
from gateway.http.admin.providers import Cascade, Search, Sort
from gateway.http.admin.resource_desk import Desk, Listing, ResourceDesk, searching, setting
from gateway.http.admin.routing import Routes
from gateway.http.admin.shapes import Given, Page, Shown
from gateway.registry.resources.operations import Create, Delete, Operation, Update
from gateway.registry.resources.records import Kind, Resource

routes = Routes("models")

MOST = 500
_Ids = Annotated[list[Annotated[str, Field(max_length=600)]], Field(min_length=1, max_length=MOST)]


class BulkDraft(Given):
    """Models to be made together, or none of them."""

    models: Annotated[list[ModelDraft], Field(min_length=1, max_length=MOST)]


class BulkChange(Given):
    """What to do to several models together, or to none of them."""

    action: Literal["enable", "disable", "deprecate", "delete"]
    ids: _Ids
    cascade: bool = Field(default=False, description="With `delete`: take them out of routing rules, too.")


class BulkDone(Shown):
    """What was done."""

    items: list[ModelShown]
    deleted: list[str]


_STATUS = {"enable": "active", "disable": "inactive", "deprecate": "deprecated"}


@routes.get("/models", "/providers/models", policy=Role.VIEWER, answers=(404,), summary="List models")
async def list_models(
    desk: Desk,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "name",
    provider: Annotated[str | None, Query(max_length=200, description="Of this provider, by id or identifier.")] = None,
    status: ModelStatus | None = None,
    search: Search = None,
) -> Page[ModelShown]:
    """Models of every provider."""
    owner = None if provider is None else await desk.find(Kind.PROVIDER, provider)
    return await page(
        desk, owner, Listing(limit, cursor, sort, [*setting("status", status, "active"), *searching(search)])
    )


@routes.post(
    "/models/bulk", "/providers/models/bulk", policy=Role.OPERATOR, answers=(404, 409), summary="Change many models"
)
async def change_many(change: BulkChange, desk: Desk) -> BulkDone:
    """Enable, disable, deprecate or delete them, all or none, in one revision."""
    found = await desk.find_all(Kind.MODEL, list(dict.fromkeys(change.ids)))
    operations: list[Operation] = []
    for one in found:
        desk.refuse_filed(one)
        if change.action == "delete":
            operations.append(Delete(Kind.MODEL, one.id, cascade=change.cascade))
        else:
            operations.append(Update(Kind.MODEL, one.id, {"status": _STATUS[change.action]}))
    await desk.change(*operations)
    if change.action == "delete":
        return BulkDone(items=[], deleted=[one.id for one in found])
    done = await desk.find_all(Kind.MODEL, [one.id for one in found])
    return BulkDone(items=await presented(desk, done), deleted=[])


@routes.get("/models/{model}", "/providers/models/{model}", policy=Role.VIEWER, answers=(404,), summary="Show a model")
async def get_model(model: str, desk: Desk, response: Response) -> ModelShown:
    """By its id."""
    return await answered(desk, await desk.find(Kind.MODEL, model), response)


@routes.patch(
    "/models/{model}",
    "/providers/models/{model}",
    policy=Role.OPERATOR,
    answers=(404, 409, 412),
    summary="Change a model",
)
async def change_model(
    model: str, patch: ModelPatch, desk: Desk, response: Response, if_match: IfMatch = None
) -> ModelShown:
    """What is not named stays, null removes."""
    found = await desk.find(Kind.MODEL, model)
    desk.refuse_filed(found)
    settings, details = split(patch)
    made = await desk.update(Update(Kind.MODEL, found.id, settings, details, version=wanted(if_match)))
    return await answered(desk, made, response)


@routes.put("/models/{model}", policy=Role.OPERATOR, answers=(404, 409, 412), summary="Replace a model")
async def replace_model(
    model: str, draft: ModelDraft, desk: Desk, response: Response, if_match: IfMatch = None
) -> ModelShown:
    """All settings anew; what is not named has its default."""
    found = await desk.find(Kind.MODEL, model)
    desk.refuse_filed(found)
    settings, details = whole(draft)
    version = wanted(if_match)
    made = await desk.update(
        Update(Kind.MODEL, found.id, settings, details, merge=False, name=draft.model, version=version)
    )
    return await answered(desk, made, response)


@routes.delete(
    "/models/{model}",
    "/providers/models/{model}",
    policy=Role.OPERATOR,
    status_code=204,
    answers=(404, 409, 412),
    summary="Remove a model",
)
async def remove_model(model: str, desk: Desk, cascade: Cascade = False, if_match: IfMatch = None) -> None:
    """With `cascade`: out of the routing rules, too."""
    await desk.remove(await desk.find(Kind.MODEL, model), wanted(if_match), cascade=cascade)


@routes.get("/providers/{provider}/models", policy=Role.VIEWER, answers=(404,), summary="List a provider's models")
async def list_provider_models(
    provider: str,
    desk: Desk,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "name",
    status: ModelStatus | None = None,
    search: Search = None,
) -> Page[ModelShown]:
    """Those that were declared; those that the provider lists itself come with discovery."""
    owner = await desk.find(Kind.PROVIDER, provider)
    return await page(
        desk, owner, Listing(limit, cursor, sort, [*setting("status", status, "active"), *searching(search)])
    )


@routes.post(
    "/providers/{provider}/models",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(404, 409),
    summary="Create a model",
    responses={200: {"model": ModelShown, "description": "It is there already, and is the same."}},
)
async def create_model(provider: str, draft: ModelDraft, desk: Desk, response: Response) -> ModelShown:
    """A new model of this provider."""
    owner = await desk.find(Kind.PROVIDER, provider)
    desk.refuse_filed(owner)
    made, fresh = await desk.create(_new(owner, draft))
    if not fresh:
        response.status_code = 200
    response.headers["location"] = f"/api/admin/models/{made.id}"
    return await answered(desk, made, response)


@routes.post(
    "/providers/{provider}/models/bulk",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(404, 409),
    summary="Create many models",
)
async def create_many(provider: str, bulk: BulkDraft, desk: Desk) -> BulkDone:
    """All of them in one revision, or none."""
    owner = await desk.find(Kind.PROVIDER, provider)
    desk.refuse_filed(owner)
    done = await desk.change(*(_new(owner, draft) for draft in bulk.models))
    made = [change.resource for change in done.changes if change.kind is Kind.MODEL]
    return BulkDone(items=await presented(desk, made), deleted=[])


def _new(owner: Resource, draft: ModelDraft) -> Create:
    settings, details = whole(draft)
    return Create(Kind.MODEL, draft.model, settings, details, provider=owner.id)


async def page(desk: ResourceDesk, owner: Resource | None, listing: Listing) -> Page[ModelShown]:
    """Part of the models."""
    found = await desk.page(Kind.MODEL, listing, owner)
    return Page(items=await presented(desk, found.items), next_cursor=found.next_cursor, total=found.total)


async def presented(desk: ResourceDesk, items: list[Resource]) -> list[ModelShown]:
    """As callers read them."""
    names = await desk.names_of_providers()
    problems = desk.problems()
    return [shown(one, names.get(one.provider_id or "", ""), problems.get(one.id)) for one in items]


async def answered(desk: ResourceDesk, resource: Resource, response: Response) -> ModelShown:
    """One of them, with its ETag."""
    response.headers["etag"] = etag(resource.version)
    return (await presented(desk, [resource]))[0]
