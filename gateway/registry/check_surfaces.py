"""What must hold for `api`: a type, or a model of it, is not called by an API that it does not have. Pure; tolerates
wrong types."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gateway.bridges.surfaces import surfaces_of
from gateway.ports import SurfaceDialect
from gateway.registry.catalogue import provider_type
from gateway.registry.checks import providers
from gateway.registry.problems import Fault, shown
from gateway.types import Deployment, Provider, Surface

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.ports import Dialect
    from gateway.registry.catalogue import Known
    from gateway.registry.problems import Trail

_WORDS = (Surface.CHAT, Surface.RESPONSES)
"""Those that an operator may name."""


def surface_faults(data: Any, dialects: Known | None) -> Iterator[Fault]:
    """Every `api` that names what is not there; needs the dialects themselves, not only their names."""
    if not isinstance(data, dict) or not isinstance(dialects, Mapping):
        return
    for name, settings in providers(data).items():
        kind = provider_type(settings.get("type"), dialects) if isinstance(settings, dict) else None
        dialect = dialects.get(kind.name) if kind is not None else None
        if dialect is not None:
            yield from _Owner(name, settings, dialect).faults()


class _Owner:
    """One provider as its file describes it."""

    def __init__(self, name: str, settings: dict[str, Any], dialect: Dialect) -> None:
        self._trail: Trail = ("providers", name)
        self._settings = settings
        self._dialect = dialect
        self._provider = Provider(name, dialect.name, "", options=_options(settings, dialect.name))
        listed = settings.get("models")
        names = [one for one in listed if isinstance(one, str)] if isinstance(listed, list | dict) else []
        self._models: dict[str, Any] = {one: listed[one] if isinstance(listed, dict) else None for one in names}

    def faults(self) -> Iterator[Fault]:
        """What is named and not there: for all of its models, or for one."""
        named = _words(self._settings.get("api"))
        if named:
            yield from self._of_all(named)
        for model, told in self._models.items():
            words = _words(told.get("api")) if isinstance(told, dict) else {}
            own = self._has(model)
            for word, at in words.items():
                if word not in own:
                    what = f"the model {shown(model)} of type {shown(self._dialect.name)}"
                    yield _fault((*self._trail, "models", model, "api", *at), what, word, own)

    def _of_all(self, named: dict[Surface, Trail]) -> Iterator[Fault]:
        different = isinstance(self._dialect, SurfaceDialect)
        models = list(self._models) if different else [""]
        if not models:
            return  # what its models have is known when they are
        every = frozenset().union(*map(self._has, models))
        for word, at in named.items():
            if word not in every:
                yield _fault((*self._trail, "api", *at), f"the type {shown(self._dialect.name)}", word, every)
                return
        for model in models:
            told = self._models.get(model)
            own = self._has(model)
            if not own.intersection(named) and not (isinstance(told, dict) and told.get("api")):
                word, at = next(iter(named.items()))
                yield _fault((*self._trail, "api", *at), f"the model {shown(model)}", word, own)

    def _has(self, model: str) -> frozenset[Surface]:
        return surfaces_of(self._dialect, Deployment(f"{self._provider.name}/{model}", self._provider, model))


def _fault(trail: Trail, what: str, word: Surface, own: frozenset[Surface]) -> Fault:
    has = " and ".join(one for one in _WORDS if one in own)
    advice = f"write `{has}`, or leave it out: calls of {word} are translated" if has else "leave it out"
    return Fault(trail, f"{what} has no API of {word} ({advice})")


def _words(told: Any) -> dict[Surface, Trail]:
    """The words, each with the rest of its trail; what is no word is told by the schema."""
    places = [(word, (at,)) for at, word in enumerate(told)] if isinstance(told, list) else [(told, ())]
    return {Surface(word): at for word, at in places if isinstance(word, str) and word in _WORDS}


def _options(settings: dict[str, Any], kind: str) -> dict[str, Any]:
    entry = provider_type(kind)
    found: dict[str, Any] = {}
    for own in entry.own if entry is not None else ():
        if own.name in settings:
            with suppress(ValueError, TypeError, AttributeError):  # told by the schema
                found[own.name] = own.parse(settings[own.name])
    return found
