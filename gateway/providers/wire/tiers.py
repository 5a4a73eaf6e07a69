"""Tiers of service: what providers say that they served a call at, and what requests ask for."""

from __future__ import annotations

import re

ORDINARY = frozenset({"default", "standard", "standard_only", "on_demand", "auto", "unspecified"})
"""Words for the tier that a price without any is for; `auto` is told by those that do not say what became of it."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_MEMBER = re.compile(rb'"service_tier"\s*:\s*"([^"\\]*)"')
"""It stands in no text: quotes are escaped there."""
_GOOGLES = "on_demand_"
"""What Vertex AI calls its tiers begins so: https://cloud.google.com/vertex-ai/generative-ai/docs/priority-paygo"""


def tier_in(event: bytes) -> str | None:
    """What the JSON of one event says as `service_tier`. Every chunk says it, and only of the one with the usage it is
    wanted: looking there costs less than reading it in all of them."""
    found = _MEMBER.search(event)
    return None if found is None else found[1].decode("latin-1")


def served_at(told: object) -> str:
    """The tier that a provider told; empty for the ordinary one, and where that is no name of any."""
    if not isinstance(told, str) or told in ORDINARY:
        return ""
    name = told.lower().removeprefix(_GOOGLES)
    return name if name not in ORDINARY and _NAME.fullmatch(name) is not None else ""
