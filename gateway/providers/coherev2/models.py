"""What Cohere's models are for, as their names tell; a name of another kind may do anything."""

from __future__ import annotations

import re

from gateway.errors import InvalidRequest
from gateway.types import Service

_FAMILIES = (
    (re.compile(r"(?:command|c4ai-|aya)"), frozenset({Service.CHAT})),
    (re.compile(r"embed-"), frozenset({Service.EMBEDDINGS})),
    (re.compile(r"rerank-"), frozenset({Service.RERANK})),
    (re.compile(r".*transcribe"), frozenset({Service.TRANSCRIPTION})),
)
_EXAMPLES = {
    Service.CHAT: "one that chats, such as `command-a-03-2025`",
    Service.EMBEDDINGS: "one for embeddings, such as `embed-v4.0`",
    Service.RERANK: "one for rerank, such as `rerank-v3.5`",
    Service.TRANSCRIPTION: "one for transcriptions, such as `cohere-transcribe-03-2026`",
}
_REASONS = re.compile(r"command-a-(?:reasoning|plus)")
"""https://docs.cohere.com/docs/reasoning"""
_PLAIN = re.compile(r"command-(?:r|light|nightly|a-(?:0\d|1\d|vision|translate))|command$|c4ai-|aya")


def check_family(model: str, service: Service) -> None:
    """Raises InvalidRequest for a model that is for something else: Cohere's own 404 would not say so."""
    for name, services in _FAMILIES:
        if name.match(model) and service not in services:
            raise InvalidRequest(f"This model is not for {service}: use {_EXAMPLES[service]}.", param="model")


def reasons(model: str) -> bool:
    """It is known to reason before it answers, and wants its reasoning back as such."""
    return _REASONS.match(model) is not None


def cannot_reason(model: str) -> bool:
    """It is known not to; of a model that nobody here has heard of nothing is known."""
    return _PLAIN.match(model) is not None
