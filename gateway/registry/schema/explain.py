"""Validation errors in the words of people who edit configuration files."""

from __future__ import annotations

from functools import partial
from inspect import isclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from gateway.registry.problems import HINT, Fault, Trail, did_you_mean, shown
from gateway.registry.schema.abilities import PLAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

_SENTENCES: Mapping[str, str] = {
    "dict_type": "expected a mapping (write `name: value` lines below it, or in TOML a table)",
    "model_type": "expected a mapping (write `name: value` lines below it, or in TOML a table)",
    "model_attributes_type": "expected a mapping (write `name: value` lines below it, or in TOML a table)",
    "list_type": "expected a list (write `[item, …]`, or in YAML `- item` lines below it)",
    "string_type": "expected text (put it in quotes)",
    "greater_than": "the value must be above {gt:g}",
    "greater_than_equal": "the value must be at least {ge:g}",
    "less_than": "the value must be below {lt:g}",
    "less_than_equal": "the value must be at most {le:g}",
    "too_short": "there is nothing in it (add an entry)",
}


def explain(detail: Mapping[str, Any], model: type[BaseModel], prefix: Trail) -> Fault:
    """One of pydantic's error details as a fault below `prefix`. Values are never repeated."""
    location = tuple(step for step in detail["loc"] if step != PLAIN)
    at_key = bool(location) and location[-1] == "[key]"
    location = location[:-1] if at_key else location
    trail = (*prefix, *location)
    kind = detail["type"]
    if kind == "extra_forbidden":
        name = str(location[-1])
        hint = partial(_nearest_key, name, model, location[:-1])
        return Fault(trail, f"unknown key {shown(name)}{HINT}", at_key=True, hint=hint)
    if kind == "missing":
        name = str(location[-1])
        return Fault(trail[:-1], f"{shown(name)} is missing (add it)", at_key=True, lacks=name)
    if kind == "literal_error":
        return _choice(trail, detail, at_key=at_key)
    return Fault(trail, _sentence(kind, detail), at_key=at_key)


def _sentence(kind: str, detail: Mapping[str, Any]) -> str:
    context = detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    return _SENTENCES.get(kind, "this value cannot be used here (see the schema)").format_map(context)


def _choice(trail: Trail, detail: Mapping[str, Any], *, at_key: bool) -> Fault:
    expected = str(detail["ctx"]["expected"])
    options = expected.replace("'", "").replace(" or ", ", ").split(", ")
    if len(options) == 1:
        return Fault(trail, f"this must be {options[0]}", at_key=at_key)
    given = detail.get("input")
    hint = partial(did_you_mean, given, options) if isinstance(given, str) else str
    return Fault(
        trail, f"this is none of the known words{HINT} (use one of {', '.join(options)})", at_key=at_key, hint=hint
    )


def _nearest_key(name: str, model: type[BaseModel], location: Trail) -> str:
    known = _known_keys(model, location)
    return did_you_mean(name, known) or f" (known: {', '.join(known)})"


def _known_keys(model: type[BaseModel], location: Trail) -> list[str]:
    found: Any = model
    for step in location:
        found = _descend(found, step)
    found = _bare(found)
    return list(found.model_fields) if isclass(found) and issubclass(found, BaseModel) else []


def _descend(annotation: Any, step: str | int) -> Any:
    annotation = _bare(annotation)
    if isclass(annotation) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(step))
        return field.annotation if field is not None else None
    arguments = get_args(annotation)
    return arguments[-1] if arguments else None


def _bare(annotation: Any) -> Any:
    """Without `Annotated` and without `| None`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _bare(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _bare(next(item for item in get_args(annotation) if item is not type(None)))
    return annotation
