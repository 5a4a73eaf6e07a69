"""How hard a model is to think, for models that can be told."""

from __future__ import annotations

import re
from functools import lru_cache

from gateway.bridges.messages.asked import MessagesRequest
from gateway.types import Deployment

CAPABILITY = "reasoning"
# OpenAI's own, those with its open weights, Google's, and Amazon's: the families whose API takes `reasoning_effort`.
_REASONS = re.compile(
    r"(?:^|[/.:@_-])(?:o[1-9](?![\w.])|gpt-[5-9](?!.*chat)|gpt-oss|codex|gemini-(?:2\.5|[3-9])|nova-2)", re.IGNORECASE
)
_BUDGETS = ((4096, "low"), (16_384, "medium"))
"""Tokens of thinking below which the word fits."""


def effort_of(asked: MessagesRequest, deployment: Deployment) -> str | None:
    """The `reasoning_effort` that is asked for; None to leave it to the model.

    A model that does not reason refuses the word, and clients such as Claude Code send theirs with every request: it
    goes only to models that are known to reason, by their declared capabilities or else by their name.
    """
    told = asked.output_config.effort if asked.output_config is not None else None
    if told is None and asked.thinking is not None and asked.thinking.type == "enabled":
        budget = asked.thinking.budget_tokens or 0
        told = next((word for below, word in _BUDGETS if budget < below), "high")
    return told if told is not None and _reasons(deployment) else None


def _reasons(deployment: Deployment) -> bool:
    if deployment.capabilities:
        return CAPABILITY in deployment.capabilities
    return _named_so(deployment.model)


@lru_cache(maxsize=1024)
def _named_so(model: str) -> bool:
    return _REASONS.search(model) is not None
