"""Tiers of service: what providers say that they served a call at, and what requests ask for."""

from __future__ import annotations

import re

ORDINARY = frozenset({"default", "standard", "standard_only", "on_demand", "auto", "unspecified"})
"""Words for the tier that a price without any is for; `auto` is told by those that do not say what became of it."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_GOOGLES = "on_demand_"
"""What Vertex AI calls its tiers begins so: https://cloud.google.com/vertex-ai/generative-ai/docs/priority-paygo"""


def served_at(told: object) -> str:
    """The tier that a provider told; empty for the ordinary one, and where that is no name of any."""
    if not isinstance(told, str) or told in ORDINARY:
        return ""
    name = told.lower().removeprefix(_GOOGLES)
    return name if name not in ORDINARY and _NAME.fullmatch(name) is not None else ""
