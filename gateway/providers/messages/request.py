"""A chat request as a body of the Messages API."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import ChatRequest, Function, Tool
from gateway.providers.messages.content import Conversation
from gateway.providers.messages.models import Abilities, abilities_of
from gateway.providers.messages.reasoning import reason
from gateway.providers.messages.schema import grammatical
from gateway.types import Deployment

Json = dict[str, Any]

SPOKEN = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "reasoning_effort",
        "thinking",
        "parallel_tool_calls",
        "response_format",
        "cache_control",
    }
)
"""See `ChatDialect.spoken`."""
_JSON_ONLY = "Answer with one valid JSON object and nothing else: no explanation, no code fence."


def body_of(chat: ChatRequest, deployment: Deployment, losses: Losses) -> Json:
    """The body without `model` and `stream`, whose place differs between resellers. Raises InvalidRequest."""
    able = abilities_of(deployment.model)
    talk = Conversation(chat, losses)
    limit = chat.limit if chat.limit is not None else deployment.max_output_tokens or able.max_output
    body: Json = {"max_tokens": limit, "messages": talk.turns}
    if not able.prefill and talk.turns and talk.turns[-1]["role"] == "assistant":
        raise losses.content("messages", "an assistant message at the end", "End with a user or tool message.")
    output: Json = {}
    _offer(body, chat, able, losses)
    _shape(output, talk, chat, able, losses)
    reason(body, output, talk, chat, (able, losses))
    _sample(body, chat, able, losses)
    if talk.system:
        body["system"] = talk.told
    if output:
        body["output_config"] = output
    stops = [word for word in chat.stops if word.strip()]
    if stops:
        body["stop_sequences"] = stops
    user = chat.safety_identifier or chat.user
    if user:
        body["metadata"] = {"user_id": user}
    if chat.cache_control is not None:
        body["cache_control"] = chat.cache_control
    return body


def _offer(body: Json, chat: ChatRequest, able: Abilities, losses: Losses) -> None:
    """The tools, and how they are to be chosen."""
    offered = chat.offered
    if not offered:
        return
    marks = {tool.function.name: tool for tool in chat.tools or () if tool.function is not None}
    body["tools"] = [_tool(function, marks[function.name], able, losses) for function in offered]
    mode, name = chat.choice
    choice: Json = {"type": {"required": "any", "named": "tool", "none": "none"}.get(mode, "auto")}
    if name is not None:
        choice["name"] = name
    if chat.parallel_tool_calls is False and mode != "none":
        choice["disable_parallel_tool_use"] = True
    if choice != {"type": "auto"}:
        body["tool_choice"] = choice


def _tool(function: Function, tool: Tool, able: Abilities, losses: Losses) -> Json:
    given: Json = {"name": function.name}
    if function.description:
        given["description"] = function.description
    given["input_schema"] = function.schema
    if function.strict:
        if able.structured:
            given["strict"] = True
            given["input_schema"] = grammatical(function.schema)
        else:
            losses.parameter("tools.function.strict", "Leave `strict` out for this model.")
    if tool.cache_control is not None:
        given["cache_control"] = tool.cache_control
    return given


def _shape(output: Json, talk: Conversation, chat: ChatRequest, able: Abilities, losses: Losses) -> None:
    """Structured output: by the API where the model has it, or in words."""
    form = chat.response_format
    if form is None or form.type == "text":
        return
    schema = form.json_schema.schema if form.type == "json_schema" and form.json_schema is not None else msgspec.Raw()
    if bytes(schema) and able.structured:
        output["format"] = {"type": "json_schema", "schema": grammatical(schema)}
        return
    words = _JSON_ONLY
    if bytes(schema):
        losses.parameter("response_format", "Use `json_object`, or a newer model.")
        words += " It must satisfy this JSON Schema: " + bytes(schema).decode()
    talk.system.append({"type": "text", "text": words})


def _sample(body: Json, chat: ChatRequest, able: Abilities, losses: Losses) -> None:
    """Sampling, as far as this model still takes it."""
    thinks = body.get("thinking", {}).get("type") == "enabled"
    for name, value in (("temperature", chat.temperature), ("top_p", chat.top_p), ("top_k", chat.top_k)):
        if value is None:
            continue
        if not able.sampling:
            losses.parameter(name, "This model chooses its sampling itself: leave it out.")
        elif thinks and name != "top_p":
            losses.parameter(name, "Leave it out while reasoning is asked for.")
        elif name == "top_p" and not able.both and chat.temperature is not None:
            losses.parameter(name, "This model takes one of `temperature` and `top_p`.")
        elif name == "temperature" and value > 1:
            losses.parameter(name, "This model's temperatures end at 1.")
            body[name] = 1.0
        else:
            body[name] = value
