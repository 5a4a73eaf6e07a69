"""What can be done to resources. Several operations of one change hold together or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.registry.resources.records import Kind, Settings


@dataclass(frozen=True, slots=True)
class Create:
    """A new resource. `provider` (an id) is for models and credentials; `position` for rules (None: the last place)."""

    kind: Kind
    name: str
    settings: Settings = field(default_factory=dict)
    details: Settings = field(default_factory=dict)
    provider: str | None = None
    position: int | None = None
    secret: Mapping[str, str] | None = field(default=None, repr=False)
    """Of a credential: the settings of the provider that it holds (`api_key`; `header:x-key` is a header), in plain."""
    id: str | None = None
    """Of a resource that comes back; else a new one is made."""


@dataclass(frozen=True, slots=True)
class Update:
    """Other settings or details: `merge` puts the given ones over those that are there, as JSON Merge Patch does
    (RFC 7396: null removes), else they replace them. `version`: only if it is still this one."""

    kind: Kind
    id: str
    settings: Settings | None = None
    details: Settings | None = None
    merge: bool = True
    name: str | None = None
    position: int | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Rotate:
    """Another secret of a credential. The present one serves for `overlap` seconds more if the new one is refused."""

    id: str
    secret: Mapping[str, str] | None = field(default=None, repr=False)
    references: Mapping[str, str] = field(default_factory=dict)
    overlap: float = 0.0
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove it. `cascade`: with everything that belongs to it or refers to it, instead of being refused."""

    kind: Kind
    id: str
    version: int | None = None
    cascade: bool = False


@dataclass(frozen=True, slots=True)
class Reorder:
    """The routing rules in another order. `ids` names each of them once."""

    ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class Held:
    """A resource at an earlier revision. `shown` as `Resource.shown`; None: it was not there."""

    kind: Kind
    id: str
    shown: Settings | None
    version: int = 0
    """The last one it had, which what comes back counts on from."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Every resource that differs from an earlier revision, back to it at once. They held together then, so neither
    names nor references are judged on the way. Only a history makes one."""

    resources: Sequence[Held]


Operation = Create | Update | Rotate | Delete | Reorder | Restore


def merged(before: Settings, patch: Settings) -> dict[str, Any]:
    """JSON Merge Patch."""
    result = dict(before)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            there = result.get(name)
            result[name] = merged(there if isinstance(there, Mapping) else {}, value)
        else:
            result[name] = value
    return result
