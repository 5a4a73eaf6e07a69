"""A deterministic instance for a JSON schema: the smallest sensible value, so that a reply satisfies what was asked.

Covers `type`, `const`, `enum`, `anyOf`/`oneOf`/`allOf`, local `$ref`, objects, arrays, bounds, lengths and the common
formats. A `pattern` is met only if one of a few usual strings matches it.

Whoever may send a request writes the schema, and it is worked on where other calls wait: so work and size are bounded.
"""

from __future__ import annotations

import math
import re
from typing import Any

Schema = dict[str, Any]

_FORMATS = {
    "date": "2025-06-15",
    "date-time": "2025-06-15T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
_USUAL = (
    *_FORMATS.values(),
    "text",
    "Text",
    "TEXT",
    "a",
    "A",
    "1",
    "12",
    "123",
    "1234",
    "12345",
    "a1",
    "A1",
    "AB",
    "ABC",
)
_USUAL += ("ABC123", "AB-123", "#aabbcc", "+15550100", "1.0", "1.2.3")
_DEEP = 5
"""From this depth on only what is required is made, so that recursive schemas end."""
_DEEPEST = 40
_MANY, _TOO_MANY = 2_000, 20_000
"""Values after which only what is required is made, and after which nothing is made any more."""
_LONG, _TOO_LONG = 100_000, 400_000
"""Characters that `minLength` gets, and of all values together; beyond those nothing is made any more."""
_LONGEST_PATTERN, _LONGEST_MATCHED = 200, 40
_LOOPS, _OPTIONS, _PATTERNS = 3, 8, 100
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_LOOP, _OPTION = re.compile(r"[*+]|\{\d*,"), re.compile(r"\?")


def instance(schema: Any, name: str = "text") -> Any:
    """A value that satisfies the schema; `name` is what free strings say."""
    return _Maker(schema).make(schema, name, 0)


class _Maker:
    def __init__(self, root: Any) -> None:
        self._root = root
        self._made = 0
        self._flattened = 0
        self._room = _TOO_LONG
        self._patterns = 0

    def make(self, schema: Any, name: str, depth: int) -> Any:
        self._made += 1
        depth = max(depth, _DEEP) if self._made > _MANY else depth
        if depth > _DEEPEST or self._made > _TOO_MANY or self._room < 0:
            return None
        if not isinstance(schema, dict):
            return self._taken(name) if schema is not False else None
        schema = self._flat(schema, depth)
        if "const" in schema:
            return self._taken(schema["const"])
        if schema.get("enum"):
            return self._taken(schema["enum"][0])
        kind = self._kind(schema, depth)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        return self._taken(self._string(schema, name)) if kind == "string" else _scalar(kind, schema, name)

    def _taken(self, value: Any) -> Any:
        """The value, whose length is counted. What the caller wrote out may still be repeated thousands of times."""
        self._room -= len(value) if isinstance(value, str) else _length(value)
        return value

    def _flat(self, schema: Schema, depth: int, hops: int = 0) -> Schema:
        """The schema with its reference followed, `allOf` merged and one alternative chosen."""
        self._flattened += 1
        if hops > _DEEPEST or self._flattened > _TOO_MANY:
            return {}
        rest = {key: value for key, value in schema.items() if key not in {"$ref", "allOf", "anyOf", "oneOf"}}
        if isinstance(schema.get("$ref"), str):
            return self._flat(_merge(self._resolve(schema["$ref"]), rest), depth, hops + 1)
        for part in schema.get("allOf") or ():
            rest = _merge(rest, self._flat(part, depth, hops + 1) if isinstance(part, dict) else {})
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                rest = _merge(rest, self._flat(self._choose(schema[key], depth), depth, hops + 1))
        return rest

    def _choose(self, options: list[Any], depth: int) -> Schema:
        known = [option for option in options if isinstance(option, dict)]
        if depth >= _DEEP:
            flat = [
                option for option in known if option.get("type") not in {"object", "array"} and "$ref" not in option
            ]
            known = flat or known
        return known[0] if known else {}

    def _resolve(self, reference: str) -> Schema:
        found: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            if part and isinstance(found, dict):
                found = found.get(part.replace("~1", "/").replace("~0", "~"), {})
        return found if isinstance(found, dict) else {}

    def _kind(self, schema: Schema, depth: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            simple = [one for one in kind if one not in {"object", "array"}]
            kind = next(iter(simple if depth >= _DEEP and simple else kind), None)
        if isinstance(kind, str):
            return kind
        if "properties" in schema:
            return "object"
        return "array" if "items" in schema or "prefixItems" in schema else "string"

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        names = [name for name in properties if depth < _DEEP or name in required]
        names += [name for name in required if name not in properties]
        made = {name: self.make(properties.get(name, {}), name, depth + 1) for name in names}
        other = schema.get("additionalProperties", {})
        for number in range(len(made), min(schema.get("minProperties", 0), _MANY)):
            made[f"key{number}"] = self.make(other, f"key{number}", depth + 1)
        return made

    def _string(self, schema: Schema, name: str) -> str:
        value: str = _FORMATS.get(schema.get("format", ""), name)
        least, most = min(schema.get("minLength", 0), _LONG), schema.get("maxLength")
        pattern = schema.get("pattern")
        if pattern and self._patterns < _PATTERNS and _is_quick(pattern):
            self._patterns += 1
            value = next((text for text in (value, *_USUAL) if _matches(pattern, text) and len(text) >= least), value)
        value += "x" * (least - len(value))
        return value if most is None else value[:most]

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        fixed = schema.get("prefixItems") or []
        least = schema.get("minItems", 1 if depth < _DEEP else 0)
        wanted = min(max(least, len(fixed)), schema.get("maxItems", _MANY), _MANY)
        made = [self.make(part, name, depth + 1) for part in fixed[:wanted]]
        items = schema.get("items", {})
        for number in range(len(made), wanted):
            value = self.make(items, name, depth + 1)
            made.append(_varied(value, number, items) if schema.get("uniqueItems") and value in made else value)
        return made


def _merge(one: Schema, other: Schema) -> Schema:
    merged = {**one, **other}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**one["properties"], **other["properties"]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *(name for name in other["required"] if name not in one["required"])]
    return merged


def _varied(value: Any, number: int, items: Any) -> Any:
    if isinstance(items, dict) and items.get("enum"):
        return items["enum"][number % len(items["enum"])]
    if isinstance(value, str):
        return f"{value}{number}"
    return value + number if isinstance(value, int | float) and not isinstance(value, bool) else value


def _scalar(kind: str, schema: Schema, name: str) -> Any:
    if kind in {"integer", "number"}:
        return _number(schema, whole=kind == "integer")
    if kind in {"boolean", "null"}:
        return True if kind == "boolean" else None
    return name


def _number(schema: Schema, *, whole: bool) -> int | float:
    step = schema.get("multipleOf") or (1 if whole else 0.5)
    low, high = schema.get("minimum"), schema.get("maximum")
    over, under = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    value: int | float = step
    if over is not None and value <= over:
        value = (math.floor(over / step) + 1) * step
    if low is not None and value < low:
        value = math.ceil(low / step) * step
    if high is not None and value > high:
        value = math.floor(high / step) * step
    if under is not None and value >= under:
        value = (math.ceil(under / step) - 1) * step
    if not whole and not _inside(value, schema):
        bounds = [bound for bound in (low, over, high, under) if bound is not None]
        value = sum(bounds) / len(bounds)
    return int(value) if whole else value


def _inside(value: float, schema: Schema) -> bool:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    over, under = schema.get("exclusiveMinimum", -math.inf), schema.get("exclusiveMaximum", math.inf)
    return bool(low <= value <= high and over < value < under)


def _length(value: Any) -> int:
    """About how many characters of JSON it is."""
    if isinstance(value, dict):
        return sum(len(name) + _length(item) for name, item in value.items()) + 2
    if isinstance(value, list):
        return sum(map(_length, value)) + 2
    return len(value) if isinstance(value, str) else 8


def _is_quick(pattern: str) -> bool:
    """Matching it takes little time whatever it is: a few loops beside each other, none around another one.

    Python's matcher tries every way; `(a+)+$` alone holds it up for ever on thirty letters.
    """
    return (
        len(pattern) <= _LONGEST_PATTERN
        and _REPEATED_GROUP.search(pattern) is None
        and len(_LOOP.findall(pattern)) <= _LOOPS
        and len(_OPTION.findall(pattern)) <= _OPTIONS
    )


def _matches(pattern: str, text: str) -> bool:
    try:
        return len(text) <= _LONGEST_MATCHED and re.search(pattern, text) is not None
    except (re.error, OverflowError):
        return False
