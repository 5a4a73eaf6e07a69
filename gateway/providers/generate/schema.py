"""JSON Schemas cut down to the part of OpenAPI's that the API took before it took JSON Schemas."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

KNOWN = frozenset(
    {
        "type",
        "format",
        "title",
        "description",
        "nullable",
        "enum",
        "maxItems",
        "minItems",
        "properties",
        "required",
        "minProperties",
        "maxProperties",
        "minLength",
        "maxLength",
        "pattern",
        "example",
        "anyOf",
        "propertyOrdering",
        "default",
        "items",
        "minimum",
        "maximum",
    }
)
"""Keywords of the restricted schema. One that is not among them makes the API refuse the whole request."""
MAX_DEPTH = 32


def restricted(schema: Any, depth: int = 0, definitions: Json | None = None) -> Json:
    """The nearest restricted schema: what it cannot say is left out, so it never allows less than the original.

    `const` becomes `enum`, `oneOf` becomes `anyOf`, a type that may be null becomes `nullable`, references are
    followed to `MAX_DEPTH`.
    """
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return {}
    if definitions is None:
        definitions = {**_object(schema, "definitions"), **_object(schema, "$defs")}
    target = _referred(schema, definitions)
    if target is not None:
        return restricted(target, depth + 1, definitions)
    kept = {name: value for name, value in schema.items() if name in KNOWN}
    _type(kept, schema)
    if "const" in schema:
        kept["enum"] = [schema["const"]]
    if isinstance(kept.get("enum"), list):
        _enum(kept)
    for name in ("oneOf", "anyOf"):
        if isinstance(schema.get(name), list):
            _choices(kept, schema[name], depth, definitions)
    if "properties" in kept:
        properties = _object(schema, "properties")
        kept["properties"] = {name: restricted(one, depth + 1, definitions) for name, one in properties.items()}
    if "items" in kept:
        kept["items"] = restricted(schema["items"], depth + 1, definitions)
    return kept


def _object(schema: Json, name: str) -> Json:
    found = schema.get(name)
    return found if isinstance(found, dict) else {}


def _referred(schema: Json, definitions: Json) -> Any:
    reference = schema.get("$ref")
    return definitions.get(reference.rpartition("/")[2], {}) if isinstance(reference, str) else None


def _type(kept: Json, schema: Json) -> None:
    given = schema.get("type")
    if not isinstance(given, list):
        return
    words = [word for word in given if word != "null"]
    del kept["type"]
    if len(words) < len(given):
        kept["nullable"] = True
    if len(words) == 1:
        kept["type"] = words[0]
    elif words:
        kept["anyOf"] = [{"type": word} for word in words]


def _enum(kept: Json) -> None:
    """Only strings can be listed; of others the type alone is kept."""
    if all(isinstance(value, str) for value in kept["enum"]):
        kept.setdefault("type", "string")
    else:
        del kept["enum"]


def _choices(kept: Json, given: list[Any], depth: int, definitions: Json) -> None:
    choices = [one for one in given if not (isinstance(one, dict) and one.get("type") == "null")]
    if len(choices) < len(given):
        kept["nullable"] = True
    kept["anyOf"] = [restricted(one, depth + 1, definitions) for one in choices]
