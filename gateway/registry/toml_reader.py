"""TOML to the same plain data that YAML gives, with the same places."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway.registry.source import MAX_DEPTH, Source, broken
from gateway.registry.toml_places import TomlPlaces

if TYPE_CHECKING:
    from pathlib import Path

_PLACE = re.compile(r"(.*) \(at line (\d+), column (\d+)\)")


def read_toml(path: Path, text: str) -> Source:
    """Parse a TOML document. Raises ConfigError with the line and column of a syntax error."""
    import tomllib  # noqa: PLC0415 — most configurations are YAML

    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise _syntax(path, text, str(error)) from None
    plain = _plain(path, data, 0)
    places = TomlPlaces(text)
    return Source(str(path), plain, places.keys, places.values)


def _syntax(path: Path, text: str, message: str) -> Exception:
    found = _PLACE.fullmatch(message)
    if found is not None:
        reason, mark = found[1], (int(found[2]), int(found[3]))
    else:
        reason = message.removesuffix(" (at end of document)") if "(at end" in message else "it cannot be parsed"
        mark = (text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)
    reason = reason if reason.isprintable() and len(reason) < 120 else "it cannot be parsed"
    return broken(path, f"this is not valid TOML: {reason} (check quotes, brackets and duplicate keys)", mark)


def _plain(path: Path, value: Any, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise broken(path, f"this is nested deeper than {MAX_DEPTH} levels (flatten it)")
    if isinstance(value, dict):
        return {name: _plain(path, item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(path, item, depth + 1) for item in value]
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int) and abs(value) < 10**18:
        return value
    if isinstance(value, float) and abs(value) < float("inf"):
        return value
    return str(value) if not isinstance(value, int) else "a very large number"
