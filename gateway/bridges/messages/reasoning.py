"""How hard a model is to think, for models that can be told."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from gateway.bridges.messages.asked import MessagesRequest
from gateway.providers.messages.models import abilities_of
from gateway.types import Deployment

Json = dict[str, Any]

CAPABILITY = "reasoning"
# OpenAI's own, those with its open weights, Google's, and Amazon's: the families whose API takes `reasoning_effort`.
_REASONS = re.compile(
    r"(?:^|[/.:@_-])(?:o[1-9](?![\w.])|gpt-[5-9](?!.*chat)|gpt-oss|codex|gemini-(?:2\.5|[3-9])|nova-2)", re.IGNORECASE
)
_BUDGETS = ((4096, "low"), (16_384, "medium"))
"""Tokens of thinking below which the word fits."""


def think(body: Json, asked: MessagesRequest, raw: bytes, deployment: Deployment, extensions: frozenset[str]) -> None:
    """Sets what asks for reasoning in the words that this model's provider has: `raw` is the request as it came."""
    if "thinking" in extensions and abilities_of(deployment.model).efforts:
        _think_as_claude(body, asked, raw, deployment)
        return
    effort = _effort_of(asked, deployment)
    if asked.thinking is not None and "thinking" in extensions and (effort is None or asked.thinking.type == "enabled"):
        body["thinking"] = _thinking(raw)
    elif effort is not None:
        body["reasoning_effort"] = effort


def _think_as_claude(body: Json, asked: MessagesRequest, raw: bytes, deployment: Deployment) -> None:
    """Claude has a word for how much and one for whether, as its client has: neither stands for the other."""
    effort = asked.output_config.effort if asked.output_config is not None else None
    if effort is not None:
        body["reasoning_effort"] = effort
    if asked.thinking is not None:
        body["thinking"] = _thinking(raw)
    elif effort is not None and abilities_of(deployment.model).quiet:
        body["thinking"] = {"type": "disabled"}


def _effort_of(asked: MessagesRequest, deployment: Deployment) -> str | None:
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


class _Thought(msgspec.Struct, gc=False):
    thinking: msgspec.Raw


def _thinking(raw: bytes) -> msgspec.Raw:
    return msgspec.json.decode(raw, type=_Thought).thinking
