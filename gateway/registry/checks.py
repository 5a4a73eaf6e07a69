"""What must hold between resources: names are unique, every reference leads somewhere. Pure; tolerates wrong types."""

from __future__ import annotations

import hashlib
import re
from fnmatch import translate
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from gateway.registry.catalogue import provider_type
from gateway.registry.problems import CUT, HINT, Fault, did_you_mean, shown
from gateway.registry.scalars import is_on

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from gateway.registry.problems import Trail

Document = dict[str, Any]
_LISTS = ("routes", "keys", "teams", "limits")
WILD = re.compile(r"[*?\[]")
_STEPS = 10
"""Of a circle, those that are told."""


def cross_faults(data: Any) -> list[Fault]:
    """Every duplicate and dangling reference of an interpolated document."""
    if not isinstance(data, dict):
        return []
    found = [fault for name in _LISTS for fault in _duplicate_names(data, name)]
    found += _duplicate_models(providers(data))
    found += _health_models(providers(data))
    found += _duplicate_secrets(data)
    found += _route_references(data)
    found += _fallback_references(data)
    found += _team_references(data)
    return found


class Named:
    """What a document names, looked up once: references are many in a large one."""

    def __init__(self, data: Document) -> None:
        known = providers(data)
        self.providers = known
        self.keys, self.teams = names_of(data, "keys"), names_of(data, "teams")
        self.listed = {provider: listed_models(settings) for provider, settings in known.items()}
        self.models = frozenset().union(*(bare_names(known[name], self.listed[name]) for name in known))
        """Every bare name that some provider lists, or that its type does when it lists none."""
        patterns = {pattern for _, route in entries(data, "routes") for pattern in _patterns(route)}
        self._globs: dict[str, list[re.Pattern[str]]] = {}
        """By what everything begins with that fits: there may be thousands."""
        for pattern in patterns:
            if WILD.search(pattern):
                self._globs.setdefault(start_of(pattern), []).append(re.compile(translate(pattern)))
        self._routed = patterns
        self._resolved: dict[str, bool] = {}
        self._data = data

    def serves(self, provider: str, model: str) -> bool:
        """Whether a provider has this model, or may have it."""
        models = self.listed.get(provider)
        return provider in self.listed and (models is None or model in models)

    def are_one(self, model: str, other: str) -> bool:
        """Whether two names, or what they are aliases for, are the same."""
        return unaliased(self._data, model) == unaliased(self._data, other)

    def resolves(self, model: str) -> bool:
        """Whether a route, a provider's qualified name or a bare name may serve this model, or the one it is an alias
        for."""
        model = unaliased(self._data, model)
        found = self._resolved.get(model)
        if found is None:
            provider, _, rest = model.partition("/")
            found = self._resolved[model] = (
                model in self.models
                or model in self._routed
                or (bool(rest) and self.serves(provider, rest))
                or any(glob.match(model) for glob in self._globs_for(model))
            )
        return found

    def _globs_for(self, model: str) -> Iterator[re.Pattern[str]]:
        return chain.from_iterable(self._globs.get(model[:end], ()) for end in range(len(model) + 1))


def _patterns(route: dict[str, Any]) -> list[str]:
    match = route.get("match")
    patterns = match.get("model", "*") if isinstance(match, dict) else "*"
    return [one for one in (patterns if isinstance(patterns, list) else [patterns]) if isinstance(one, str)]


def listed_models(settings: Any) -> frozenset[str] | None:
    """The models a provider lists; None when it may have others too."""
    if not isinstance(settings, dict) or is_on(settings.get("fetch_models")):
        return None
    models = settings.get("models")
    if not isinstance(models, list | dict) or not models:
        return None
    return frozenset(name for name in models if isinstance(name, str))


