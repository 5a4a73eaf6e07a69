"""One resource of the database, who changes it, and what a change of several is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.registry.resources.kinds import WITHIN_PROVIDERS, Kind

__all__ = ["WITHIN_PROVIDERS", "Author", "Change", "Kind", "Resource", "Settings", "State"]

Settings = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """A row. Times are Unix seconds."""

    kind: Kind
    id: str
    name: str
    settings: Settings
    """In the notation of the configuration file, without the name. Of a credential: `status`, `references` (setting to
    `env:NAME` or `file:PATH`) and `fields` (the settings that its secret holds, with a hint of each)."""
    details: Settings
    """What only people read."""
    version: int
    created_at: float
    created_by: str
    updated_at: float
    updated_by: str
    observed: Settings = field(default_factory=dict)
    """What was found out about it."""
    provider_id: str | None = None
    position: int | None = None
    secret: str | None = field(default=None, repr=False)
    """Sealed."""
    previous: str | None = field(default=None, repr=False)
    """Sealed: what the last rotation replaced."""
    previous_until: float | None = None

    @property
    def shown(self) -> dict[str, Any]:
        """What a history keeps of it: everything that was decided about it, and nothing secret."""
        found: dict[str, Any] = {
            "name": self.name,
            "settings": dict(self.settings),
            "details": dict(self.details),
            "version": self.version,
        }
        if self.provider_id is not None:
            found["provider_id"] = self.provider_id
        if self.position is not None:
            found["position"] = self.position
        return found


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and from where."""

    name: str
    kind: str = "system"
    """`admin_key`, `user`, `token`, `system`."""
    role: str = ""
    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One resource before and after; None: it was not there."""

    kind: Kind
    before: Resource | None
    after: Resource | None

    @property
    def resource(self) -> Resource:
        """As it is now, or was last."""
        found = self.after or self.before
        assert found is not None
        return found

    @property
    def action(self) -> str:
        """`create`, `update` or `delete`."""
        if self.before is None:
            return "create"
        return "delete" if self.after is None else "update"


@dataclass(frozen=True, slots=True)
class State:
    """Every resource at one revision. Never changed after it is made."""

    revision: int = 0
    resources: Mapping[Kind, Mapping[str, Resource]] = field(default_factory=dict)

    def of(self, kind: Kind) -> Mapping[str, Resource]:
        """All of a kind, by id."""
        return self.resources.get(kind, {})

    def within(self, provider_id: str) -> list[Resource]:
        """The models and credentials of a provider."""
        return [one for kind in WITHIN_PROVIDERS for one in self.of(kind).values() if one.provider_id == provider_id]

    def named(self, kind: Kind, name: str, provider_id: str | None = None) -> Resource | None:
        """The one of this name."""
        found = (one for one in self.of(kind).values() if one.name == name and one.provider_id == provider_id)
        return next(found, None)
