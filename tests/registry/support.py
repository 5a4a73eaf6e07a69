"""Helpers of the registry's tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gateway.registry import ConfigError, Loaded, load

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
MOCK = "providers: {mock: {type: mock, models: [mock-small]}}\n"


def load_text(
    directory: Path,
    text: str,
    env: Mapping[str, str] | None = None,
    *,
    name: str = "gateway.yaml",
    dialects: frozenset[str] | None = None,
) -> Loaded:
    """Load a file with this text."""
    path = directory / name
    path.write_text(text)
    return load(path, env or {}, dialects=dialects)


def errors_of(
    directory: Path, text: str, env: Mapping[str, str] | None = None, *, name: str = "gateway.yaml"
) -> list[str]:
    """The error lines that loading this text gives, without the directory."""
    with pytest.raises(ConfigError) as caught:
        load_text(directory, text, env, name=name)
    return [line.removeprefix(f"{directory}/") for line in str(caught.value).splitlines()]
