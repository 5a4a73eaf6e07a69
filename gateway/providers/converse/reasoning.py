"""How hard a model is to think: OpenAI's `reasoning_effort` in the words that each vendor has for it."""

from __future__ import annotations

from typing import Any

from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import ChatRequest
from gateway.providers.converse.content import Conversation
from gateway.providers.converse.models import Abilities
from gateway.providers.messages.reasoning import BUDGETS
from gateway.providers.messages.reasoning import reason as claude_reason
from gateway.types import Deployment

Json = dict[str, Any]

_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
"""Of vendors that know three."""
_NO_REASONING = "This model is not asked to reason: leave it out."


def reason(
    more: Json, talk: Conversation, chat: ChatRequest, deployment: Deployment, means: tuple[Abilities, Losses]
) -> bool:
    """Sets what asks for reasoning in `additionalModelRequestFields`; whether it has a budget, beside which models take
    no sampling. Raises UnsupportedParameter."""
    able, losses = means
    if able.effort == "claude" or (not able.vendor and chat.thinking is not None):
        return _claude(more, talk, chat, deployment, means)
    if chat.thinking is not None:
        losses.parameter("thinking", "It is for Claude: use `reasoning_effort`.")
    effort = chat.reasoning_effort
    if effort is None:
        return False
    if effort != "none" and effort not in BUDGETS:
        losses.parameter("reasoning_effort", f"Use one of none, {', '.join(BUDGETS)}.")
    elif able.effort == "nova":
        _nova(more, effort)
    elif effort != "none" and able.effort:
        more[able.effort] = _LEVELS[effort]
    elif effort != "none":
        losses.parameter("reasoning_effort", _NO_REASONING)
    return False


def _nova(more: Json, effort: str) -> None:
    if effort == "none":
        more["reasoningConfig"] = {"type": "disabled"}
    else:
        more["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": _LEVELS[effort]}


def _claude(
    more: Json, talk: Conversation, chat: ChatRequest, deployment: Deployment, means: tuple[Abilities, Losses]
) -> bool:
    """In Anthropic's own fields, which Bedrock hands on."""
    able, losses = means
    if able.claude is None:
        more["thinking"] = chat.thinking
        if chat.reasoning_effort not in (None, "none"):
            more["output_config"] = {"effort": chat.reasoning_effort}
        return True
    limit = chat.limit if chat.limit is not None else deployment.max_output_tokens or able.claude.max_output
    forced = {"type": "any"} if chat.choice[0] in ("required", "named") else {}
    asked: Json = {"max_tokens": limit, "tool_choice": forced}
    output: Json = {}
    claude_reason(asked, output, talk, chat, (able.claude, losses))
    thinking: Json = asked.get("thinking") or {}
    if thinking:
        more["thinking"] = thinking
    if output:
        more["output_config"] = output
    budgeted = thinking.get("type") == "enabled"
    if budgeted and chat.limit is None and chat.thinking is None:
        # Bedrock's own default may be less than the budget.
        chat.max_completion_tokens = limit
    return budgeted
