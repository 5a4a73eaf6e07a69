"""A checked, interpolated document to one Snapshot. The same data gives the same revision on every worker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gateway.registry.cautions import ca_trouble, cautions, shadowed
from gateway.registry.compile_limits import compile_rule
from gateway.registry.compile_providers import (
    Defaults,
    compile_deployments,
    compile_provider,
    inactive_provider,
    switched_off,
)
from gateway.registry.compile_rules import (
    compile_alerts,
    compile_aliases,
    compile_key,
    compile_route,
    compile_team,
    inactive_key,
    with_fallbacks,
)
from gateway.registry.snapshot import UTC, Snapshot
from gateway.types import Deployment, Provider, Skipped

if TYPE_CHECKING:
    from gateway.addresses import Network
    from gateway.registry.catalogue import Known
    from gateway.registry.interpolation import Interpolated, Managed
    from gateway.registry.problems import Trail
    from gateway.registry.snapshot import Route, VirtualKey

Made = tuple[Provider, tuple[Deployment, ...]]

SCHEMA_VERSION = 4
"""Raised when the same document would compile to something else."""

ABSENT: Mapping[str, str] = MappingProxyType(
    {
        "inactive": "inactive: its provider is not active",
        "testing": "testing: its provider serves only requests that name it",
    }
)
"""Why no route leads to a provider of this status."""


class Memory:
    """Providers with their deployments by what they were made of. Whatever is kept by provider (tokens, heads of
    requests) stays good over a change of another one."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, Made]] = {}
        self._seen: dict[str, tuple[bytes, Made]] = {}

    def made(self, name: str, parts: Any, make: Callable[[], Made]) -> Made:
        """The same as last time if it is made of the same."""
        fingerprint = hashlib.sha256(repr(parts).encode()).digest()
        known = self._known.get(name)
        found = known[1] if known is not None and known[0] == fingerprint else make()
        self._seen[name] = fingerprint, found
        return found

    def turn(self) -> None:
        """One document is compiled: what was not in it is forgotten."""
        self._known, self._seen = self._seen, {}


@dataclass(frozen=True, slots=True)
class Context:
    """What compiling depends on besides the document."""

    dialects: Known | None = None
    """Provider types that this version can speak to; None: all."""
    defaults: Defaults = field(default_factory=Defaults)
    networks: tuple[Network, ...] = ()
    """Private networks that providers of the database may reach."""
    memory: Memory | None = field(default=None, compare=False)
    """What was compiled before: a provider about which nothing changed stays the very same object."""


@dataclass(slots=True)
class _Table:
    providers: dict[str, Provider] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)
    models: dict[str, list[Deployment]] = field(default_factory=dict)
    listing: set[str] = field(default_factory=set)
    off: set[str] = field(default_factory=set)
    """Deployments that are listed and switched off."""
    warnings: list[str] = field(default_factory=list)

    def target(self, provider: str, model: str) -> Deployment | Skipped:
        """A route's deployment: what an active provider lists, or anything at one that lists nothing."""
        owner = self.providers[provider]
        if owner.status != "active":
            return Skipped(f"{provider}/{model}", ABSENT[owner.status])
        found = self.deployments.get(f"{provider}/{model}")
        if found is None and f"{provider}/{model}" in self.off:
            return Skipped(f"{provider}/{model}", "inactive: this model is switched off")
        if found is None:
            found = Deployment(id=f"{provider}/{model}", provider=owner, model=model)
            self.deployments[found.id] = found
        return found


