"""A chat request as a body of `/v2/chat`."""

from __future__ import annotations

from typing import Any

from gateway.errors import InvalidRequest
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import NO_PARAMETERS, ChatRequest, Function
from gateway.providers.coherev2.content import messages_of
from gateway.providers.coherev2.models import cannot_reason, reasons
from gateway.types import Deployment

Json = dict[str, Any]

SPOKEN = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "logprobs",
        "reasoning_effort",
        "thinking",
        "response_format",
        "documents",
        "citation_options",
        "safety_mode",
    }
)
"""See `ChatDialect.spoken`."""
BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": None, "xhigh": None, "max": None}
"""Tokens of thinking; without a number as many as the model likes."""
SMALLEST_P, LARGEST_P = 0.01, 0.99


def body_of(chat: ChatRequest, deployment: Deployment, losses: Losses) -> Json:
    """Raises InvalidRequest."""
    model = deployment.model
    body: Json = {"model": model, "messages": messages_of(chat, losses, thinks=reasons(model))}
    _offer(body, chat, losses)
    _shape(body, chat)
    if chat.limit is not None:
        body["max_tokens"] = chat.limit
    _sample(body, chat, losses)
    _reason(body, chat, model, losses)
    for name, value in (
        ("documents", chat.documents),
        ("citation_options", chat.citation_options),
        ("safety_mode", chat.safety_mode),
    ):
        if value is not None:
            body[name] = value
    return body


def _offer(body: Json, chat: ChatRequest, losses: Losses) -> None:
    """Tools: one of them is forced by offering no other."""
    mode, named = chat.choice
    offered = chat.offered
    if mode == "named":
        offered = [function for function in offered if function.name == named]
        if not offered:
            raise InvalidRequest("`tool_choice` names a function that is not among `tools`.", param="tool_choice")
    if not offered:
        return
    body["tools"] = [_tool(function) for function in offered]
    if mode != "auto":
        body["tool_choice"] = "NONE" if mode == "none" else "REQUIRED"
    strict = [function for function in offered if function.strict]
    if strict and len(strict) < len(offered):
        losses.parameter("tools.function.strict", "Set it for all tools, or for none.")
    elif strict:
        body["strict_tools"] = True


def _tool(function: Function) -> Json:
    given: Json = {"name": function.name}
    if function.description is not None:
        given["description"] = function.description
    given["parameters"] = function.parameters if bytes(function.parameters) else NO_PARAMETERS
    return {"type": "function", "function": given}


def _shape(body: Json, chat: ChatRequest) -> None:
    form = chat.response_format
    if form is None or form.type == "text":
        return
    body["response_format"] = {"type": "json_object"}
    if form.type == "json_schema" and form.json_schema is not None and bytes(form.json_schema.schema):
        body["response_format"]["json_schema"] = form.json_schema.schema


def _sample(body: Json, chat: ChatRequest, losses: Losses) -> None:
    if chat.temperature is not None:
        body["temperature"] = chat.temperature
    if chat.top_p is not None:
        # Its ends mean nothing else than what is nearest to them.
        body["p"] = min(max(chat.top_p, SMALLEST_P), LARGEST_P)
    if chat.top_k is not None:
        body["k"] = chat.top_k
    if chat.stops:
        body["stop_sequences"] = chat.stops
    if chat.seed is not None:
        body["seed"] = chat.seed
    if chat.logprobs:
        body["logprobs"] = True
    for name, value in (("frequency_penalty", chat.frequency_penalty), ("presence_penalty", chat.presence_penalty)):
        if not value:
            continue
        if not 0 <= value <= 1:
            losses.parameter(name, "This provider's penalties are from 0 to 1.")
        body[name] = min(max(value, 0.0), 1.0)


def _reason(body: Json, chat: ChatRequest, model: str, losses: Losses) -> None:
    """How hard to think: OpenAI's word as a budget, within the output that is allowed; or Anthropic's or Cohere's own
    object."""
    if chat.thinking is not None:
        budget = chat.thinking.get("token_budget", chat.thinking.get("budget_tokens"))
        kind = "disabled" if chat.thinking.get("type") == "disabled" else "enabled"
        if cannot_reason(model):
            if kind == "enabled":
                losses.parameter("thinking", "This model does not reason: leave it out.")
            return
        body["thinking"] = {"type": kind, **({"token_budget": budget} if budget is not None else {})}
        return
    effort = chat.reasoning_effort
    if effort is None or (effort == "none" and cannot_reason(model)):
        return
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif effort not in BUDGETS:
        losses.parameter("reasoning_effort", f"Use one of none, {', '.join(BUDGETS)}.")
    elif cannot_reason(model):
        losses.parameter("reasoning_effort", "This model does not reason: leave it out.")
    else:
        budget = BUDGETS[effort]
        if budget is not None and chat.limit is not None:
            budget = min(budget, max(1, chat.limit * 4 // 5))
        body["thinking"] = {"type": "enabled", **({"token_budget": budget} if budget is not None else {})}
