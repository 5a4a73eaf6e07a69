"""Providers."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

from fastapi import Query, Response

from gateway.auth.admins import Role
from gateway.http.admin import health, incidents, usage
from gateway.http.admin.etags import IfMatch, etag, wanted
from gateway.http.admin.incidents import Incident
from gateway.http.admin.moments import Since, Until
from gateway.http.admin.paging import Cursor, Limit
from gateway.http.admin.provider_shapes import ProviderDraft, ProviderPatch, ProviderShown, Status
from gateway.http.admin.provider_words import shown, split, whole
from gateway.http.admin.resource_service import Listing, ResourceService, ServiceDep, searching, setting
from gateway.http.admin.routing import Routes
from gateway.http.admin.shapes import Page
from gateway.http.admin.usage import By, Chosen
from gateway.http.admin.usage_shapes import UsageReport
from gateway.registry.resources.operations import Create, Update
from gateway.registry.resources.records import Kind, Resource, State

routes = Routes("providers")

Cascade = Annotated[
    bool,
    Query(description="Remove what belongs to it or refers to it, too; else it is refused while something does."),
]
Sort = Literal["name", "-name", "created_at", "-created_at", "updated_at", "-updated_at"]
Search = Annotated[str | None, Query(max_length=200, description="Part of the name.")]


@routes.get("/providers", policy=Role.VIEWER, summary="List providers")
async def list_providers(
    service: ServiceDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    sort: Sort = "name",
    type: Annotated[str | None, Query(max_length=64)] = None,  # noqa: A002 - the parameter's name in the contract
    status: Status | None = None,
    search: Search = None,
) -> Page[ProviderShown]:
    """Providers of the file and of the database."""
    tests = [*setting("type", type), *setting("status", status, "active"), *searching(search)]
    found = await service.page(Kind.PROVIDER, Listing(limit, cursor, sort, tests))
    items = await presented(service, found.items)
    return Page(items=items, next_cursor=found.next_cursor, total=found.total)


@routes.post(
    "/providers",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(409,),
    summary="Create a provider",
    responses={200: {"model": ProviderShown, "description": "It is there already, and is the same."}},
)
async def create_provider(draft: ProviderDraft, service: ServiceDep, response: Response) -> ProviderShown:
    """A new provider. It serves as soon as it has what its type needs: a credential, most often, and models."""
    settings, details = whole(draft)
    made, fresh = await service.create(Create(Kind.PROVIDER, draft.identifier, settings, details))
    if not fresh:
        response.status_code = 200
    response.headers["location"] = f"/api/admin/providers/{made.id}"
    return await answered(service, made, response)


@routes.get("/providers/{provider}", policy=Role.VIEWER, answers=(404,), summary="Show a provider")
async def get_provider(provider: str, service: ServiceDep, response: Response) -> ProviderShown:
    """By its id or its identifier."""
    return await answered(service, await service.find(Kind.PROVIDER, provider), response)


@routes.patch("/providers/{provider}", policy=Role.OPERATOR, answers=(404, 409, 412), summary="Change a provider")
async def change_provider(
    provider: str, patch: ProviderPatch, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> ProviderShown:
    """What is not named stays, null removes."""
    found = await service.find(Kind.PROVIDER, provider)
    service.refuse_filed(found)
    settings, details = split(patch)
    made = await service.update(Update(Kind.PROVIDER, found.id, settings, details, version=wanted(if_match)))
    return await answered(service, made, response)


@routes.put("/providers/{provider}", policy=Role.OPERATOR, answers=(404, 409, 412), summary="Replace a provider")
async def replace_provider(
    provider: str, draft: ProviderDraft, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> ProviderShown:
    """All settings anew; what is not named has its default. Its models and credentials stay."""
    found = await service.find(Kind.PROVIDER, provider)
    service.refuse_filed(found)
    settings, details = whole(draft)
    name, version = draft.identifier, wanted(if_match)
    made = await service.update(
        Update(Kind.PROVIDER, found.id, settings, details, merge=False, name=name, version=version)
    )
    return await answered(service, made, response)


@routes.delete(
    "/providers/{provider}", policy=Role.OPERATOR, status_code=204, answers=(404, 409, 412), summary="Remove a provider"
)
async def remove_provider(
    provider: str, service: ServiceDep, cascade: Cascade = False, if_match: IfMatch = None
) -> None:
    """With `cascade`: with its models and credentials, and out of the routing rules."""
    found = await service.find(Kind.PROVIDER, provider)
    await service.remove(found, wanted(if_match), cascade=cascade)


@routes.get(
    "/providers/{provider}/health-history", policy=Role.VIEWER, answers=(404,), summary="List a provider's probes"
)
async def provider_health(
    provider: str, service: ServiceDep, limit: Limit = 50, cursor: Cursor = None, since: Since = None
) -> Page[health.Probe]:
    """The newest first."""
    found = await service.find(Kind.PROVIDER, provider)
    return await health.history(service.services, limit, cursor, provider=found.name, since=since)


@routes.get(
    "/providers/{provider}/incidents", policy=Role.VIEWER, answers=(404,), summary="List a provider's incidents"
)
async def provider_incidents(
    provider: str,
    service: ServiceDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: incidents.State | None = None,
    since: Since = None,
) -> Page[Incident]:
    """The newest first."""
    found = await service.find(Kind.PROVIDER, provider)
    return await incidents.page(service.services, limit, cursor, provider=found.name, state=state, since=since)


@routes.get("/providers/{provider}/usage", policy=Role.VIEWER, answers=(404,), summary="Report a provider's usage")
async def provider_usage(
    provider: str,
    service: ServiceDep,
    since: Since = None,
    until: Until = None,
    by: By = "model",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many groups at most.")] = 100,
) -> UsageReport:
    """As `GET /usage`, of this provider alone."""
    found = await service.find(Kind.PROVIDER, provider)
    return await usage.reported(service.services, Chosen(since=since, until=until, provider=found.name), by, limit)


async def presented(service: ResourceService, items: list[Resource]) -> list[ProviderShown]:
    """As callers read them; what is counted is counted for all at once."""
    state = await service.services.resources.state()
    mine = [*state.of(Kind.MODEL).values(), *service.services.filed(Kind.MODEL)]
    models = Counter(one.provider_id for one in mine)
    credentials = Counter(one.provider_id for one in state.of(Kind.CREDENTIAL).values())
    problems = service.problems()
    return [
        shown(
            one,
            models=models[one.id],
            credentials=credentials[one.id],
            problem=problems.get(one.id) or _locked_out(service, one, state),
        )
        for one in items
    ]


def _locked_out(service: ResourceService, provider: Resource, state: State) -> str | None:
    """What ails its credentials, if it has some and none of them is of use."""
    active = [
        one
        for one in state.of(Kind.CREDENTIAL).values()
        if one.provider_id == provider.id and one.settings.get("status", "active") == "active"
    ]
    troubles = [(one.name, trouble) for one in active if (trouble := service.trouble_of(one)) is not None]
    if not troubles or len(troubles) < len(active):
        return None
    name, trouble = troubles[0]
    return f"credential {name}: {trouble}"


async def answered(service: ResourceService, resource: Resource, response: Response) -> ProviderShown:
    """One of them, with its ETag."""
    response.headers["etag"] = etag(resource.version)
    return (await presented(service, [resource]))[0]
