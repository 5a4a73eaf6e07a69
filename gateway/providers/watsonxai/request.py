"""A chat request as a body of `/ml/v1/text/chat`."""

from __future__ import annotations

from typing import Any

from gateway.errors import InvalidRequest
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.parts import calls_of, parts_of, texts_of
from gateway.providers.chat.request import ChatRequest, Function, Message
from gateway.providers.watsonxai.places import payer
from gateway.types import Deployment

Json = dict[str, Any]

SPOKEN = frozenset(
    {
        "temperature",
        "top_p",
        "n",
        "seed",
        "stop",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "response_format",
    }
)
"""See `ChatDialect.spoken`."""
_AS_THEY_ARE = (
    "temperature",
    "top_p",
    "n",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
)
EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
"""The nearest of the three that the API knows."""
AS_MANY_AS_THERE_ARE = 0
"""Output tokens for who sets no limit: without one the API ends an answer at 1,024."""


def body_of(chat: ChatRequest, deployment: Deployment, losses: Losses) -> Json:
    """Raises InvalidRequest."""
    body: Json = payer(deployment)
    body["messages"] = [_message(message, losses, f"messages[{index}]") for index, message in enumerate(chat.messages)]
    _offer(body, chat, losses)
    limit = chat.limit if chat.limit is not None else deployment.max_output_tokens
    body["max_completion_tokens"] = AS_MANY_AS_THERE_ARE if limit is None else limit
    for name in _AS_THEY_ARE:
        value = getattr(chat, name)
        if value is not None:
            body[name] = value
    if chat.stops:
        body["stop"] = chat.stops
    _shape(body, chat)
    effort = chat.reasoning_effort
    if effort in EFFORTS:
        body["reasoning_effort"] = EFFORTS[effort]
    elif effort is not None:
        losses.parameter("reasoning_effort", f"Use one of {', '.join(EFFORTS)}.")
    return body


def _message(message: Message, losses: Losses, at: str) -> Json:
    if message.role in ("system", "developer"):
        return {"role": "system", "content": texts_of(message, losses, at)}
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": texts_of(message, losses, at)}
    if message.role != "assistant":
        return {"role": "user", "content": parts_of(message, losses, at)}
    text = texts_of(message, losses, at) + (message.refusal or "")
    calls = calls_of(message, losses, at)
    given: Json = {"role": "assistant"}
    if text or not calls:
        given["content"] = text
    if calls:
        given["tool_calls"] = calls
    return given


def _offer(body: Json, chat: ChatRequest, losses: Losses) -> None:
    """Tools; a word of choice and a named function stand in fields of their own."""
    mode, named = chat.choice
    offered = chat.offered
    if mode == "named" and all(function.name != named for function in offered):
        raise InvalidRequest("`tool_choice` names a function that is not among `tools`.", param="tool_choice")
    if not offered:
        return
    body["tools"] = [_tool(function) for function in offered]
    if any(function.strict for function in offered):
        losses.parameter("tools.function.strict", "Leave `strict` out for this provider.")
    if mode == "named":
        body["tool_choice"] = {"type": "function", "function": {"name": named}}
    else:
        body["tool_choice_option"] = mode


def _tool(function: Function) -> Json:
    given: Json = {"name": function.name}
    if function.description is not None:
        given["description"] = function.description
    if bytes(function.parameters):
        given["parameters"] = function.parameters
    return {"type": "function", "function": given}


def _shape(body: Json, chat: ChatRequest) -> None:
    form = chat.response_format
    if form is None or form.type == "text":
        return
    body["response_format"] = {"type": form.type}
    if form.type == "json_schema" and form.json_schema is not None:
        schema: Json = {"name": form.json_schema.name}
        if form.json_schema.strict is not None:
            schema["strict"] = form.json_schema.strict
        if bytes(form.json_schema.schema):
            schema["schema"] = form.json_schema.schema
        body["response_format"]["json_schema"] = schema
