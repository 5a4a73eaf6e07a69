"""Structured output: whether a schema keeps the rules of OpenAI's strict mode."""

from __future__ import annotations

from typing import Any

import msgspec

MOST = 5000
"""Nodes of a schema that are looked at."""


def is_strict(schema: msgspec.Raw) -> bool:
    """Whether every object closes itself and requires all of its properties: Anthropic allows optional ones."""
    try:
        todo: list[Any] = [msgspec.json.decode(schema)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    seen = 0
    while todo:
        node = todo.pop()
        seen += 1
        if seen > MOST:
            return False
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            if not _closed(node):
                return False
            todo += node.values()
    return True


def _closed(node: dict[str, Any]) -> bool:
    properties = node.get("properties")
    if not isinstance(properties, dict):
        return node.get("type") != "object"
    required = node.get("required")
    return (
        node.get("additionalProperties") is False and isinstance(required, list) and set(required) >= properties.keys()
    )
