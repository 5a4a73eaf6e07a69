"""Importing texts, and reading what came of them as the gateway does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.importing import import_file
from gateway.importing.trying import harmless
from gateway.registry.catalogue import TYPES
from gateway.registry.loader import Loaded, context_for, load
from gateway.routing.globs import fits

ALL = frozenset(TYPES)


@dataclass(frozen=True, slots=True)
class Imported:
    """The text, and the configuration that it is."""

    text: str
    loaded: Loaded

    @property
    def document(self) -> dict[str, Any]:
        """As written, without comments."""
        return dict(self.loaded.document)

    @property
    def comments(self) -> str:
        """The comments as one line of words."""
        found = [line.strip().removeprefix("#").strip() for line in self.text.splitlines() if line.strip()[:1] == "#"]
        return " ".join(found)

    def matching(self, model: str) -> list[str]:
        """The names of the routes for this model."""
        return [route.name for route in self.loaded.snapshot.routes if fits(route.match.models, model)]


Import = Callable[..., Imported]


def imported(path: Path, env: dict[str, str] | None = None) -> Imported:
    """Import this file; what comes out has to load, with the environment and without, and with every variable set.
    Raises ConfigError."""
    text = import_file(path, ALL)
    out = path.with_name("out.yaml")
    out.write_text(text)
    written = load(out, {}, dialects=ALL).document
    load(out, harmless(written, context_for(ALL, None)), dialects=ALL)
    return Imported(text, load(out, env or {}, dialects=ALL))


@pytest.fixture
def take(tmp_path: Path) -> Import:
    """Import a text."""

    def run(text: str, name: str = "config.yaml", env: dict[str, str] | None = None) -> Imported:
        path = tmp_path / name
        path.write_text(text)
        return imported(path, env)

    return run
