"""The file's document and the database's fragment as one document that remembers what came from where. Pure.

It is merged behind the file's interpolation: nothing that the database says is ever taken for a `${VAR}`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.registry.catalogue import provider_type, secret_settings, unmet
from gateway.registry.interpolation import Interpolated, Managed
from gateway.registry.resources.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.registry.catalogue import Known
    from gateway.registry.compiling import Context
    from gateway.registry.problems import Trail
    from gateway.registry.resources.fragment import Fragment, Owner, Piece

_SECTIONS = (("routes", Kind.RULE), ("teams", Kind.TEAM), ("limits", Kind.LIMIT))
_NO_CREDENTIAL = "its credential"
"""What is told to be unset of a provider that needs one and has none."""


class Origin(NamedTuple):
    """A resource of the database, as the document's parts are traced back to it."""

    kind: Kind
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Keys:
    """What a provider's credentials come to: settings, and headers."""

    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    names: tuple[str, ...] = ()
    """Of the credentials in `api_key`, in its order."""
    spare: tuple[str, ...] = field(default=(), repr=False)
    """Keys that a rotation replaced: for when the new ones are refused."""
    broken: tuple[str, ...] = ()
    """Why some cannot be used."""
    any: bool = False
    """The provider has credentials, usable or not."""


Unlock = Callable[["Owner"], Keys]


@dataclass(frozen=True, slots=True)
class Merged:
    """One document."""

    interpolated: Interpolated
    origins: Mapping[Trail, Origin]
    clashes: Mapping[Origin, str]
    """What the file has under the same name already."""
    parked: frozenset[str] = frozenset()
    """Ids of resources that are left out."""

    def origin(self, trail: Trail) -> tuple[Origin, Trail] | None:
        """Whose part of the document this is, and the place within it; None for the file's."""
        for length in range(len(trail), 0, -1):
            found = self.origins.get(trail[:length])
            if found is not None:
                return found, trail[length:]
        return None


def merge(base: Interpolated, fragment: Fragment, parked: frozenset[str], unlock: Unlock, context: Context) -> Merged:
    """The file first, then the database, without the resources in `parked` (ids). On a clash of names the file wins."""
    merger = _Merger(base, parked, unlock, context)
    for owner in fragment.providers:
        merger.add_provider(owner)
    for section, kind in _SECTIONS:
        for piece in getattr(fragment, section):
            merger.add_item(section, kind, piece)
    return merger.merged()


class _Merger:
    def __init__(self, base: Interpolated, parked: frozenset[str], unlock: Unlock, context: Context) -> None:
        self._base = base
        self._parked = parked
        self._unlock = unlock
        self._context = context
        data = dict(base.data)
        data["providers"] = dict(data["providers"])
        self._data = data
        self._missing = dict(base.missing)
        self._managed: dict[str, Managed] = {}
        self._origins: dict[Trail, Origin] = {}
        self._clashes: dict[Origin, str] = {}
        self._taken = {section: set(_names(data.get(section))) for section, _ in _SECTIONS}

    def add_provider(self, owner: Owner) -> None:
        origin = Origin(Kind.PROVIDER, owner.id, owner.name)
        if owner.id in self._parked:
            return
        if owner.name in self._data["providers"]:
            self._clashes[origin] = f"the configuration file has a provider {owner.name!r} too, and that one is served"
            return
        trail: Trail = ("providers", owner.name)
        keys = self._unlock(owner)
        settings = {**owner.settings, **keys.settings}
        if keys.headers:
            settings["headers"] = {**owner.settings.get("headers", {}), **keys.headers}
        models = [model for model in owner.models if model.id not in self._parked]
        if models:
            settings["models"] = {model.name: model.settings for model in models}
        self._origins[trail] = origin
        for model in models:
            self._origins[(*trail, "models", model.name)] = Origin(Kind.MODEL, model.id, model.name)
        unusable = keys.any and not (keys.settings or keys.headers)
        if unusable:
            settings |= _stand_ins(settings, self._context.dialects)
        else:
            for name in _lacking_credential(settings, self._context.dialects):
                self._missing[*trail, name] = _NO_CREDENTIAL
        self._managed[owner.name] = Managed(self._context.networks, keys.names, keys.spare, keys.broken, unusable)
        self._data["providers"][owner.name] = settings

    def add_item(self, section: str, kind: Kind, piece: Piece) -> None:
        if piece.id in self._parked:
            return
        if piece.name in self._taken[section]:
            origin = Origin(kind, piece.id, piece.name)
            self._clashes[origin] = (
                f"the configuration file has {piece.name!r} among its {section} too, and that one is served"
            )
            return
        items = self._data[section] = list(self._data.get(section, ()))
        self._origins[section, len(items)] = Origin(kind, piece.id, piece.name)
        items.append({"name": piece.name, **piece.settings})

    def merged(self) -> Merged:
        interpolated = replace(self._base, data=self._data, missing=self._missing, managed=self._managed)
        return Merged(interpolated, self._origins, self._clashes, self._parked)


def _stand_ins(settings: Mapping[str, Any], dialects: Known | None) -> dict[str, str]:
    """In the place of credentials that cannot be read: the provider is there, and says why it serves nothing."""
    kind = provider_type(settings.get("type"), dialects)
    if kind is None:
        return {}
    # A secret that belongs to others which are not given makes no sense alone.
    lone = {name for group in kind.together if settings.keys().isdisjoint(group) for name in group}
    names = secret_settings(kind) - lone - (set() if kind.takes_key else {"api_key"})
    return dict.fromkeys(names, "unavailable")


def _lacking_credential(settings: Mapping[str, Any], dialects: Known | None) -> tuple[str, ...]:
    """The settings of a credential without which alone it is not whole; none if it is, or lacks more than that."""
    kind = provider_type(settings.get("type"), dialects)
    if kind is None or unmet(kind, settings) is None:
        return ()
    secrets = sorted(secret_settings(kind))
    for names in (*((name,) for name in secrets), tuple(secrets)):
        if unmet(kind, {**settings, **dict.fromkeys(names, "")}) is None:
            return names
    return ()


def _names(items: Any) -> Iterator[str]:
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            yield item["name"]
