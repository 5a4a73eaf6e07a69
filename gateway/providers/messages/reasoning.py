"""How hard a model is to think: OpenAI's `reasoning_effort` in the words that each generation of Claude has for it."""

from __future__ import annotations

from typing import Any, Protocol

from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import ChatRequest
from gateway.providers.messages.models import Abilities

Json = dict[str, Any]

MIN_BUDGET = 1024
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16_384, "xhigh": 32_000, "max": 32_000}
"""Tokens of thinking, for models that are given a budget."""
_NEAREST = {"minimal": ("low",), "xhigh": ("xhigh", "high"), "max": ("max", "high")}


class Talk(Protocol):
    """A conversation with Claude, in whatever API."""

    thought: bool
    """Every earlier turn with tool calls has its thinking."""


def reason(body: Json, output: Json, talk: Talk, chat: ChatRequest, means: tuple[Abilities, Losses]) -> None:
    """Sets `thinking` in the body and `effort` in its `output_config`. Raises UnsupportedParameter."""
    able, losses = means
    own, effort = chat.thinking, chat.reasoning_effort
    if own is not None:
        body["thinking"] = own
    if effort is None:
        return
    if effort == "none":
        if own is None and able.quiet and (able.adaptive or able.budget):
            body["thinking"] = {"type": "disabled"}
        return
    if effort not in BUDGETS:
        losses.parameter("reasoning_effort", f"Use one of none, {', '.join(BUDGETS)}.")
        return
    if able.efforts:
        output["effort"] = next((word for word in _NEAREST.get(effort, (effort,)) if word in able.efforts), "high")
    if own is not None:
        return  # it says how much, or that there is none; of models without levels it says all
    if able.adaptive:
        body["thinking"] = {"type": "adaptive", **({"display": "summarized"} if able.summaries else {})}
    elif able.budget:
        _budget(body, talk, effort, losses)
    elif not able.efforts:
        losses.parameter("reasoning_effort", "This model does not reason: leave it out.")


def _budget(body: Json, talk: Talk, effort: str, losses: Losses) -> None:
    limit = body["max_tokens"]
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        losses.parameter("reasoning_effort", "This model does not reason while a tool is forced.")
    elif limit <= MIN_BUDGET:
        losses.parameter("reasoning_effort", f"This model needs `max_tokens` above {MIN_BUDGET} to reason.")
    elif talk.thought:
        # A turn with tool calls must give its thinking back. Where the client lost it, this call goes without.
        most = max(MIN_BUDGET, limit * 4 // 5)
        body["thinking"] = {"type": "enabled", "budget_tokens": min(BUDGETS[effort], most)}