def entries(data: Document, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The well-formed items of a top-level list, with their positions."""
    items = data.get(name)
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            yield index, item


def start_of(pattern: str) -> str:
    """What everything begins with that fits it."""
    return WILD.split(pattern, maxsplit=1)[0]


def each(value: Any, trail: Trail) -> Iterator[tuple[Trail, str]]:
    """The texts of a setting that takes one or a list of them, each with its place."""
    places = [((*trail, at), one) for at, one in enumerate(value)] if isinstance(value, list) else [(trail, value)]
    return ((place, one) for place, one in places if isinstance(one, str))


def providers(data: Document) -> dict[str, Any]:
    """The providers by name, or nothing."""
    found = data.get("providers")
    return found if isinstance(found, dict) else {}


def has_providers(data: Document) -> bool:
    """Without any, which is a fault of its own, nothing is told of references to them."""
    return bool(providers(data))


def _duplicate_names(data: Document, name: str) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, item in entries(data, name):
        given = item.get("name")
        if not isinstance(given, str):
            continue
        if given in seen:
            message = f"the name {shown(given)} is taken by {name}[{seen[given]}] already (choose another)"
            yield Fault((name, index, "name"), message)
        seen.setdefault(given, index)


def _duplicate_models(listing: Mapping[str, Any]) -> Iterator[Fault]:
    for provider, settings in listing.items():
        models = settings.get("models") if isinstance(settings, dict) else None
        seen: set[str] = set()
        for index, model in enumerate(models if isinstance(models, list) else ()):
            if isinstance(model, str) and model in seen:
                yield Fault(("providers", provider, "models", index), f"{shown(model)} is listed twice (remove one)")
            elif isinstance(model, str):
                seen.add(model)


def _health_models(found: dict[str, Any]) -> Iterator[Fault]:
    for name, settings in found.items():
        check = settings.get("health_check") if isinstance(settings, dict) else None
        model = check.get("model") if isinstance(check, dict) else None
        models = listed_models(settings)
        if models is not None and isinstance(model, str) and model not in models:
            hint = did_you_mean(model, sorted(models))
            message = f"the provider {shown(name)} lists no model {shown(model)}{hint} (list it there, or correct it)"
            yield Fault(("providers", name, "health_check", "model"), message)


def _duplicate_secrets(data: Document) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, key in entries(data, "keys"):
        secret, digest = key.get("secret"), key.get("secret_hash")
        if isinstance(secret, str):
            digest = hashlib.sha256(secret.encode()).hexdigest()
        if not isinstance(digest, str):
            continue
        digest = digest.removeprefix("sha256:").lower()
        if digest in seen:
            yield Fault(
                ("keys", index), f"this key has the same secret as keys[{seen[digest]}] (create another secret)"
            )
        seen.setdefault(digest, index)


def _route_references(data: Document) -> Iterator[Fault]:
    named = Named(data)
    for index, route in entries(data, "routes"):
        match = route.get("match")
        if isinstance(match, dict):
            yield from _reference(match, "team", named.teams, ("routes", index, "match"))
            yield from _reference(match, "key", named.keys, ("routes", index, "match"))
        targets = route.get("targets") if has_providers(data) else None
        for position, target in enumerate(targets if isinstance(targets, list) else ()):
            if isinstance(target, dict):
                yield from _target(named, target, ("routes", index, "targets", position))


def _target(named: Named, target: dict[str, Any], trail: Trail) -> Iterator[Fault]:
    provider, model = target.get("provider"), target.get("model")
    if not isinstance(provider, str):
        return
    if provider not in named.providers:
        yield from _reference(target, "provider", named.providers, trail)
        return
    models = named.listed[provider]
    if models is not None and isinstance(model, str) and model not in models:
        message = f"the provider {shown(provider)} lists no model {shown(model)}{HINT} (list it there, or correct it)"
        yield Fault((*trail, "model"), message, hint=partial(_nearest, model, models))


def _fallback_references(data: Document) -> Iterator[Fault]:
    named = {
        route["name"]: route["fallbacks"] if isinstance(route.get("fallbacks"), dict) else {}
        for _, route in entries(data, "routes")
        if isinstance(route.get("name"), str)
    }
    circles: dict[str, frozenset[str]] = {}
    for index, route in entries(data, "routes"):
        fallbacks = route.get("fallbacks")
        for word, reference in fallbacks.items() if isinstance(fallbacks, dict) else ():
            if isinstance(reference, str) and isinstance(word, str):
                trail: Trail = ("routes", index, "fallbacks", word)
                if reference in named:
                    if word not in circles:
                        circles[word] = _circles(named, word)
                    if route.get("name") in circles[word]:
                        told = f"this leads back to where it came from: {HINT} (name another route, or remove it)"
                        yield Fault(trail, told, hint=partial(_way, named, route["name"], word))
                elif has_providers(data):
                    yield from _fallback_model(data, reference, list(named), trail)


def _circles(named: Mapping[str, Any], word: str) -> frozenset[str]:
    """The routes to which this kind of failure comes back. Each is looked at once."""
    found: set[str] = set()
    seen: set[str] = set()
    for start in named:
        way: dict[str, int] = {}
        at: Any = start
        while isinstance(at, str) and at in named and at not in seen:
            seen.add(at)
            way[at] = len(way)
            at = named[at].get(word)
        if isinstance(at, str) and at in way:
            found.update(list(way)[way[at] :])
    return frozenset(found)


def _way(named: Mapping[str, Any], start: str, word: str) -> str:
    """From a route of a circle back to it; of a long way its first steps."""
    way, at = [start], named[start][word]
    while at != start and len(way) < _STEPS:
        way.append(at)
        at = named[at][word]
    return " → ".join([*way, *(() if at == start else (CUT,)), start])


def _fallback_model(data: Document, reference: str, routes: list[str], trail: Trail) -> Iterator[Fault]:
    known = providers(data)
    provider, _, model = reference.partition("/")
    if provider in known and model:
        models = listed_models(known[provider])
        if models is not None and model not in models:
            hint = did_you_mean(model, sorted(models))
            yield Fault(trail, f"the provider {shown(provider)} lists no model {shown(model)}{hint} (list it there)")
        return
    qualified = [f"{name}/{model}" for name, settings in known.items() for model in listed_models(settings) or ()]
    hint = did_you_mean(reference, [*routes, *qualified])
    yield Fault(trail, f"there is no route {shown(reference)}{hint} (name a route, or a model as provider/model)")


def _team_references(data: Document) -> Iterator[Fault]:
    teams = names_of(data, "teams")
    for index, key in entries(data, "keys"):
        yield from _reference(key, "team", teams, ("keys", index))


def _nearest(word: str, known: Collection[str]) -> str:
    return did_you_mean(word, sorted(known))


def _reference(item: dict[str, Any], kind: str, known: Mapping[str, Any], trail: Trail) -> Iterator[Fault]:
    name = item.get(kind)
    if isinstance(name, str) and name not in known:
        yield unknown(kind, name, known, (*trail, kind))


def unknown(kind: str, name: str, known: Collection[str], trail: Trail) -> Fault:
    """A reference to a provider, key or team that nobody declares."""
    message = f"there is no {kind} {shown(name)}{HINT} (declare it under `{kind}s`, or correct it)"
    return Fault(trail, message, hint=partial(did_you_mean, name, known))


def names_of(data: Document, name: str) -> dict[str, None]:
    """The names in a top-level list, in its order."""
    return {item["name"]: None for _, item in entries(data, name) if isinstance(item.get("name"), str)}


def unaliased(data: Document, model: str) -> str:
    """What an alias leads to in the end; of a circle any member."""
    aliases = data.get("aliases")
    seen: set[str] = set()
    while isinstance(aliases, dict) and model not in seen and isinstance(aliases.get(model), str):
        seen.add(model)
        model = aliases[model]
    return model


def bare_names(settings: Any, models: frozenset[str] | None) -> frozenset[str]:
    """The names that a provider lists, or that its type does when it lists none."""
    kind = provider_type(settings.get("type")) if isinstance(settings, dict) and models is None else None
    return models or frozenset(() if kind is None else kind.models)
