"""Templates of providers: those of the provider types, and those that admins make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Response
from pydantic import BaseModel, ValidationError

from gateway.auth.admins import Role
from gateway.http.admin.credentials import material
from gateway.http.admin.etags import IfMatch, etag, wanted
from gateway.http.admin.model_shapes import ModelDraft
from gateway.http.admin.model_shapes import whole as whole_model
from gateway.http.admin.paging import Cursor, Limit, cut_sorted, read_cursor
from gateway.http.admin.problems import Clash, Detail, Invalid, NotThere
from gateway.http.admin.provider_shapes import AuthConfig, ProviderDraft
from gateway.http.admin.provider_words import whole as whole_provider
from gateway.http.admin.providers import Cascade, Search
from gateway.http.admin.refusing import sentence, steps_of
from gateway.http.admin.resource_service import ResourceService, ServiceDep
from gateway.http.admin.resource_shapes import tidy
from gateway.http.admin.routing import Routes
from gateway.http.admin.shapes import Page
from gateway.http.admin.system_templates import PREFIX, system_templates
from gateway.http.admin.template_shapes import (
    Application,
    Applied,
    TemplateDraft,
    TemplatePatch,
    TemplateShown,
    settings_of,
    shown,
)
from gateway.http.admin.template_words import filled, places, values_for
from gateway.registry.problems import did_you_mean
from gateway.registry.resources.identifiers import new_id
from gateway.registry.resources.operations import Create, Operation, Update, merged
from gateway.registry.resources.records import Kind, Resource
from gateway.registry.resources.vetting import opens_something

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.http.admin.credentials import Material

routes = Routes("templates")


class _WithAuth(BaseModel):
    """The part of a template's provider in which secrets could stand."""

    auth_config: AuthConfig | None = None


_ONE = "/provider-templates/{template}"


@routes.get("/provider-templates", policy=Role.VIEWER, summary="List templates")
async def list_templates(
    service: ServiceDep, limit: Limit = 50, cursor: Cursor = None, system: bool | None = None, search: Search = None
) -> Page[TemplateShown]:
    """By name; `system`: only those of the provider types, or only the others."""
    after = read_cursor(cursor, "name", str, str)
    found = [
        one
        for one in await _every(service)
        if (system is None or one.id.startswith(PREFIX) == system)
        and (search is None or search.lower() in one.name.lower())
    ]
    part = cut_sorted(found, limit, "name", lambda one: (one.name, one.id), after)
    return Page(items=[shown(one) for one in part.items], next_cursor=part.next_cursor, total=len(found))


@routes.post(
    "/provider-templates",
    policy=Role.OPERATOR,
    status_code=201,
    answers=(409,),
    summary="Create a template",
    responses={200: {"model": TemplateShown, "description": "It is there already, and is the same."}},
)
async def create_template(draft: TemplateDraft, service: ServiceDep, response: Response) -> TemplateShown:
    """Places of parameters that are not declared are refused; so are secret ones outside the credential."""
    settings, details = settings_of(draft)
    _check(tidy(settings))
    if any(one.name == draft.name for one in system_templates(service.services.dialects)):
        raise Clash("A template of the provider types has this name.", field="name", suggestions=["Choose another."])
    made, fresh = await service.create(Create(Kind.TEMPLATE, draft.name, tidy(settings), tidy(details)))
    if not fresh:
        response.status_code = 200
    response.headers["location"] = f"/api/admin/provider-templates/{made.id}"
    return _answered(made, response)


@routes.get(_ONE, policy=Role.VIEWER, answers=(404,), summary="Show a template")
async def get_template(template: str, service: ServiceDep, response: Response) -> TemplateShown:
    """By its id or its name."""
    return _answered(await _find(service, template), response)


