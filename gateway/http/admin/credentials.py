"""Credentials of providers: written, never read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Response
from pydantic import ConfigDict, Field

from gateway.auth.admins import Role
from gateway.http.admin.etags import IfMatch, etag, wanted
from gateway.http.admin.moments import iso
from gateway.http.admin.paging import Cursor, Limit
from gateway.http.admin.problems import Detail, Invalid
from gateway.http.admin.provider_shapes import FIELD_PLACE
from gateway.http.admin.providers import Cascade, Sort
from gateway.http.admin.resource_service import Listing, ResourceService, ServiceDep
from gateway.http.admin.resource_shapes import ResourceShown, common
from gateway.http.admin.routing import Routes
from gateway.http.admin.shapes import Given, Page, Stamp
from gateway.registry.resources.operations import Create, Rotate, Update
from gateway.registry.resources.records import Kind, Resource

routes = Routes("credentials")

Secret = Annotated[
    str, Field(min_length=1, max_length=20_000, json_schema_extra={"writeOnly": True, "format": "password"})
]
FieldName = Annotated[str, Field(pattern=r"^(header:)?[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Reference = Annotated[str, Field(pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]{0,127}|file:[!-~]{1,1024})$")]
_DAY = 86400.0


class Material(Given):
    """What opens the provider: a secret, or where it is read from."""

    value: Secret | None = Field(None, description="The API key: short for `fields: {api_key: …}`.")
    fields: Annotated[dict[FieldName, Secret], Field(max_length=20)] | None = Field(
        None,
        description="By setting: `api_key`, `client_secret`, `access_key_id`, …, or `header:<name>`; sealed before it "
        "is stored, and shown to nobody.",
    )
    references: Annotated[dict[FieldName, Reference], Field(max_length=20)] | None = Field(
        None,
        description="By setting, where the gateway reads it: `env:GATEWAY_CREDENTIAL_…`, `file:…`.",
        examples=[{"api_key": "env:GATEWAY_CREDENTIAL_ACME"}],
    )


class CredentialDraft(Material):
    """A new credential."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "first", "value": "sk-…"}]})

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="To tell it from others.")] = "default"
    status: Literal["active", "inactive"] = "active"


