"""What a document declares and nothing in it comes to: each a warning. Pure; for checked documents."""

from __future__ import annotations

import re
from fnmatch import translate
from functools import partial
from typing import TYPE_CHECKING

from gateway.registry.cautions import Takers
from gateway.registry.check_limits import every_quota, switched_to
from gateway.registry.checks import WILD, Named, bare_names, each, entries, providers, start_of
from gateway.registry.problems import HINT, Fault, did_you_mean, shown
from gateway.registry.scalars import is_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.registry.checks import Document

_GLOBS = 100
"""Patterns of keys that are compared with every name: a file may have thousands of both."""


def unused(data: Document) -> Iterator[Fault]:
    """Models of keys that nothing is called by, and providers that only requests get to that name them."""
    named = Named(data)
    yield from _unknown_models(data, named)
    yield from _deserted(data, named)


def _unknown_models(data: Document, named: Named) -> Iterator[Fault]:
    names = _Names(data, named)
    for index, key in entries(data, "keys"):
        for trail, model in each(key.get("models"), ("keys", index, "models")):
            if not names.may_have(model):
                verb = "fits" if WILD.search(model) else "is called"
                yield Fault(
                    trail,
                    f"no model, alias or route here {verb} {shown(model)}{HINT} ({names.advice(model)})",
                    hint=partial(names.nearest, model),
                )


class _Names:
    """What requests may ask for: names, and how others begin that are not known."""

    def __init__(self, data: Document, named: Named) -> None:
        self._named = named
        self._known = {*named.models, *data.get("aliases", {})}
        self._known |= {f"{name}/{model}" for name, models in named.listed.items() for model in models or ()}
        self._open = [name for name, models in named.listed.items() if models is None]
        self._openings = {f"{name}/" for name in self._open}
        for pattern in (model for _, route in entries(data, "routes") for model in _models(route)):
            if WILD.search(pattern):
                self._openings.add(start_of(pattern))
            else:
                self._known.add(pattern)
        self._fetched = any(is_on(settings.get("fetch_models")) for settings in providers(data).values())
        self._globs: dict[str, bool] = {}

    def may_have(self, model: str) -> bool:
        """Whether a request may ask for something that this name or pattern allows; in doubt it may."""
        if self._fetched:
            return True
        if not WILD.search(model):
            return self._named.resolves(model)
        if model not in self._globs:
            if len(self._globs) >= _GLOBS:
                return True
            self._globs[model] = self._fits(model)
        return self._globs[model]

    def _fits(self, glob: str) -> bool:
        start, matches = start_of(glob), re.compile(translate(glob)).match
        if any(opening.startswith(start) or start.startswith(opening) for opening in self._openings):
            return True
        return any(matches(name) for name in self._known)

    def advice(self, model: str) -> str:
        """What to do where a request may not. At its own path a provider that lists nothing takes any name."""
        if not self._open:
            return "add it, or remove it here"
        one = shown(f"{self._open[0]}/{model}")
        return (
            f"list it at its provider, or write {one}: without either only requests to a provider's own path get there"
        )

    def nearest(self, model: str) -> str:
        """A hint at what was meant."""
        return did_you_mean(model, sorted(self._known))


def _deserted(data: Document, named: Named) -> Iterator[Fault]:
    """Active providers that are no target, and all of whose models some route takes before them."""
    wanted, takers = _wanted(data), Takers()
    for index, route in entries(data, "routes"):
        if set(route.get("match", {})) == {"model"}:
            takers.add(str(route.get("name", index)), _models(route))
    for name, settings in providers(data).items():
        if name in wanted or settings.get("status", "active") != "active":
            continue
        models = named.listed[name]
        asked = sorted(models or {f"{name}/*", *bare_names(settings, models)})
        taking = [takers.of(model) for model in asked]
        if None not in taking:
            first = " and ".join(shown(route) for route in dict.fromkeys(filter(None, taking)))
            message = (
                f"only requests that name the provider {shown(name)} get there: no route has it as a target, and "
                f"its models are taken before it by {first} (give a route a target there, or remove the provider)"
            )
            yield Fault(("providers", name), message, at_key=True)


def _wanted(data: Document) -> set[str]:
    """The providers that something in the document leads to by their names."""
    targets = {str(target["provider"]) for _, route in entries(data, "routes") for target in route["targets"]}
    names = [*data.get("aliases", {}).values()]
    names += [reference for _, route in entries(data, "routes") for reference in route.get("fallbacks", {}).values()]
    names += [model for _, key in entries(data, "keys") for _, model in each(key.get("models"), ())]
    names += filter(None, [switched_to(quota) for _, _, _, quota in every_quota(data)])
    return targets | {name.partition("/")[0] for name in names}


def _models(route: Document) -> list[str]:
    """What a route is for; one that asks for no model is for all."""
    return [model for _, model in each(route.get("match", {}).get("model", "*"), ())]
