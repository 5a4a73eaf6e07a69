"""Which dialect an attempt speaks: the deployment's own, or its own behind bridges. Decided once per deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.bridges.dialect import BridgedDialect
from gateway.bridges.surfaces import SERVICES, surface_of, surfaces_of
from gateway.bridges.table import BRIDGES
from gateway.ports import Bridge, ChatCountingDialect, CountingDialect, Dialect
from gateway.providers.messages.passing import COUNT_TOKENS
from gateway.types import Call, Deployment, Service, Surface

MAX_CHOSEN = 8192
_CHAT = frozenset({Surface.CHAT})


class Speakers:
    """Finds who speaks. Keeps what it found: a new snapshot brings new deployments, so that is bounded."""

    def __init__(self, dialects: Mapping[str, Dialect], bridges: Sequence[Bridge] = BRIDGES) -> None:
        self._dialects = dialects
        self._bridges = bridges
        self._bridged: dict[tuple[str, tuple[Surface, ...]], Dialect] = {}
        self._chosen: dict[tuple[Deployment, str], Dialect] = {}

    def of(self, call: Call, deployment: Deployment) -> Dialect:
        """Who speaks for this call to this deployment, which serves it. Raises LookupError for one that does not."""
        chosen = self._chosen.get((deployment, call.path))
        if chosen is None:
            chosen = self.find(call.service, call.path, deployment)
            if chosen is None:
                raise LookupError(deployment.id)
            if len(self._chosen) >= MAX_CHOSEN:
                self._chosen.clear()
            self._chosen[(deployment, call.path)] = chosen
        return chosen

    def find(self, service: Service, path: str, deployment: Deployment) -> Dialect | None:
        """As `of`; None where nobody does."""
        dialect = self._dialects.get(deployment.provider.type)
        if dialect is None:
            return None
        surface = surface_of(service, path)
        if path == COUNT_TOKENS and _counts_chats(dialect, deployment):
            return self._along(dialect, (self._way(Surface.MESSAGES, _CHAT) or ()))
        if surface is None:
            return dialect if service in dialect.services else None
        way = self._way(surface, surfaces_of(dialect, deployment))
        return None if way is None else self._along(dialect, way)

    def counts(self, deployment: Deployment) -> bool:
        """Whether its provider can be asked how many tokens a message has."""
        dialect = self._dialects.get(deployment.provider.type)
        return dialect is not None and (_counts_messages(dialect, deployment) or _counts_chats(dialect, deployment))

    def services(self, deployment: Deployment) -> frozenset[Service]:
        """Everything that this deployment's provider serves, natively or through bridges."""
        dialect = self._dialects.get(deployment.provider.type)
        if dialect is None:
            return frozenset()
        native = surfaces_of(dialect, deployment)
        spoken = {SERVICES[surface] for surface in Surface if self._way(surface, native) is not None}
        return (dialect.services - {Service.CHAT, Service.RESPONSES}) | spoken

    def asked(self, call: Call, deployment: Deployment) -> Surface | None:
        """The surface by which the provider is asked where that is another than the call's; else None."""
        dialect = self._dialects.get(deployment.provider.type)
        surface = surface_of(call.service, call.path)
        if dialect is None or surface is None:
            return None
        way = self._way(surface, surfaces_of(dialect, deployment))
        return way[-1].asked if way else None

    def _way(self, spoken: Surface, native: frozenset[Surface]) -> tuple[Bridge, ...] | None:
        """The fewest bridges from what the client speaks to what the deployment has; None where none leads there."""
        ways: list[tuple[Surface, tuple[Bridge, ...]]] = [(spoken, ())]
        seen = {spoken}
        for surface, way in ways:  # grows while it is read: breadth first
            if surface in native:
                return way
            for bridge in self._bridges:
                if bridge.spoken is surface and bridge.asked not in seen:
                    seen.add(bridge.asked)
                    ways.append((bridge.asked, (*way, bridge)))
        return None

    def _along(self, dialect: Dialect, way: tuple[Bridge, ...]) -> Dialect:
        """The dialect behind these bridges, the client's first; one object for all deployments of a type."""
        if not way:
            return dialect
        key = (dialect.name, (way[0].spoken, *(bridge.asked for bridge in way)))
        found = self._bridged.get(key)
        if found is None:
            found = dialect
            for bridge in reversed(way):
                found = BridgedDialect(found, bridge)
            self._bridged[key] = found
        return found


def _counts_messages(dialect: Dialect, deployment: Deployment) -> bool:
    return isinstance(dialect, CountingDialect) and dialect.counts(deployment)


def _counts_chats(dialect: Dialect, deployment: Deployment) -> bool:
    return isinstance(dialect, ChatCountingDialect) and dialect.counts_chats(deployment)
