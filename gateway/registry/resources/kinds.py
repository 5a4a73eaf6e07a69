"""Kinds of resources."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """Kinds of resources; the values are the names of their tables. Those that others refer to come first."""

    PROVIDER = "providers"
    MODEL = "models"
    CREDENTIAL = "credentials"
    TEMPLATE = "templates"
    RULE = "routing_rules"
    TEAM = "teams"
    LIMIT = "limits"


WITHIN_PROVIDERS = frozenset({Kind.MODEL, Kind.CREDENTIAL})
"""Kinds whose resources belong to a provider, and whose names are unique there."""


def context_of(credential_id: str) -> str:
    """What a credential's secret is bound to when it is sealed."""
    return f"credentials/{credential_id}"
