"""Configuration files to one immutable snapshot: load, validate, compile, reload."""

from __future__ import annotations

from typing import Any

from gateway.registry.compile_providers import Defaults
from gateway.registry.loader import Loaded, load
from gateway.registry.problems import ConfigError, Problem
from gateway.registry.snapshot import Snapshot
from gateway.registry.table import TableStore, load_cached

__all__ = [
    "ConfigError",
    "Defaults",
    "Loaded",
    "Problem",
    "Snapshot",
    "TableStore",
    "load",
    "load_cached",
    "schema_json",
]


def schema_json() -> dict[str, Any]:
    """The JSON Schema of a configuration file, for editors."""
    from gateway.registry.schema.jsonschema import schema_json as make  # noqa: PLC0415 — builds every model

    return make()
