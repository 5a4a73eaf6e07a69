"""Routing rules as callers of the admin API write and read them: the words of `routes` in the configuration file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue

from gateway.http.admin.resource_shapes import ResourceShown, common, patch_of, tidy
from gateway.http.admin.shapes import Given, LongText, ShortText
from gateway.registry.schema.routes import Failure, Need, ServiceWord, Strategy

if TYPE_CHECKING:
    from gateway.registry.resources.records import Resource

RuleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$", examples=["chat-default"])]
Model = Annotated[str, Field(min_length=1, max_length=256)]
Amount = Annotated[int, Field(ge=0, le=2**53)] | Annotated[str, Field(max_length=20)]
_Seconds = Annotated[str, Field(max_length=20)] | Annotated[float, Field(gt=0, le=86400)]


class Span(Given):
    """An amount above one bound, up to another, or between them."""

    above: Amount | None = None
    up_to: Amount | None = None


class Match(Given):
    """Every condition that is set must hold."""

    model: Model | Annotated[list[Model], Field(max_length=200)] | None = Field(
        None, description="The requested model, or a list of which one must fit; `*` and `?` are wildcards."
    )
    service: ServiceWord | list[ServiceWord] | None = None
    team: ShortText | None = None
    key: ShortText | None = Field(None, description="The name of the caller's key.")
    group: ShortText | Annotated[list[ShortText], Field(max_length=100)] | None = None
    headers: Annotated[dict[ShortText, ShortText], Field(max_length=20)] | None = None
    stream: bool | None = None
    capabilities: list[Need] | None = None
    context: Span | None = Field(None, description="Tokens of the request.")
    size: Span | None = Field(None, description="Bytes of the request's body.")


class Target(Given):
    """Where a rule leads."""

    provider: ShortText = Field(description="The identifier of a provider.")
    model: Model = Field(description="One of its models.")
    weight: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    quality: Annotated[float, Field(ge=0, le=1)] | None = None


class Fallbacks(Given):
    """Other places for what the targets cannot serve: a rule, or `provider/model`."""

    context_window: ShortText | None = None
    content_filter: ShortText | None = None


class Hedge(Given):
    """A second attempt beside a first that is slow to answer."""

    after: _Seconds | None = Field(None, examples=["p95"])
    max_share: Annotated[float, Field(gt=0, le=0.5)] | None = None


class RulePatch(Given):
    """Settings of a routing rule."""

    description: LongText | None = None
    match: Match | None = Field(None, description="Which requests it is for.")
    default: bool | None = Field(None, description="It is for requests that nothing else is for; without `match`.")
    strategy: Strategy | None = None
    targets: Annotated[list[Target], Field(min_length=1, max_length=100)] | None = Field(
        None, description="Deployments, the first choice first."
    )
    min_quality: Annotated[float, Field(ge=0, le=1)] | None = None
    sticky_on: Annotated[list[ShortText], Field(min_length=1, max_length=10)] | None = None
    fallback_on: Annotated[list[Failure], Field(max_length=10)] | None = None
    fallbacks: Fallbacks | None = None
    hedge: Hedge | None = None
    max_attempts: Annotated[int, Field(ge=1, le=20)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    status: Literal["active", "inactive"] | None = None
    position: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        None, description="Its place among the rules of the database, which come after the file's; 0: the first."
    )


class RuleDraft(RulePatch):
    """A new routing rule."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "fast",
                    "match": {"model": "fast"},
                    "strategy": "priority",
                    "targets": [{"provider": "acme", "model": "acme-small"}],
                }
            ]
        }
    )

    name: RuleName
    targets: Annotated[list[Target], Field(min_length=1, max_length=100)] = Field(
        description="Deployments, the first choice first."
    )


class Order(Given):
    """Every rule of the database, in the order in which they shall be looked at."""

    ids: Annotated[list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=10_000)]


class RuleShown(ResourceShown):
    """A routing rule."""

    name: str
    description: str | None
    position: int
    match: JsonValue
    default: bool
    strategy: str
    targets: JsonValue
    settings: dict[str, JsonValue] = Field(description="Everything else that is set, in the words of the file.")
    status: str
    problem: str | None


_DETAILS = frozenset({"description", "position"})
_SHOWN = frozenset({"match", "default", "strategy", "targets", "status"})


def split(patch: RulePatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and details that were named; null removes."""
    given = patch.model_dump(exclude_unset=True, exclude={"name"})
    settings = {name: patch_of(value) for name, value in given.items() if name not in _DETAILS}
    return settings, {"description": given["description"]} if "description" in given else {}


def whole(patch: RulePatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same without nulls."""
    settings, details = split(patch)
    return tidy(settings), tidy(details)


def shown(resource: Resource, problem: str | None = None) -> RuleShown:
    """A rule as callers read it."""
    settings = resource.settings
    return RuleShown(
        **common(resource),
        name=resource.name,
        description=resource.details.get("description"),
        position=resource.position or 0,
        match=settings.get("match"),
        default=bool(settings.get("default", False)),
        strategy=settings.get("strategy", "priority"),
        targets=settings.get("targets", []),
        settings={name: value for name, value in settings.items() if name not in _SHOWN},
        status=settings.get("status", "active"),
        problem=problem,
    )
