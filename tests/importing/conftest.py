"""Importing texts, and reading what came of them as the gateway does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.importing import import_file
from gateway.registry.catalogue import TYPES
from gateway.registry.loader import Loaded, load

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


Import = Callable[..., Imported]


def imported(path: Path, env: dict[str, str] | None = None) -> Imported:
    """Import this file; what comes out has to load, with the environment and without. Raises ConfigError."""
    text = import_file(path, ALL)
    out = path.with_name("out.yaml")
    out.write_text(text)
    load(out, {}, dialects=ALL)
    return Imported(text, load(out, env or {}, dialects=ALL))


@pytest.fixture
def take(tmp_path: Path) -> Import:
    """Import a text."""

    def run(text: str, name: str = "config.yaml", env: dict[str, str] | None = None) -> Imported:
        path = tmp_path / name
        path.write_text(text)
        return imported(path, env)

    return run
