"""Instances of JSON schemas, checked by validators of their own."""

from __future__ import annotations

import re
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from gateway.providers.scripted.schema import instance


class Colour(Enum):
    RED = "red"


class Leaf(BaseModel):
    kind: Literal["leaf"]
    weight: Annotated[float, Field(gt=3, lt=3.2)]


class Tree(BaseModel):
    name: Annotated[str, Field(min_length=12, max_length=14)]
    colour: Colour
    born: date
    seen: datetime
    id: UUID
    count: Annotated[int, Field(ge=10, le=20, multiple_of=7)]
    pair: tuple[int, str]
    many: Annotated[list[int], Field(min_length=3)]
    unique: Annotated[set[str], Field(min_length=2)]
    maybe: str | None
    leaf: Leaf | str
    children: list[Tree]
    code: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    extra: dict[str, int]


def test_a_model_with_everything_validates() -> None:
    """References, recursion, unions, bounds, formats, patterns: what is made passes pydantic."""
    schema = Tree.model_json_schema()
    made = Tree.model_validate(instance(schema))
    assert made.children
    assert instance(schema) == instance(schema)


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": ["null", "string"]}, type(None)),
        ({"const": {"a": 1}}, dict),
        ({"enum": [3, 4]}, int),
        ({"allOf": [{"properties": {"a": {"type": "integer"}}}, {"required": ["b"]}], "type": "object"}, dict),
        ({"type": "object", "minProperties": 2, "additionalProperties": {"type": "integer"}}, dict[str, int]),
        ({"type": "array", "minItems": 2, "uniqueItems": True, "items": {"enum": ["x", "y"]}}, set[str]),
        ({"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6}, Literal[5]),
        ({"type": "integer", "maximum": -3}, int),
        ({"type": "number", "minimum": 0.1, "maximum": 0.2}, Annotated[float, Field(ge=0.1, le=0.2)]),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "boolean"}}}, bool),
        (True, str),
        ({}, str),
    ],
)
def test_single_keywords(schema: Any, kind: Any) -> None:
    """Each keyword gives a value of the right type within its bounds."""
    TypeAdapter(kind).validate_python(instance(schema), strict=kind not in (set[str],))


def test_recursion_without_an_end_stops() -> None:
    """A schema that requires itself, or only points at itself, does not hang."""
    loop = {"$defs": {"a": {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "required": ["a"]}}}
    assert isinstance(instance({**loop, "$ref": "#/$defs/a"}), dict)
    instance({"$ref": "#"})


def test_a_schema_cannot_ask_for_more_than_a_bounded_instance() -> None:
    """Wide recursion and absurd minimums end in something small."""
    node = {"type": "object", "properties": {f"p{i}": {"$ref": "#/$defs/n"} for i in range(30)}}
    node["required"] = list(node["properties"])
    assert instance({"$defs": {"n": node}, "$ref": "#/$defs/n"})
    assert len(instance({"type": "array", "minItems": 10**9})) == 2_000
    assert len(instance({"type": "string", "minLength": 10**9})) == 100_000


_LOOP = {"$ref": "#"}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "(a+)+$"},
        {"type": "string", "pattern": "(?:a|a)*$"},
        {"type": "string", "pattern": ".*.*.*.*.*.*.*.*Q"},
        {"type": "string", "pattern": "a{0,99}" * 20 + "Q"},
        {"allOf": [_LOOP, _LOOP, _LOOP, _LOOP]},
        {"anyOf": [{"allOf": [_LOOP] * 9}]},
        {
            "type": "array",
            "minItems": 10**9,
            "items": {"type": "array", "minItems": 10**9, "items": {"minLength": 9**9}},
        },
        {"type": "array", "minItems": 10**9, "items": {"const": ["x" * 100_000]}},
        {"type": "array", "minItems": 10**9, "items": {}},
    ],
    ids=lambda schema: str(schema)[:40],
)
def test_no_schema_is_too_much_work(schema: Any) -> None:
    """A pattern that backtracks without end, references that multiply and lengths that do so end in something small."""
    assert len(str(instance(schema, "echo: " + "a" * 50_000 + "b"))) < 1_000_000


@pytest.mark.parametrize("pattern", [r"^\d{3,5}$", "^[a-z]+$", r"^#[0-9a-f]{6}$", "^(A|B)C?", r"^\+\d+$"])
def test_ordinary_patterns_are_met(pattern: str) -> None:
    """Patterns without loops around loops are still satisfied."""
    assert re.search(pattern, instance({"type": "string", "pattern": pattern}))
