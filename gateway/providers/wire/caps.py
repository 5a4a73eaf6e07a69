"""Cutting a call off: the member that holds the most output tokens, put into a body whose caller left it open."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gateway.providers.wire.jsonscan import Member
from gateway.types import Service

CAPS: Mapping[Service, tuple[str, ...]] = {
    Service.CHAT: ("max_completion_tokens", "max_tokens"),
    Service.COMPLETIONS: ("max_tokens",),
    Service.RESPONSES: ("max_output_tokens",),
}
"""The members that cut a service's output off. Chat has two: providers know one of them, and some refuse both."""
# In any case, or with an escape in it: some providers ignore case.
_MENTIONED = re.compile(rb'"max_(?:completion_|output_)?tokens"|\\u00', re.IGNORECASE)


class Cut(NamedTuple):
    """Which member says how much, and the spans of values that it takes the place of. `insert`: it is not there yet."""

    name: str
    tokens: int
    spans: tuple[tuple[int, int], ...]
    insert: bool


def mentioned(raw: bytes) -> bool:
    """Whether a body may hold such a member, as `null`: a fast look."""
    return _MENTIONED.search(raw) is not None


def cut(raw: bytes, present: Sequence[Member], defaults: Mapping[str, Any], names: Sequence[str], tokens: int) -> Cut:
    """How to cut a call off at `tokens` whose caller set none of `names`, the first of which the provider prefers.

    A deployment's own default stays if it is smaller, and says which member its provider knows.
    """
    told = [name for name in names if _is_count(defaults.get(name))]
    name = told[0] if told else names[0]
    tokens = min(tokens, *(defaults[name] for name in told)) if told else tokens
    spans = []
    insert = True
    for member in present:
        if member.key == name:
            insert = False
        elif member.key.lower() not in names or raw[member.start : member.end] == b"null":
            continue
        # Another spelling, or another value before the last one: whichever of them the provider takes is bounded.
        spans.append((member.start, member.end))
    return Cut(name, tokens, tuple(spans), insert)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
