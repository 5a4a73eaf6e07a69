"""`${VAR}` and `${VAR:-default}` in the scalars of a parsed document. `$${` stands for `${`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.registry.problems import Fault, Trail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.addresses import Network

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")
_NAME = re.compile(rb"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_ABSENT = object()
_NESTED = "a default is plain text and cannot hold a `${` (write the value itself, or ${NAME} alone and set that)"


@dataclass(frozen=True, slots=True)
class Managed:
    """What holds for a provider of the database, and cannot be said in a document."""

    networks: tuple[Network, ...] = ()
    """The private networks that it may reach; there are no others for it."""
    key_names: tuple[str, ...] = ()
    """What its keys are called, in their order."""
    spare_keys: tuple[str, ...] = field(default=(), repr=False)
    broken: tuple[str, ...] = ()
    """Why some of its credentials cannot be used."""
    unusable: bool = False
    """None of them can."""


@dataclass(slots=True)
class Interpolated:
    """The document with its environment in it. What is unset or empty is left out, as if it were not written."""

    data: Any = None
    missing: dict[Trail, str] = field(default_factory=dict)
    """Where a variable without default is unset or empty, and its name."""
    values: set[str] = field(default_factory=set)
    """Texts that came from the environment: never to be printed."""
    trails: set[Trail] = field(default_factory=set)
    """Scalars that hold a reference."""
    emptied: set[Trail] = field(default_factory=set)
    """Those of them that came out empty although each has its default: they are as if not written."""
    faults: list[Fault] = field(default_factory=list)
    managed: Mapping[str, Managed] = field(default_factory=dict)
    """The providers of the database, by name."""


def interpolate(data: Any, env: Mapping[str, str]) -> Interpolated:
    """Replace every reference below `data`; keys are left alone."""
    result = Interpolated()
    found = _walk(data, (), env, result)
    result.data = None if found is _ABSENT else found
    return result


def variables(content: bytes) -> frozenset[str]:
    """Every variable that a file may refer to, found without parsing it."""
    return frozenset(name.decode() for name in _NAME.findall(content))


def _walk(value: Any, trail: Trail, env: Mapping[str, str], result: Interpolated) -> Any:
    if isinstance(value, dict):
        items = ((name, _walk(item, (*trail, name), env, result)) for name, item in value.items())
        return {name: item for name, item in items if item is not _ABSENT}
    if isinstance(value, list):
        return _list(value, trail, env, result)
    if isinstance(value, str) and "${" in value:
        result.trails.add(trail)
        return _scalar(value, trail, env, result)
    return value


def _list(value: list[Any], trail: Trail, env: Mapping[str, str], result: Interpolated) -> list[Any]:
    """An item that may be empty is left out; one whose variable is unset keeps its place as None."""
    walked = (((*trail, index), _walk(item, (*trail, index), env, result)) for index, item in enumerate(value))
    return [
        None if item is _ABSENT else item for place, item in walked if item is not _ABSENT or place in result.missing
    ]


def _scalar(text: str, trail: Trail, env: Mapping[str, str], result: Interpolated) -> Any:
    def replace(found: re.Match[str]) -> str:
        name, default = found[1], found[2]
        if name is None:
            return _unnamed(found[0], trail, result)
        if default is not None and "${" in default:
            result.faults.append(Fault(trail, _NESTED))
            result.missing[trail] = name
            return ""
        value = env.get(name, "")
        if value and not value.isascii() and _half_character(value):
            result.faults.append(Fault(trail, f"the variable {name} does not hold UTF-8 text (set it again)"))
            result.missing[trail] = name
            return ""
        if value:
            result.values.add(value)
            return value
        if default is None:
            result.missing[trail] = name
        return default or ""

    found = _REFERENCE.sub(replace, text)
    if not found and trail not in result.missing:
        result.emptied.add(trail)
    return found or _ABSENT


def _unnamed(found: str, trail: Trail, result: Interpolated) -> str:
    if found == "${":
        message = "a `${` is not closed or names no variable (write ${NAME}, or $${ for the text)"
        result.faults.append(Fault(trail, message))
    return "${"


def _half_character(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
