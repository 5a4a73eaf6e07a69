"""Teams and limits as callers of the admin API write and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, JsonValue

from gateway.http.admin.key_shapes import LimitsGiven, Quotas
from gateway.http.admin.resource_shapes import ResourceShown, common, patch_of, tidy
from gateway.http.admin.rule_shapes import RuleName
from gateway.http.admin.shapes import Given, LongText, ShortText

if TYPE_CHECKING:
    from gateway.registry.resources.records import Resource

Scope = Literal["global", "user", "key", "team", "model", "provider", "deployment"]


class TeamPatch(Given):
    """Settings of a team."""

    description: LongText | None = None
    limits: LimitsGiven | None = Field(None, description="What the team may use per period.")
    quotas: Quotas | None = Field(None, description="What the team may use up.")


class TeamDraft(TeamPatch):
    """A new team."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "research", "limits": {"requests": "1000/min"}, "quotas": [{"period": "day", "tokens": "5M"}]}
            ]
        }
    )

    name: RuleName


class TeamShown(ResourceShown):
    """A team: keys that share limits and quotas."""

    name: str
    description: str | None
    limits: JsonValue
    quotas: JsonValue
    problem: str | None


class LimitPatch(LimitsGiven):
    """Settings of a limit."""

    description: LongText | None = None
    scope: Scope | None = Field(None, description="global: all requests together. Else: each user, key, … by itself.")
    only: Annotated[list[ShortText], Field(min_length=1, max_length=500)] | None = Field(
        None, description="Globs of the members it is for; omitted: all."
    )
    quotas: Quotas | None = Field(None, description="What each member may use up.")


class LimitDraft(LimitPatch):
    """A new limit."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "per-user", "scope": "user", "tokens": "50k/min"}]}
    )

    name: RuleName
    scope: Scope = Field(description="global: all requests together. Else: each user, key, … by itself.")


class LimitShown(ResourceShown):
    """A limit, or quotas, beyond those of keys and teams."""

    name: str
    description: str | None
    scope: str
    only: list[str] | None
    requests: JsonValue
    tokens: JsonValue
    concurrency: JsonValue
    on_store_failure: str
    quotas: JsonValue
    problem: str | None


def split(patch: TeamPatch | LimitPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and details that were named; null removes."""
    given = patch.model_dump(exclude_unset=True, exclude={"name", "description"})
    settings = {name: patch_of(value) for name, value in given.items()}
    return settings, {"description": patch.description} if "description" in patch.model_fields_set else {}


def whole(patch: TeamPatch | LimitPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same without nulls."""
    settings, details = split(patch)
    return tidy(settings), tidy(details)


def team_shown(resource: Resource, problem: str | None = None) -> TeamShown:
    """A team as callers read it."""
    return TeamShown(
        **common(resource),
        name=resource.name,
        description=resource.details.get("description"),
        limits=resource.settings.get("limits") or {},
        quotas=resource.settings.get("quotas") or [],
        problem=problem,
    )


def limit_shown(resource: Resource, problem: str | None = None) -> LimitShown:
    """A limit as callers read it."""
    settings = resource.settings
    only = settings.get("only")
    return LimitShown(
        **common(resource),
        name=resource.name,
        description=resource.details.get("description"),
        scope=str(settings.get("scope", "")),
        only=[only] if isinstance(only, str) else only,
        requests=settings.get("requests"),
        tokens=settings.get("tokens"),
        concurrency=settings.get("concurrency"),
        on_store_failure=settings.get("on_store_failure", "bounded"),
        quotas=settings.get("quotas") or [],
        problem=problem,
    )
