"""Models that providers list themselves, joined to those that are configured. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway.types import Deployment, Provider

if TYPE_CHECKING:
    from gateway.registry.snapshot import Snapshot

Lists = Mapping[str, tuple[str, ...]]
"""The models of each provider, by its identity."""
NOTHING: Mapping[str, Deployment] = MappingProxyType({})


def identity(provider: Provider) -> str:
    """What a list belongs to: another address under the same name is another provider."""
    return sha256("\0".join((provider.name, provider.type, provider.base_url)).encode()).hexdigest()[:24]


def fetching(snapshot: Snapshot) -> dict[str, Provider]:
    """Who is to be asked, by identity."""
    providers = (p for p in snapshot.providers.values() if p.fetch_models and p.status != "inactive")
    return {identity(provider): provider for provider in providers}


def with_fetched(snapshot: Snapshot, lists: Lists, known: Mapping[str, Deployment] = NOTHING) -> Snapshot:
    """The snapshot and what its providers list: what is configured keeps its place and its settings, the rest follows
    in the order of the file. Deployments of `known` are used again where nothing about them has changed.
    """
    deployments = dict(snapshot.deployments)
    models = dict(snapshot.models)
    for key, provider in fetching(snapshot).items():
        for name in lists.get(key, ()):
            found = deployments.get(f"{provider.name}/{name}") or _made(provider, name, known)
            deployments[found.id] = found
            if provider.status == "active" and found not in models.get(name, ()):
                models[name] = (*models.get(name, ()), found)
    if len(deployments) == len(snapshot.deployments) and models == snapshot.models:
        return snapshot
    return replace(snapshot, deployments=MappingProxyType(deployments), models=MappingProxyType(models))


def _made(provider: Provider, name: str, known: Mapping[str, Deployment]) -> Deployment:
    before = known.get(f"{provider.name}/{name}")
    if before is not None and before.provider is provider:
        return before
    return Deployment(
        f"{provider.name}/{name}", provider, name, capabilities=provider.capabilities, traits=provider.traits
    )
