"""One file per dialect, found by its `DIALECT`; no I/O.

A module of this package, or one that another distribution names under the entry-point group `gateway.providers`, adds a
provider type by exposing one object `DIALECT` that satisfies `gateway.ports.Dialect`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from importlib.metadata import entry_points

from gateway.errors import OperatorError
from gateway.ports import Dialect

ENTRY_POINTS = "gateway.providers"


def discover() -> Mapping[str, Dialect]:
    """Every dialect by its type name. Raises OperatorError when an external package's dialect cannot be loaded or
    clashes."""
    found: dict[str, Dialect] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            continue
        dialect: Dialect | None = getattr(importlib.import_module(f"{__name__}.{module.name}"), "DIALECT", None)
        if dialect is not None:
            found[dialect.name] = dialect
    for entry in entry_points(group=ENTRY_POINTS):
        found[_external_name(entry.name, found)] = _external(entry.name, entry.value)
    return found


def _external_name(name: str, found: Mapping[str, Dialect]) -> str:
    if name in found:
        raise OperatorError(
            f"the provider type `{name}` is defined twice; uninstall one of the packages that define it"
        )
    return name


def _external(name: str, value: str) -> Dialect:
    module, _, attribute = value.partition(":")
    try:
        dialect: Dialect = getattr(importlib.import_module(module), attribute or "DIALECT")
    except Exception as error:  # foreign code runs at its import and may raise anything; the operator reads what
        raise OperatorError(
            f"the provider type `{name}` cannot be loaded from `{value}`: {error}; reinstall or remove its package"
        ) from error
    return dialect
