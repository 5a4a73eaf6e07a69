"""Dialects by the type that a configuration names, each with where it came from."""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points

from gateway import providers
from gateway.errors import OperatorError
from gateway.ports import Dialect
from gateway.providers.discovery.validation import faults_of

ENTRY_POINTS = "gateway.providers"
BUILT_IN = "built in"


class Dialects(dict[str, Dialect]):
    """Dialects by their type."""

    def __init__(self) -> None:
        super().__init__()
        self.origins: dict[str, str] = {}
        """Where each is from: `built in`, `package NAME`, or the plugin as the configuration names it."""
        self.plugins: frozenset[str] = frozenset()
        """The configuration's plugins that are loaded, as it names them."""

    def take(self, dialect: Dialect, origin: str) -> None:
        """One more. Raises OperatorError for a type that there is already."""
        if dialect.name in self:
            raise OperatorError(
                f"the provider type `{dialect.name}` is defined twice, by {self.origins[dialect.name]} and by {origin} "
                "(remove one of them)"
            )
        self[dialect.name] = dialect
        self.origins[dialect.name] = origin


def discover() -> Dialects:
    """Every dialect that is installed. Raises OperatorError when a package's dialect cannot be loaded, is none, or
    clashes."""
    found = Dialects()
    for module in pkgutil.iter_modules(providers.__path__):
        if module.ispkg:
            continue
        dialect = getattr(importlib.import_module(f"{providers.__name__}.{module.name}"), "DIALECT", None)
        if dialect is not None:
            found.take(dialect, BUILT_IN)
    for entry in entry_points(group=ENTRY_POINTS):
        package = entry.dist.name if entry.dist is not None else entry.value
        dialect = _external(entry.name, entry.value)
        if dialect.name != entry.name:
            raise OperatorError(
                f"the provider type `{entry.name}` of the package `{package}` calls itself `{dialect.name}`; "
                "give its entry point that name"
            )
        found.take(dialect, f"package {package}")
    return found


def _external(name: str, value: str) -> Dialect:
    module, _, attribute = value.partition(":")
    try:
        dialect: Dialect = getattr(importlib.import_module(module), attribute or "DIALECT")
    except Exception as error:  # foreign code runs at its import and may raise anything; the operator reads what
        raise OperatorError(
            f"the provider type `{name}` cannot be loaded from `{value}`: {error}; reinstall or remove its package"
        ) from error
    if wrong := faults_of(dialect):
        raise OperatorError(f"the provider type `{name}` from `{value}` cannot be used: {'; '.join(wrong)}")
    return dialect
