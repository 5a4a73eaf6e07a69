"""JSON Schemas of structured output and `strict` tools, as Anthropic's API and Bedrock's take them.

Both compile a schema to a grammar, and refuse the whole request for one that holds what a grammar does not: an object
that is not closed, a bound of numbers or lengths. OpenAI's API takes them. So objects are closed, and bounds go into
the description, where the model reads them: Anthropic's own SDKs do the same for their users.
"""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]

_BOUNDS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
)
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)
_MOST_ITEMS = 1
"""The largest `minItems` that is known."""
_NAMED = ("properties", "$defs", "definitions")
_LISTED = ("anyOf", "allOf")
_DECODER = msgspec.json.Decoder()


def grammatical(schema: msgspec.Raw) -> msgspec.Raw:
    """The nearest schema that can be compiled; itself where nothing must change. What has no near one (an object of
    any keys, a schema of itself) stays for the provider to refuse."""
    try:
        given = _DECODER.decode(schema)
    except msgspec.DecodeError:
        # A number that no machine has: not for the gateway to judge.
        return schema
    told = _nearest(given)
    return schema if told == given else msgspec.Raw(msgspec.json.encode(told))


def _nearest(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    kept: Json = dict(schema)
    if "oneOf" in kept and "anyOf" not in kept:
        kept["anyOf"] = kept.pop("oneOf")
    for name in _NAMED:
        if isinstance(kept.get(name), dict):
            kept[name] = {key: _nearest(one) for key, one in kept[name].items()}
    for name in _LISTED:
        if isinstance(kept.get(name), list):
            kept[name] = [_nearest(one) for one in kept[name]]
    if "items" in kept:
        kept["items"] = _nearest(kept["items"])
    if "properties" in kept and not isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = False
    _describe(kept)
    return kept


def _describe(schema: Json) -> None:
    """What no grammar holds becomes words."""
    lost = [name for name in _BOUNDS if name in schema and not _is_known(name, schema[name])]
    if isinstance(schema.get("format"), str) and schema["format"] not in _FORMATS:
        lost.append("format")
    if not lost:
        return
    words = ", ".join(f"{name}: {msgspec.json.encode(schema.pop(name)).decode()}" for name in lost)
    before = schema.get("description")
    schema["description"] = f"{before}\n\n{{{words}}}" if isinstance(before, str) and before else f"{{{words}}}"


def _is_known(name: str, value: Any) -> bool:
    return name == "minItems" and isinstance(value, int) and 0 <= value <= _MOST_ITEMS