def compile_document(interpolated: Interpolated, context: Context) -> Snapshot:
    """Compile. Raises KeyError, TypeError, ValueError or AttributeError for a document that was never checked."""
    data = interpolated.data
    table = _Table()
    for name, settings in data["providers"].items():
        _add_provider(table, name, settings, interpolated, context)
    listed = data.get("routes", [])
    routes = with_fallbacks([compile_route(item, table.target) for item in listed], listed, table.target)
    compiled = [(route, "match" in item) for route, item in zip(routes, listed, strict=True)]
    table.warnings += [_deserted(route) for route in routes if not route.targets]
    table.warnings += cautions(data["providers"], routes)
    table.warnings += shadowed(routes, listed)
    if context.memory is not None:
        context.memory.turn()
    zone = data.get("zone", UTC)
    keys = {key.name: key for key in _keys(data, interpolated, table, zone)}
    teams = (compile_team(settings, zone) for settings in data.get("teams", []))
    return Snapshot(
        revision=revision(data, context),
        providers=MappingProxyType(table.providers),
        deployments=MappingProxyType(table.deployments),
        routes=tuple(route for route, matches in compiled if matches),
        default=next((route for route, matches in compiled if not matches), None),
        aliases=MappingProxyType(compile_aliases(data.get("aliases", {}))),
        models=MappingProxyType({name: tuple(found) for name, found in table.models.items()}),
        keys=MappingProxyType({key.digest: key.principal for key in keys.values() if key.active}),
        virtual_keys=MappingProxyType(keys),
        teams=MappingProxyType({team.name: team for team in teams}),
        limits=tuple(compile_rule(settings, zone) for settings in data.get("limits", [])),
        alerts=compile_alerts(data.get("alerts", {})),
        zone=zone,
        warnings=tuple(table.warnings),
        listing=frozenset(table.listing),
    )


def revision(data: Any, context: Context) -> str:
    """A short hash of everything that decides how requests are handled."""
    text = json.dumps([SCHEMA_VERSION, astuple(context.defaults), data])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _add_provider(
    table: _Table, name: str, settings: dict[str, Any], interpolated: Interpolated, context: Context
) -> None:
    unset, managed = _unset(interpolated.missing, ("providers", name)), interpolated.managed.get(name)
    if unset:
        table.warnings.append(f"provider `{name}` is inactive: {_are_unset(unset)}")
    if unset or settings.get("status") == "inactive":
        table.providers[name] = inactive_provider(name, settings, context.dialects)
        return
    provider, deployments = _made(name, settings, managed, context)
    if managed is not None:
        table.warnings += [f"provider `{name}`: {reason}" for reason in managed.broken]
    if context.dialects is not None and provider.type not in context.dialects:
        table.warnings.append(f"provider `{name}` is inactive: type `{provider.type}` is not served by this version")
        table.providers[name] = inactive_provider(name, settings, context.dialects)
        return
    table.providers[name] = provider
    if provider.ca_file is not None and (trouble := ca_trouble(provider.ca_file)):
        table.warnings.append(f"provider `{name}`: its ca_file {trouble}, so no connection to it is trusted")
    if off := switched_off(settings):
        table.off |= {f"{name}/{model}" for model in off}
        table.listing.add(name)
    for deployment in deployments:
        table.deployments[deployment.id] = deployment
        if not provider.fetch_models:
            table.listing.add(name)
        if provider.status == "active":
            table.models.setdefault(deployment.model, []).append(deployment)


def _made(name: str, settings: dict[str, Any], managed: Managed | None, context: Context) -> Made:
    def make() -> Made:
        provider = compile_provider(name, settings, context.dialects, context.defaults, managed)
        return provider, tuple(compile_deployments(provider, settings))

    if context.memory is None:
        return make()
    spare = () if managed is None else managed.spare_keys  # no repr shows them
    return context.memory.made(name, (settings, managed, spare, context.defaults), make)


def _keys(data: dict[str, Any], interpolated: Interpolated, table: _Table, zone: str) -> list[VirtualKey]:
    keys = []
    for index, settings in enumerate(data.get("keys", [])):
        unset = _unset(interpolated.missing, ("keys", index))
        if unset:
            table.warnings.append(f"key `{settings.get('name', index)}` is inactive: {_are_unset(unset)}")
        keys.append(inactive_key(settings) if unset else compile_key(settings, zone))
    return keys


def _unset(missing: Mapping[Trail, str], prefix: Trail) -> list[str]:
    return sorted({name for trail, name in missing.items() if trail[:2] == prefix})


def _are_unset(names: list[str]) -> str:
    return f"{names[0]} is not set" if len(names) == 1 else f"{', '.join(names)} are not set"


def _deserted(route: Route) -> str:
    return f"route `{route.name}` has no target at an active provider; what it matches is refused"
