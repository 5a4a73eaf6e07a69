"""What of the configuration an incident names: deployments of a provider, routes that lead to them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.health.incidents import BY_HAND, PROVIDER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.health.incidents import Incident
    from gateway.registry.snapshot import Snapshot


class Layout:
    """One configuration, seen from its providers."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def providers(self) -> Iterable[str]:
        """Those in use."""
        return [provider.name for provider in self._snapshot.providers.values() if provider.status != "inactive"]

    def exists(self, provider: str, subject: str) -> bool:
        """Whether this provider, or its deployment `subject`, is still configured and in use."""
        found = self._snapshot.providers.get(provider)
        if found is None or found.status == "inactive":
            return False
        model = subject.removeprefix(f"{provider}/")
        return subject == PROVIDER or self._snapshot.deployment_for(provider, model) is not None

    def affected(self, incident: Incident) -> list[str]:
        """The deployments that failed; all of the provider's when it failed itself, or a person said so."""
        found = dict.fromkeys(incident.deployments)
        if not incident.parts.keys().isdisjoint((PROVIDER, BY_HAND)):
            of_it = self._snapshot.deployments.values()
            found.update(dict.fromkeys(d.id for d in of_it if d.provider.name == incident.provider))
        return sorted(found)

    def routes(self, deployments: Iterable[str]) -> list[str]:
        """The routes with a target among these, in the order of the file."""
        wanted = set(deployments)
        return [
            route.name
            for route in self._snapshot.routes
            if any(target.deployment.id in wanted for target in route.targets)
        ]
