"""What Cohere's models can do, as their names tell."""

from __future__ import annotations

import re

from gateway.providers.services.families import Families
from gateway.types import Service

FAMILIES = Families(
    {
        Service.CHAT: re.compile(r"^(?:command|c4ai-|aya)"),
        Service.EMBEDDINGS: re.compile(r"^embed-"),
        Service.RERANK: re.compile(r"^rerank-"),
    },
    {Service.CHAT: "command-a-03-2025", Service.EMBEDDINGS: "embed-v4.0", Service.RERANK: "rerank-v3.5"},
)
_REASONS = re.compile(r"command-a-(?:reasoning|plus)")
"""https://docs.cohere.com/docs/reasoning"""
_PLAIN = re.compile(r"command-(?:r|light|nightly|a-(?:0\d|1\d|vision|translate))|command$|c4ai-|aya")


def reasons(model: str) -> bool:
    """It is known to reason before it answers, and wants its reasoning back as such."""
    return _REASONS.match(model) is not None


def cannot_reason(model: str) -> bool:
    """It is known not to; of a model that nobody here has heard of nothing is known."""
    return _PLAIN.match(model) is not None
