"""What this version's schema can say, so that an import says as much as it can and comments on the rest."""

from __future__ import annotations

from typing import get_args

from gateway.registry.schema.document import Document
from gateway.registry.schema.routes import Route, Strategy

_STRATEGIES = frozenset(get_args(Strategy))
HAS_ALIASES = "aliases" in Document.model_fields
HAS_FALLBACKS = "fallbacks" in Route.model_fields
"""A route may name other places for what its targets cannot serve."""


def strategy(*wishes: str) -> str:
    """The first of these strategies that there is; the last one is taken to be there."""
    return next((word for word in wishes if word in _STRATEGIES), wishes[-1])
