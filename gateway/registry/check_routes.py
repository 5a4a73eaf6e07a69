"""What must hold of aliases, and between routes. Pure; tolerates wrong types."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.registry.checks import Named, entries, has_providers, unaliased
from gateway.registry.problems import HINT, Fault, did_you_mean, shown
from gateway.registry.scalars import is_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.registry.checks import Document


def route_faults(data: Any) -> list[Fault]:
    """Every alias that leads nowhere or hides a route, and every default route after the first."""
    if not isinstance(data, dict):
        return []
    return [*_alias_faults(data), *_second_defaults(data)]


def _alias_faults(data: Document) -> Iterator[Fault]:
    aliases = data.get("aliases")
    if not isinstance(aliases, dict):
        return
    named = Named(data)
    for name, target in aliases.items():
        if not isinstance(name, str) or not isinstance(target, str):
            continue
        end = unaliased(data, name)
        if end in aliases:
            yield Fault(("aliases", name), f"the alias {shown(name)} leads in a circle (name a model)")
        elif has_providers(data) and not named.resolves(end):
            message = f"no route and no provider has a model {shown(end)}{HINT} (name one that is configured)"
            yield Fault(("aliases", name), message, hint=partial(_nearest_model, data, named, end))
    for index, route in entries(data, "routes"):
        for model in _models(route):
            if model in aliases:
                message = f"{shown(model)} is an alias too, so no request gets here by it (remove one of the two)"
                yield Fault(("routes", index, "match", "model"), message)


def _nearest_model(data: Document, named: Named, model: str) -> str:
    return did_you_mean(model, [*sorted(named.models), *_route_models(data)])


def _second_defaults(data: Document) -> Iterator[Fault]:
    found = [(index, route) for index, route in entries(data, "routes") if is_on(route.get("default"))]
    for index, _ in found[1:]:
        first = str(found[0][1].get("name", found[0][0]))
        message = f"there is a default route already, {shown(first)} (only one can be for all the rest)"
        yield Fault(("routes", index, "default"), message)


def _route_models(data: Document) -> list[str]:
    return [model for _, route in entries(data, "routes") for model in _models(route)]


def _models(route: Document) -> list[str]:
    match = route.get("match")
    models = match.get("model") if isinstance(match, dict) else None
    return [model for model in (models if isinstance(models, list) else [models]) if isinstance(model, str)]
