"""Templates of providers as callers of the admin API write and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, JsonValue

from gateway.http.admin.credentials import FieldName, Material
from gateway.http.admin.model_shapes import ModelDraft
from gateway.http.admin.provider_shapes import Identifier, ProviderPatch
from gateway.http.admin.resource_shapes import ResourceShown, common
from gateway.http.admin.rule_shapes import RuleName
from gateway.http.admin.shapes import Given, LongText, ShortText, Shown
from gateway.http.admin.system_templates import PREFIX
from gateway.http.admin.template_words import NAME

if TYPE_CHECKING:
    from gateway.registry.resources.records import Resource

Words = dict[ShortText, JsonValue]
"""What `ProviderPatch` or `ModelDraft` takes, with places in it: checked when it is filled in."""


class Parameter(Given):
    """What has to be said to make a provider of the template."""

    name: Annotated[str, Field(pattern=NAME)]
    description: LongText = ""
    required: bool = False
    secret: bool = Field(default=False, description="It goes into the credential, sealed, and nowhere else.")
    default: str | int | float | bool | None = None


class CredentialWords(Given):
    """What a credential would hold."""

    fields: Annotated[dict[FieldName, Annotated[str, Field(max_length=1000)]], Field(max_length=20)] = {}


class TemplatePatch(Given):
    """Settings of a template. `{{name}}` stands for a parameter's value."""

    label: ShortText | None = Field(None, description="What people call it.")
    description: LongText | None = None
    provider: Annotated[Words, Field(max_length=50)] | None = Field(
        None, description="Fields of a provider, without its identifier."
    )
    models: Annotated[list[Words], Field(max_length=200)] | None = Field(None, description="Fields of its models.")
    credential: CredentialWords | None = None
    parameters: Annotated[list[Parameter], Field(max_length=50)] | None = None


class TemplateDraft(TemplatePatch):
    """A new template."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "acme-eu",
                    "provider": {"type": "openai_compatible", "base_url": "https://{{region}}.acme.example/v1"},
                    "models": [{"model": "acme-small"}],
                    "credential": {"fields": {"api_key": "{{api_key}}"}},
                    "parameters": [
                        {"name": "region", "description": "Where.", "default": "eu"},
                        {"name": "api_key", "secret": True},
                    ],
                }
            ]
        }
    )

    name: RuleName
    provider: Annotated[Words, Field(max_length=50)] = Field(
        description="Fields of a provider, without its identifier."
    )


class TemplateShown(ResourceShown):
    """A template."""

    name: str
    label: str
    description: str | None
    provider: dict[str, JsonValue]
    models: list[dict[str, JsonValue]]
    credential: dict[str, JsonValue]
    parameters: list[dict[str, JsonValue]]


class Application(Given):
    """A provider to be made of a template."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"identifier": "acme", "parameters": {"base_url": "https://acme.example/v1", "api_key": "sk-…"}}
            ]
        }
    )

    identifier: Identifier
    parameters: Annotated[
        dict[Annotated[str, Field(pattern=NAME)], JsonValue],
        Field(max_length=50, json_schema_extra={"writeOnly": True}),
    ] = {}
    overrides: ProviderPatch | None = Field(
        None, description="Other settings for the provider, put over the template's."
    )
    models: Annotated[list[ModelDraft], Field(max_length=200)] | None = Field(
        None, description="Its models in place of the template's."
    )
    credential: Material | None = Field(None, description="What opens it, in place of the template's.")


class Applied(Shown):
    """What was made."""

    provider_id: str
    identifier: str
    models: list[str]
    credential_id: str | None
    revision: int


def settings_of(patch: TemplatePatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and details that were named."""
    given = patch.model_dump(exclude_unset=True, exclude={"name"})
    details = {
        name: given.pop(word) for word, name in (("label", "name"), ("description", "description")) if word in given
    }
    return given, details


def shown(resource: Resource) -> TemplateShown:
    """A template as callers read it."""
    settings, details = resource.settings, resource.details
    plain = common(resource)
    return TemplateShown(
        **(plain | {"is_system": resource.id.startswith(PREFIX)}),
        name=resource.name,
        label=details.get("name") or resource.name,
        description=details.get("description"),
        provider=dict(settings.get("provider") or {}),
        models=list(settings.get("models") or []),
        credential=dict(settings.get("credential") or {}),
        parameters=list(settings.get("parameters") or []),
    )
