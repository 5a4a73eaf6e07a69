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
from gateway.http.admin.resource_service import Listing, ResourceService, ServiceDep, searching, setting
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
    service: ServiceDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "name",
    provider: Annotated[str | None, Query(max_length=200, description="Of this provider, by id or identifier.")] = None,
    status: ModelStatus | None = None,
    search: Search = None,
) -> Page[ModelShown]:
    """Models of every provider."""
    owner = None if provider is None else await service.find(Kind.PROVIDER, provider)
    return await page(
        service, owner, Listing(limit, cursor, sort, [*setting("status", status, "active"), *searching(search)])
    )


@routes.post(
    "/models/bulk", "/providers/models/bulk", policy=Role.OPERATOR, answers=(404, 409), summary="Change many models"
)
async def change_many(change: BulkChange, service: ServiceDep) -> BulkDone:
    """Enable, disable, deprecate or delete them, all or none, in one revision."""
    found = await service.find_all(Kind.MODEL, list(dict.fromkeys(change.ids)))
    operations: list[Operation] = []
    for one in found:
        service.refuse_filed(one)
        if change.action == "delete":
            operations.append(Delete(Kind.MODEL, one.id, cascade=change.cascade))
        else:
            operations.append(Update(Kind.MODEL, one.id, {"status": _STATUS[change.action]}))
    await service.change(*operations)
    if change.action == "delete":
        return BulkDone(items=[], deleted=[one.id for one in found])
    done = await service.find_all(Kind.MODEL, [one.id for one in found])
    return BulkDone(items=await presented(service, done), deleted=[])


@routes.get("/models/{model}", "/providers/models/{model}", policy=Role.VIEWER, answers=(404,), summary="Show a model")
async def get_model(model: str, service: ServiceDep, response: Response) -> ModelShown:
    """By its id."""
    return await answered(service, await service.find(Kind.MODEL, model), response)


@routes.patch(
    "/models/{model}",
    "/providers/models/{model}",
    policy=Role.OPERATOR,
    answers=(404, 409, 412),
    summary="Change a model",
)
async def change_model(
    model: str, patch: ModelPatch, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> ModelShown:
    """What is not named stays, null removes."""
    found = await service.find(Kind.MODEL, model)
    service.refuse_filed(found)
    settings, details = split(patch)
    made = await service.update(Update(Kind.MODEL, found.id, settings, details, version=wanted(if_match)))
    return await answered(service, made, response)


@routes.put("/models/{model}", policy=Role.OPERATOR, answers=(404, 409, 412), summary="Replace a model")
async def replace_model(
    model: str, draft: ModelDraft, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> ModelShown:
    """All settings anew; what is not named has its default."""
    found = await service.find(Kind.MODEL, model)
    service.refuse_filed(found)
    settings, details = whole(draft)
    version = wanted(if_match)
    made = await service.update(
        Update(Kind.MODEL, found.id, settings, details, merge=False, name=draft.model, version=version)
    )
    return await answered(service, made, response)


@routes.delete(
    "/models/{model}",
    "/providers/models/{model}",
    policy=Role.OPERATOR,
    status_code=204,
    answers=(404, 409, 412),
    summary="Remove a model",
)
async def remove_model(model: str, service: ServiceDep, cascade: Cascade = False, if_match: IfMatch = None) -> None:
    """With `cascade`: out of the routing rules, too."""
    await service.remove(await service.find(Kind.MODEL, model), wanted(if_match), cascade=cascade)


@routes.get("/providers/{provider}/models", policy=Role.VIEWER, answers=(404,), summary="List a provider's models")
async def list_provider_models(
    provider: str,
    service: ServiceDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "name",
    status: ModelStatus | None = None,
    search: Search = None,
) -> Page[ModelShown]:
    """Those that were declared; those that the provider lists itself come with discovery."""
    owner = await service.find(Kind.PROVIDER, provider)
    return await page(
        service, owner, Listing(limit, cursor, sort, [*setting("status", status, "active"), *searching(search)])
    )


@routes.post(
    "/providers/{provider}/models",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(404, 409),
    summary="Create a model",
    responses={200: {"model": ModelShown, "description": "It is there already, and is the same."}},
)
async def create_model(provider: str, draft: ModelDraft, service: ServiceDep, response: Response) -> ModelShown:
    """A new model of this provider."""
    owner = await service.find(Kind.PROVIDER, provider)
    service.refuse_filed(owner)
    made, fresh = await service.create(_new(owner, draft))
    if not fresh:
        response.status_code = 200
    response.headers["location"] = f"/api/admin/models/{made.id}"
    return await answered(service, made, response)


@routes.post(
    "/providers/{provider}/models/bulk",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(404, 409),
    summary="Create many models",
)
async def create_many(provider: str, bulk: BulkDraft, service: ServiceDep) -> BulkDone:
    """All of them in one revision, or none."""
    owner = await service.find(Kind.PROVIDER, provider)
    service.refuse_filed(owner)
    done = await service.change(*(_new(owner, draft) for draft in bulk.models))
    made = [change.resource for change in done.changes if change.kind is Kind.MODEL]
    return BulkDone(items=await presented(service, made), deleted=[])


def _new(owner: Resource, draft: ModelDraft) -> Create:
    settings, details = whole(draft)
    return Create(Kind.MODEL, draft.model, settings, details, provider=owner.id)


async def page(service: ResourceService, owner: Resource | None, listing: Listing) -> Page[ModelShown]:
    """Part of the models."""
    found = await service.page(Kind.MODEL, listing, owner)
    return Page(items=await presented(service, found.items), next_cursor=found.next_cursor, total=found.total)


async def presented(service: ResourceService, items: list[Resource]) -> list[ModelShown]:
    """As callers read them."""
    names = await service.names_of_providers()
    problems = service.problems()
    return [shown(one, names.get(one.provider_id or "", ""), problems.get(one.id)) for one in items]


async def answered(service: ResourceService, resource: Resource, response: Response) -> ModelShown:
    """One of them, with its ETag."""
    response.headers["etag"] = etag(resource.version)
    return (await presented(service, [resource]))[0]
