"""The configuration as JSON Schema, for editors: `gateway schema`, kept in `config/gateway.schema.json`."""

from typing import Any

from pydantic import BaseModel, TypeAdapter

from gateway.registry.catalogue import ALIASES, TYPES
from gateway.registry.schema.document import Document
from gateway.registry.schema.fields import take_annotations
from gateway.registry.schema.providers import Provider, model_for
from gateway.registry.source import HEADINGS

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TITLE = "LLM gateway configuration"
_SHARED = "provider_settings"
_REFERENCE = {"type": "string", "pattern": "\\$\\{"}
_SCALARS = frozenset({"integer", "number", "boolean"})
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_TYPE = "The dialect this provider speaks."


def schema_json() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a configuration file. The same on every call."""
    schema, definitions = _definitions(Document)
    shared, more = _definitions(Provider)
    definitions |= more | {_SHARED: {**shared, "description": "The settings that every provider type has."}}
    options = []
    for kind in TYPES.values():
        names = [kind.name, *(alias for alias, name in ALIASES.items() if name == kind.name)]
        definitions[f"provider_{kind.name}"] = _provider(model_for(kind), names, shared["properties"])
        condition = {"properties": {"type": {"enum": names}}, "required": ["type"]}
        options.append({"if": condition, "then": {"$ref": f"#/$defs/provider_{kind.name}"}})
    definitions["provider"] = {
        "type": "object",
        "description": "One provider; its settings depend on its type.",
        "properties": {"type": {"enum": sorted({*TYPES, *ALIASES}), "description": _TYPE}},
        "required": ["type"],
        "allOf": options,
    }
    schema["properties"]["providers"]["additionalProperties"] = {"$ref": "#/$defs/provider"}
    whole = {"$schema": DRAFT, "title": _TITLE, **schema, "$defs": definitions}
    result: dict[str, Any] = _lenient(_plain(whole))
    for heading in HEADINGS:
        result["properties"][heading] = _or_nothing(result["properties"][heading])
    return result


def _or_nothing(schema: dict[str, Any]) -> dict[str, Any]:
    """A heading may stand with nothing below it."""
    described = take_annotations(schema)
    return {"anyOf": [schema, {"type": "null"}], **described}


def _definitions(model: type[BaseModel]) -> tuple[dict[str, Any], dict[str, Any]]:
    schema = TypeAdapter(model).json_schema(mode="validation")
    return schema, schema.pop("$defs", {})


def _provider(model: type[BaseModel], names: list[str], shared: dict[str, Any]) -> dict[str, Any]:
    """One type's settings; those that every type has are only referred to."""
    schema, _ = _definitions(model)
    properties = {
        name: {"$ref": f"#/$defs/{_SHARED}/properties/{name}"} if name in shared else item
        for name, item in schema["properties"].items()
    }
    properties["type"] = {"enum": names, "description": _TYPE}
    return {**schema, "properties": properties, "description": f"A provider of type {names[0]}."}


def _plain(value: Any) -> Any:
    """Standard words for bounds; no titles that repeat a key; no null, which an optional setting has no need of."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        _BOUNDS.get(name, name): _plain(item)
        for name, item in value.items()
        if not (name == "title" and isinstance(item, str) and item != _TITLE)
        and not (name == "default" and item is None)
    }
    options = kept.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [option for option in options if option != {"type": "null"}]
        del kept["anyOf"]
        kept = {**rest[0], **kept} if len(rest) == 1 else {**kept, "anyOf": rest}
    return kept


def _lenient(value: Any) -> Any:
    """Numbers, flags and choices may also be given by a `${VAR}`."""
    if isinstance(value, list):
        return [_lenient(item) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("properties"), dict):
        properties = {name: _property(item) for name, item in value["properties"].items()}
        value = {**value, "properties": properties}
    return {name: item if name in {"properties", "if"} else _lenient(item) for name, item in value.items()}


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    if str(schema.get("type")) not in _SCALARS and not ("enum" in schema and "type" in schema):
        inner: dict[str, Any] = _lenient(schema)
        return inner
    names: tuple[str, ...] = ("description", "default")
    outer = {name: schema[name] for name in names if name in schema}
    limits = {name: item for name, item in schema.items() if name not in outer}
    return {**outer, "anyOf": [limits, _REFERENCE]}
