"""Values for the variables of a configuration with which it may be checked as if they were set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.registry.interpolation import interpolate
from gateway.registry.interpolation import variables as named_in
from gateway.registry.loader import faults_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.registry.compiling import Context
    from gateway.registry.problems import Fault, Trail

    Places = Mapping[Trail, frozenset[str]]
    """The variables at each place that names any."""

_SHAPES = ("https://harmless.invalid/a-value-of-{0:08d}", "harmless-{0}", "1")
"""An address, which will do as a text, a credential or a secret too; a label; a number or a switch."""


def harmless(document: Any, context: Context) -> dict[str, str]:
    """A value for each variable, of a shape that its places take. A place that takes none has no say in it."""
    places = _places(document)
    names = sorted(frozenset().union(*places.values()))
    values = [{name: shape.format(at) for at, name in enumerate(names)} for shape in _SHAPES]
    refused = [_touched(places, faults_of(document, env, context)) for env in values] if names else []
    hopeless = frozenset.intersection(*refused) if refused else frozenset()
    found: dict[str, str] = {}
    for name in names:
        own = {place for place, there in places.items() if name in there} - hopeless
        best = min(range(len(_SHAPES)), key=lambda shape: len(own & refused[shape]))
        found[name] = values[best][name]
    return found


def _places(document: Any) -> Places:
    found: dict[Trail, frozenset[str]] = {}
    for trail in interpolate(document, {}).trails:
        value = document
        for step in trail:
            value = value[step]
        found[trail] = named_in(str(value).encode())
    return found


def _touched(places: Places, faults: Iterable[Fault]) -> frozenset[Trail]:
    """The places that faults are at, or within."""
    within = (fault.trail[: length + 1] for fault in faults for length in range(len(fault.trail)))
    return frozenset(trail for trail in within if trail in places)