@routes.patch(_ONE, policy=Role.OPERATOR, answers=(404, 409, 412), summary="Change a template")
async def change_template(
    template: str, patch: TemplatePatch, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> TemplateShown:
    """What is not named stays, null removes; what is named is taken whole."""
    found = await _own(service, template)
    settings, details = settings_of(patch)
    return await _put(service, found, {**found.settings, **settings}, {**found.details, **details}, if_match, response)


@routes.put(_ONE, policy=Role.OPERATOR, answers=(404, 409, 412), summary="Replace a template")
async def replace_template(
    template: str, draft: TemplateDraft, service: ServiceDep, response: Response, if_match: IfMatch = None
) -> TemplateShown:
    """All of it anew. Providers that were made of it stay as they are."""
    found = await _own(service, template)
    settings, details = settings_of(draft)
    return await _put(service, found, settings, details, if_match, response, draft.name)


@routes.delete(_ONE, policy=Role.OPERATOR, status_code=204, answers=(404, 409, 412), summary="Remove a template")
async def remove_template(
    template: str, service: ServiceDep, cascade: Cascade = False, if_match: IfMatch = None
) -> None:
    """Providers that were made of it stay."""
    await service.remove(await _own(service, template), wanted(if_match), cascade=cascade)


@routes.post(
    _ONE + "/apply", policy=Role.OPERATOR, status_code=201, answers=(404, 409), summary="Make a provider of a template"
)
async def apply_template(template: str, application: Application, service: ServiceDep, response: Response) -> Applied:
    """The provider, its models and its credential in one revision, or nothing of it."""
    found = await _find(service, template)
    operations = _operations(found.settings, application)
    done = await service.change(*operations)
    provider = done.the(Kind.PROVIDER)
    response.headers["location"] = f"/api/admin/providers/{provider.id}"
    credential = next((one.resource.id for one in done.changes if one.kind is Kind.CREDENTIAL), None)
    return Applied(
        provider_id=provider.id,
        identifier=provider.name,
        models=[one.resource.name for one in done.changes if one.kind is Kind.MODEL],
        credential_id=credential,
        revision=done.revision,
    )


def _operations(template: Mapping[str, Any], application: Application) -> list[Operation]:
    """What makes the provider. Raises Invalid."""
    values = values_for(template.get("parameters") or [], application.parameters)
    secrets = {one["name"] for one in template.get("parameters") or [] if one.get("secret")}
    plain = {name: value for name, value in values.items() if name not in secrets}
    words = filled(template.get("provider") or {}, plain)
    if application.overrides is not None:
        words = merged(words, application.overrides.model_dump(exclude_unset=True))
    draft = _read(ProviderDraft, {**words, "identifier": application.identifier}, "provider")
    settings, details = whole_provider(draft)
    owner = Create(Kind.PROVIDER, draft.identifier, settings, details, id=new_id())
    drafts = application.models
    if drafts is None:
        drafts = [
            _read(ModelDraft, filled(one, plain), f"models.{n}") for n, one in enumerate(template.get("models") or [])
        ]
    models = [Create(Kind.MODEL, one.model, *whole_model(one), provider=owner.id) for one in drafts]
    return [owner, *models, *_credential(template, application.credential, values, owner)]


def _credential(
    template: Mapping[str, Any], given: Material | None, values: Mapping[str, Any], owner: Create
) -> list[Operation]:
    if given is not None:
        secret, references = material(given, owner.details)
    else:
        fields = filled((template.get("credential") or {}).get("fields") or {}, values)
        if not fields:
            return []
        secret, references = {name: str(value) for name, value in fields.items()}, {}
    settings = {"references": references} if references else {}
    return [Create(Kind.CREDENTIAL, "default", settings, provider=owner.id, secret=secret)]


def _read(shape: type[BaseModel], words: Mapping[str, Any], place: str) -> Any:
    """What was filled in, checked as if a caller had sent it. Raises Invalid."""
    try:
        return shape.model_validate(words)
    except ValidationError as error:
        details = [
            Detail(".".join([place, *map(str, steps_of(one["type"], one["loc"], words))]), sentence(one))
            for one in error.errors(include_url=False, include_input=False, include_context=False)[:20]
        ]
        raise Invalid(f"{details[0].field}: {details[0].message}", field=details[0].field, details=details) from None


def _check(settings: Mapping[str, Any]) -> None:
    """Raises Invalid for places that no parameter fills, and for secrets where they do not belong."""
    parameters = settings.get("parameters") or []
    names = [one["name"] for one in parameters]
    secret = {one["name"] for one in parameters if one.get("secret")}
    for index, name in enumerate(names):
        if name in names[:index]:
            raise Invalid(f"parameters.{index}.name: this name is there twice", field=f"parameters.{index}.name")
        if name in secret and parameters[index].get("default") is not None:
            raise Invalid(f"parameters.{index}.default: a secret has none", field=f"parameters.{index}.default")
    for field in ("provider", "models", "credential"):
        used = places(settings.get(field))
        unknown = sorted(used - set(names))
        if unknown:
            hint = did_you_mean(unknown[0], names)
            raise Invalid(f"{field}: no parameter is called `{unknown[0]}`{hint} (declare it)", field=field)
        if field != "credential" and used & secret:
            name = min(used & secret)
            raise Invalid(f"{field}: `{name}` is secret and belongs in the credential alone", field=field)
    _check_secrets(settings, secret)


def _check_secrets(settings: Mapping[str, Any], secret: set[str]) -> None:
    """Raises Invalid for what would be a secret in the open: everybody who may look sees templates."""
    for name, value in ((settings.get("credential") or {}).get("fields") or {}).items():
        if not places(value) & secret:
            field = f"credential.fields.{name}"
            raise Invalid(f"{field}: this is a secret (make it a parameter, `secret: true`)", field=field)
    provider = settings.get("provider") or {}
    headers = provider.get("headers")
    for header in headers if isinstance(headers, dict) else ():
        if opens_something(header):
            field = f"provider.headers.{header}"
            raise Invalid(f"{field}: a header that opens something belongs in the credential", field=field)
    if "auth_config" in provider:
        _read(_WithAuth, {"auth_config": provider["auth_config"]}, "provider")


async def _every(service: ResourceService) -> list[Resource]:
    state = await service.services.resources.state()
    return [*system_templates(service.services.dialects), *state.of(Kind.TEMPLATE).values()]


async def _find(service: ResourceService, name: str) -> Resource:
    every = await _every(service)
    found = next((one for one in every if one.id == name), None) or next(
        (one for one in every if one.name == name), None
    )
    if found is None:
        hint = did_you_mean(name, [one.name for one in every])
        raise NotThere(f"There is no template of this id{hint}.", suggestions=["GET /provider-templates lists them."])
    return found


async def _own(service: ResourceService, name: str) -> Resource:
    """One that may be changed. Raises NotThere, Clash."""
    found = await _find(service, name)
    if found.id.startswith(PREFIX):
        raise Clash("This template is one of the provider types'.", suggestions=["Create another one and change that."])
    return found


async def _put(
    service: ResourceService,
    found: Resource,
    settings: Mapping[str, Any],
    details: Mapping[str, Any],
    if_match: str | None,
    response: Response,
    name: str | None = None,
) -> TemplateShown:
    kept = {word: value for word, value in tidy(dict(settings)).items() if value is not None}
    if not kept.get("provider"):
        raise Invalid("provider: a template describes a provider (add it)", field="provider")
    _check(kept)
    version = wanted(if_match)
    made = await service.update(
        Update(Kind.TEMPLATE, found.id, kept, tidy(dict(details)), merge=False, name=name, version=version)
    )
    return _answered(made, response)


def _answered(resource: Resource, response: Response) -> TemplateShown:
    response.headers["etag"] = etag(resource.version)
    return shown(resource)
