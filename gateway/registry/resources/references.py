"""Who refers to a resource, and what is left of those when it goes. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.registry.resources.errors import Reference
from gateway.registry.resources.records import Kind, Resource, Settings, State

if TYPE_CHECKING:
    from collections.abc import Iterator

FALLBACKS = "fallbacks"


def references_to(state: State, resource: Resource) -> list[Reference]:
    """Everything that belongs to it or names it."""
    found = []
    if resource.kind is Kind.PROVIDER:
        found = [Reference(one.kind, one.id, one.name, "provider_id") for one in state.within(resource.id)]
    for rule in state.of(Kind.RULE).values():
        if rule.id != resource.id:
            found += [Reference(rule.kind, rule.id, rule.name, place) for place in _places(state, rule, resource)]
    return found


def without(state: State, rule: Resource, resource: Resource) -> Resource | None:
    """The rule without what names the resource; None when nothing is left of it."""
    settings = dict(rule.settings)
    if resource.kind is Kind.TEAM:
        return None if _match(settings).get("team") == resource.name else rule
    if resource.kind in (Kind.PROVIDER, Kind.MODEL):
        owner, model = _address(state, resource)
        settings["targets"] = [one for one in _targets(settings) if not _aims(one, owner, model)]
        if not settings["targets"]:
            return None
    kept = {word: name for word, name in _fallbacks(settings).items() if not _leads(state, name, resource)}
    settings.pop(FALLBACKS, None)
    if kept:
        settings[FALLBACKS] = kept
    return replace(rule, settings=settings)


def _places(state: State, rule: Resource, resource: Resource) -> Iterator[str]:
    settings = rule.settings
    if resource.kind is Kind.TEAM:
        if _match(settings).get("team") == resource.name:
            yield "match.team"
        return
    if resource.kind in (Kind.PROVIDER, Kind.MODEL):
        owner, model = _address(state, resource)
        for index, target in enumerate(_targets(settings)):
            if _aims(target, owner, model):
                yield f"targets.{index}"
    for word, name in _fallbacks(settings).items():
        if _leads(state, name, resource):
            yield f"{FALLBACKS}.{word}"


def _address(state: State, resource: Resource) -> tuple[str, str | None]:
    """The names by which rules call a provider, or one of its models."""
    if resource.kind is Kind.PROVIDER:
        return resource.name, None
    owner = state.of(Kind.PROVIDER).get(resource.provider_id or "")
    return owner.name if owner is not None else "", resource.name


def _aims(target: Any, provider: str, model: str | None) -> bool:
    return (
        isinstance(target, dict)
        and target.get("provider") == provider
        and (model is None or target.get("model") == model)
    )


def _leads(state: State, name: Any, resource: Resource) -> bool:
    """Whether a fallback, a rule's name or `provider/model`, leads there."""
    if not isinstance(name, str):
        return False
    if resource.kind is Kind.RULE:
        return name == resource.name
    if resource.kind not in (Kind.PROVIDER, Kind.MODEL) or state.named(Kind.RULE, name) is not None:
        return False
    owner, model = _address(state, resource)
    provider, _, rest = name.partition("/")
    return provider == owner and (model is None or rest == model)


def _targets(settings: Settings) -> list[Any]:
    found = settings.get("targets")
    return found if isinstance(found, list) else []


def _match(settings: Settings) -> dict[str, Any]:
    found = settings.get("match")
    return found if isinstance(found, dict) else {}


def _fallbacks(settings: Settings) -> dict[str, Any]:
    found = settings.get(FALLBACKS)
    return found if isinstance(found, dict) else {}
