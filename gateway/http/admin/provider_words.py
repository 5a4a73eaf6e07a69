"""Between a provider of the admin API and one of the configuration file. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.http.admin.provider_shapes import ProviderPatch, ProviderShown, Runtime, TestResult
from gateway.http.admin.resource_shapes import common, patch_of, tidy

if TYPE_CHECKING:
    from gateway.registry.resources.records import Resource

RUNTIME = tuple(Runtime.model_fields)
_DETAILS = ("name", "description", "auth_method", "auth_config", "service_types")
_SETTINGS = ("type", "base_url", "headers", "status")
_OWN_PLACE = frozenset({*RUNTIME, *_SETTINGS, "capabilities"})
_CAPABLE = ("tools", "vision", "json_schema")
"""Answers of yes or no that are words of routing, too."""


def split(patch: ProviderPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and details that were named; null removes."""
    given = patch.model_dump(exclude_unset=True)
    settings: dict[str, Any] = {name: patch_of(given[name]) for name in _SETTINGS if name in given}
    details: dict[str, Any] = {name: patch_of(given[name]) for name in _DETAILS if name in given}
    if "runtime" in given:
        runtime = given["runtime"]
        settings |= dict.fromkeys(RUNTIME) if runtime is None else {name: patch_of(runtime[name]) for name in runtime}
    settings |= patch_of(given.get("options") or {})
    if "capabilities" in given:
        stated = given["capabilities"]
        details["capabilities"] = None if stated is None else tidy(stated)
        settings["capabilities"] = None if stated is None else _words(stated) or None
    return settings, details


def whole(patch: ProviderPatch) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same without nulls: for a provider that is made, or made anew."""
    settings, details = split(patch)
    return tidy(settings), tidy(details)


def _words(stated: dict[str, Any]) -> list[str]:
    named = list(stated.get("words") or [])
    return list(dict.fromkeys([*named, *(word for word in _CAPABLE if stated.get(word) and word not in named)]))


def shown(resource: Resource, *, models: int = 0, credentials: int = 0, problem: str | None = None) -> ProviderShown:
    """A provider as callers read it."""
    settings, details, observed = resource.settings, resource.details, resource.observed
    found = observed.get("test")
    test = None if found is None else TestResult.model_validate(found)
    return ProviderShown(
        **common(resource),
        identifier=resource.name,
        name=details.get("name") or resource.name,
        description=details.get("description"),
        type=str(settings.get("type", "")),
        base_url=settings.get("base_url"),
        auth_method=details.get("auth_method"),
        auth_config=details.get("auth_config"),
        service_types=details.get("service_types") or [],
        capabilities=_capabilities(resource),
        runtime={name: settings[name] for name in RUNTIME if name in settings},
        options={name: value for name, value in settings.items() if name not in _OWN_PLACE},
        headers={name: str(value) for name, value in (settings.get("headers") or {}).items()},
        status=settings.get("status", "active"),
        models=models,
        credentials=credentials,
        problem=problem,
        verification_status="unverified" if test is None else "verified" if test.ok else "failed",
        last_tested=None if test is None else test.at,
        test_result=test,
    )


def _capabilities(resource: Resource) -> dict[str, Any]:
    stated = resource.details.get("capabilities")
    if stated is not None:
        return dict(stated)
    words = resource.settings.get("capabilities")
    return {} if words is None else {"words": [words] if isinstance(words, str) else words}
