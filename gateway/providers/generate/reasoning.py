"""How hard a model is to think: OpenAI's `reasoning_effort` in the words that each generation of Gemini has for it."""

from __future__ import annotations

from typing import Any

from gateway.providers.chat.losses import Losses
from gateway.providers.generate.models import Abilities

Json = dict[str, Any]

BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 32_768, "max": 32_768}
"""Tokens of thinking, for models that are given a budget; as Google's own OpenAI endpoint has them."""
_NEAREST = {
    "none": ("MINIMAL", "LOW"),
    "minimal": ("MINIMAL", "LOW"),
    "low": ("LOW",),
    "medium": ("MEDIUM", "HIGH"),
}


def thinking(effort: str | None, able: Abilities, losses: Losses) -> Json | None:
    """The `thinkingConfig`; None to leave it to the model. Raises UnsupportedParameter.

    `none` is the least that the model knows: some cannot be kept from thinking.
    """
    if effort is None:
        return None
    if effort not in BUDGETS:
        losses.parameter("reasoning_effort", f"Use one of {', '.join(BUDGETS)}.")
        return None
    if not able.reasons:
        if effort != "none":
            losses.parameter("reasoning_effort", "This model does not reason: leave it out.")
        return None
    config: Json = {} if effort == "none" else {"includeThoughts": True}
    if able.levels:
        config["thinkingLevel"] = next((word for word in _NEAREST.get(effort, ()) if word in able.levels), "HIGH")
    elif able.budget is not None:
        least, most = able.budget
        config["thinkingBudget"] = min(max(BUDGETS[effort], least), most)
    return config