class CredentialPatch(Given):
    """Settings of a credential; its secret is changed by rotation."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    status: Literal["active", "inactive"] | None = None


class Rotation(Material):
    """Another secret."""

    overlap_seconds: float = Field(
        600.0, ge=0, le=7 * _DAY, description="How long the present one may serve if the new one is refused."
    )


class CredentialShown(ResourceShown):
    """A credential, without what it holds."""

    provider_id: str
    provider: str
    name: str
    status: str
    fields: dict[str, str] = Field(description="What it holds, each with the end of the secret if that is long.")
    references: dict[str, str]
    overlap_until: Stamp | None
    problem: str | None = Field(description="Why nothing can be called with it, if so.")


@routes.get("/providers/{provider}/credentials", policy=Role.VIEWER, answers=(404,), summary="List credentials")
async def list_credentials(
    provider: str, service: ServiceDep, limit: Limit = 50, cursor: Cursor = None, sort: Sort = "name"
) -> Page[CredentialShown]:
    """Masked; those of the configuration file are not among them."""
    owner = await service.find(Kind.PROVIDER, provider)
    found = await service.page(Kind.CREDENTIAL, Listing(limit, cursor, sort), owner)
    return Page(items=await presented(service, found.items), next_cursor=found.next_cursor, total=found.total)


@routes.post(
    "/providers/{provider}/credentials",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(404, 409),
    summary="Store a credential",
    responses={200: {"model": CredentialShown, "description": "It is there already, and is the same."}},
)
async def create_credential(
    provider: str, draft: CredentialDraft, service: ServiceDep, response: Response
) -> CredentialShown:
    """Several of one provider are used in turn."""
    owner = await service.find(Kind.PROVIDER, provider)
    service.refuse_filed(owner)
    secret, references = material(draft, owner.details)
    settings: dict[str, Any] = {"status": draft.status} if draft.status != "active" else {}
    if references:
        settings["references"] = references
    made, fresh = await service.create(Create(Kind.CREDENTIAL, draft.name, settings, provider=owner.id, secret=secret))
    if not fresh:
        response.status_code = 200
    response.headers["location"] = f"/api/admin/credentials/{made.id}"
    return await answered(service, made, response)


@routes.get("/credentials/{credential}", policy=Role.VIEWER, answers=(404,), summary="Show a credential")
async def get_credential(credential: str, service: ServiceDep, response: Response) -> CredentialShown:
    """Masked."""
    return await answered(service, await service.find(Kind.CREDENTIAL, credential), response)


@routes.patch("/credentials/{credential}", policy=Role.OPERATOR, answers=(404, 409, 412), summary="Change a credential")
async def change_credential(
    credential: str, patch: CredentialPatch, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> CredentialShown:
    """Its name or its status."""
    found = await service.find(Kind.CREDENTIAL, credential)
    settings = {} if patch.status is None else {"status": patch.status}
    made = await service.update(Update(Kind.CREDENTIAL, found.id, settings, name=patch.name, version=wanted(if_match)))
    return await answered(service, made, response)


@routes.post(
    "/credentials/{credential}/rotate",
    "/providers/credentials/{credential}/rotate",
    policy=Role.OPERATOR,
    answers=(404, 409, 412),
    summary="Rotate a credential",
)
async def rotate_credential(
    credential: str, rotation: Rotation, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> CredentialShown:
    """The new secret serves new calls; calls under way end with the old one. No call fails for it."""
    found = await service.find(Kind.CREDENTIAL, credential)
    owner = await service.find(Kind.PROVIDER, found.provider_id or "")
    secret, references = material(rotation, owner.details)
    overlap, version = rotation.overlap_seconds, wanted(if_match)
    await service.change(Rotate(found.id, secret, references, overlap, version))
    return await answered(service, await service.find(Kind.CREDENTIAL, found.id), response)


@routes.delete(
    "/credentials/{credential}",
    "/providers/credentials/{credential}",
    policy=Role.OPERATOR,
    status_code=204,
    answers=(404, 409, 412),
    summary="Remove a credential",
)
async def remove_credential(
    credential: str, service: ServiceDep, cascade: Cascade = False, if_match: IfMatch = None
) -> None:
    """Calls under way end with it."""
    await service.remove(await service.find(Kind.CREDENTIAL, credential), wanted(if_match), cascade=cascade)


def material(given: Material, notes: Mapping[str, Any]) -> tuple[dict[str, str] | None, dict[str, str]]:
    """What is to be sealed, and references, for a provider with these details. Raises Invalid without either."""
    fields = dict(given.fields or {})
    if given.value is not None:
        if "api_key" in fields:
            raise Invalid("value: `fields` has an `api_key` too (send one of them)", field="value")
        fields["api_key"] = given.value
    references = dict(given.references or {})
    if not fields and not references:
        raise Invalid(
            "value: a credential needs a secret or a reference.",
            field="value",
            suggestions=["Send `value`, `fields` or `references`."],
        )
    return (_with_headers(fields, notes) if fields else None), references


def _with_headers(fields: dict[str, str], notes: Mapping[str, Any]) -> dict[str, str]:
    """With the headers that the provider's templates make of the fields; those that only fill templates go away."""
    config = notes.get("auth_config") or {}
    templates: dict[str, str] = config.get("header_templates") or {}
    found, used = dict(fields), set()
    for header, template in templates.items():
        names = FIELD_PLACE.findall(template)
        missing = [name for name in names if name not in fields]
        if missing:
            raise Invalid(
                f"fields.{missing[0]}: the provider's header `{header}` is made of it (add it)",
                field=f"fields.{missing[0]}",
                details=[Detail(f"fields.{name}", "is missing (add it)") for name in missing],
            )
        found[f"header:{header.lower()}"] = FIELD_PLACE.sub(lambda place: fields[place[1]], template)
        used |= set(names)
    return {name: value for name, value in found.items() if name not in used}


async def presented(service: ResourceService, items: list[Resource]) -> list[CredentialShown]:
    """As callers read them: what the vault holds stays there."""
    names = await service.names_of_providers()
    problems = service.problems()
    return [
        CredentialShown(
            **common(one),
            provider_id=one.provider_id or "",
            provider=names.get(one.provider_id or "", ""),
            name=one.name,
            status=one.settings.get("status", "active"),
            fields=dict(one.settings.get("fields", {})),
            references=dict(one.settings.get("references", {})),
            overlap_until=iso(one.previous_until),
            problem=problems.get(one.id) or service.trouble_of(one),
        )
        for one in items
    ]


async def answered(service: ResourceService, resource: Resource, response: Response) -> CredentialShown:
    """One of them, with its ETag."""
    response.headers["etag"] = etag(resource.version)
    return (await presented(service, [resource]))[0]
