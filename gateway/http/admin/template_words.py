"""Templates: text with places for parameters, filled in by name and by nothing else. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.http.admin.problems import Detail, Invalid

_PLACE = re.compile(r"\{\{\s*([a-z][a-z0-9_]{0,40})\s*\}\}")
NAME = r"^[a-z][a-z0-9_]{0,40}$"


class Unfilled:
    """Stands where a parameter has no value: what holds it is left out."""


UNFILLED = Unfilled()


def places(value: Any) -> set[str]:
    """The names of all parameters that stand in this value."""
    if isinstance(value, str):
        return set(_PLACE.findall(value))
    if isinstance(value, Mapping):
        return set().union(*(places(inner) for inner in value.values()), *(places(name) for name in value))
    if isinstance(value, list | tuple):
        return set().union(*map(places, value))
    return set()


def filled(value: Any, values: Mapping[str, Any]) -> Any:
    """The value with its places filled in. Text that is one place alone takes the parameter's own type; what holds a
    parameter without a value is left out of its mapping or list."""
    if isinstance(value, str):
        return _text(value, values)
    if isinstance(value, Mapping):
        found = {name: filled(inner, values) for name, inner in value.items()}
        return {name: inner for name, inner in found.items() if inner is not UNFILLED}
    if isinstance(value, list | tuple):
        return [inner for inner in (filled(one, values) for one in value) if inner is not UNFILLED]
    return value


def _text(text: str, values: Mapping[str, Any]) -> Any:
    whole = _PLACE.fullmatch(text)
    if whole is not None:
        return values.get(whole[1], UNFILLED)
    if any(values.get(name) is None for name in _PLACE.findall(text)):
        return UNFILLED
    return _PLACE.sub(lambda place: str(values[place[1]]), text)


def values_for(parameters: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
    """Each parameter's value: what was given, else its default. Raises Invalid for unknown and missing ones."""
    known = {one["name"]: one for one in parameters}
    details = [
        Detail(f"parameters.{name}", f"is unknown here (known: {', '.join(known) or 'none'})")
        for name in given
        if name not in known
    ]
    values: dict[str, Any] = {}
    for name, one in known.items():
        value = given.get(name)
        if value is None:
            value = one.get("default")
        if value is not None:
            values[name] = value
        elif one.get("required"):
            details.append(Detail(f"parameters.{name}", f"is missing (add it): {one.get('description') or name}"))
    if details:
        raise Invalid(f"{details[0].field}: {details[0].message}", field=details[0].field, details=details)
    return values
