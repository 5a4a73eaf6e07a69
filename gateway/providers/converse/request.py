"""A chat request as a body of Converse, which is the same for the whole answer and for the stream."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import NO_PARAMETERS, ChatRequest, Function, Tool
from gateway.providers.converse.content import Conversation, cache_point
from gateway.providers.converse.models import Abilities, abilities_of
from gateway.providers.converse.names import name_of
from gateway.providers.converse.reasoning import reason
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
        "guardrail_config",
        "additional_model_request_fields",
    }
)
"""See `ChatDialect.spoken`."""
TIERS = frozenset({"flex", "priority"})
"""Of OpenAI's service tiers those that Bedrock has too; any other is the default."""
_JSON_ONLY = "Answer with one valid JSON object and nothing else: no explanation, no code fence."
_NO_CALLS = "Answer in words now: call no tools."


def body_of(chat: ChatRequest, deployment: Deployment, losses: Losses) -> Json:
    """The body. Raises InvalidRequest."""
    able = abilities_of(deployment.model)
    talk = Conversation(chat, able, losses)
    if able.claude is not None and not able.claude.prefill and talk.turns and talk.turns[-1]["role"] == "assistant":
        raise losses.content("messages", "an assistant message at the end", "End with a user or tool message.")
    more: Json = {}
    body: Json = {"messages": talk.turns}
    tools = _tools(chat, talk, able, losses)
    if tools and chat.parallel_tool_calls is False and chat.choice[0] != "none":
        _one_by_one(tools, more, able, losses)
    _shape(body, talk, chat, able, losses)
    thinks = reason(more, talk, chat, deployment, (able, losses))
    config = _sampled(chat, more, thinks, able, losses)
    if chat.cache_control and able.cached and talk.turns:
        talk.turns[-1]["content"].append(cache_point(chat.cache_control))
    if talk.system:
        body["system"] = talk.system
    if config:
        body["inferenceConfig"] = config
    if tools:
        body["toolConfig"] = tools
    # The operator's is no default that a caller may replace.
    guardrail = deployment.parameters.get("guardrail_config") or chat.guardrail_config
    if guardrail is not None:
        body["guardrailConfig"] = guardrail
    if chat.service_tier in TIERS:
        body["serviceTier"] = {"type": chat.service_tier}
    more.update(chat.additional_model_request_fields or {})
    if more:
        body["additionalModelRequestFields"] = more
    return body


def _tools(chat: ChatRequest, talk: Conversation, able: Abilities, losses: Losses) -> Json:
    """The tools, and how they are to be chosen. Those of the conversation so far must stand there, wanted or not; that
    none is to be called can only be said in words."""
    offered = chat.offered
    mode, chosen = chat.choice
    named = {name_of(function.name): function for function in offered}
    if mode == "none":
        named = {name: function for name, function in named.items() if name in talk.called}
        if talk.called:
            talk.instruct(_NO_CALLS)
    marks = {tool.function.name: tool for tool in chat.tools or () if tool.function is not None}
    tools: list[Json] = []
    for name, function in named.items():
        tools.append({"toolSpec": _spec(name, function, able, losses)})
        tools += _mark(marks.get(function.name), able)
    gone = (name for name in talk.called if name not in named)
    tools += [{"toolSpec": {"name": name, "inputSchema": {"json": NO_PARAMETERS}}} for name in gone]
    if not tools:
        return {}
    choice: Json = {}
    if mode == "required":
        choice = {"any": {}}
    elif chosen is not None:
        choice = {"tool": {"name": name_of(chosen)}}
    return {"tools": tools, **({"toolChoice": choice} if choice else {})}


def _one_by_one(tools: Json, more: Json, able: Abilities, losses: Losses) -> None:
    """No parallel calls. The choice is then told in one place alone: Bedrock refuses two."""
    if not able.single:
        losses.parameter("parallel_tool_calls")
        return
    ((mode, chosen),) = tools.pop("toolChoice", {"auto": {}}).items()
    more["tool_choice"] = {"type": mode, **chosen, "disable_parallel_tool_use": True}


def _spec(name: str, function: Function, able: Abilities, losses: Losses) -> Json:
    spec: Json = {"name": name, "inputSchema": {"json": function.schema}}
    if function.description:
        spec["description"] = function.description
    if function.strict:
        if able.structured:
            spec["strict"] = True
            spec["inputSchema"] = {"json": grammatical(function.schema)}
        else:
            losses.parameter("tools.function.strict", "Leave `strict` out for this model.")
    return spec


def _mark(tool: Tool | None, able: Abilities) -> list[Json]:
    given = tool.cache_control if tool is not None and able.cached_tools else None
    return [cache_point(given)] if given else []


def _shape(body: Json, talk: Conversation, chat: ChatRequest, able: Abilities, losses: Losses) -> None:
    """Structured output: by the API where the model has it, or in words."""
    form = chat.response_format
    if form is None or form.type == "text":
        return
    schema = form.json_schema.schema if form.json_schema is not None else msgspec.Raw()
    if form.type == "json_schema" and form.json_schema is not None and bytes(schema) and able.structured:
        given = {"schema": bytes(grammatical(schema)).decode(), "name": name_of(form.json_schema.name)}
        if form.json_schema.description:
            given["description"] = form.json_schema.description
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": given}}}
        return
    words = _JSON_ONLY
    if bytes(schema):
        losses.parameter("response_format", "Use `json_object`, or another model.")
        words += " It must satisfy this JSON Schema: " + bytes(schema).decode()
    talk.instruct(words)


def _sampled(chat: ChatRequest, more: Json, thinks: bool, able: Abilities, losses: Losses) -> Json:
    """`inferenceConfig`, as far as this model takes it; `thinks`: it was given a budget for its reasoning."""
    config: Json = {}
    if chat.limit is not None:
        config["maxTokens"] = chat.limit
    claude = able.claude
    for name, ours, value in (("temperature", "temperature", chat.temperature), ("topP", "top_p", chat.top_p)):
        if value is None:
            continue
        if claude is not None and not claude.sampling:
            losses.parameter(ours, "This model chooses its sampling itself: leave it out.")
        elif thinks and ours == "temperature":
            losses.parameter(ours, "Leave it out while reasoning is asked for.")
        elif claude is not None and ours == "top_p" and not claude.both and chat.temperature is not None:
            losses.parameter(ours, "This model takes one of `temperature` and `top_p`.")
        elif value > 1:
            losses.parameter(ours, "It ends at 1 here.")
            config[name] = 1.0
        else:
            config[name] = value
    if chat.top_k is not None:
        _top_k(more, chat.top_k, thinks, able, losses)
    stops = [word for word in chat.stops if word.strip()] if claude is not None else chat.stops
    if stops:
        config["stopSequences"] = stops
    return config


def _top_k(more: Json, value: int, thinks: bool, able: Abilities, losses: Losses) -> None:
    """Where each vendor has it."""
    if able.claude is not None and not able.claude.sampling:
        losses.parameter("top_k", "This model chooses its sampling itself: leave it out.")
    elif thinks or not able.top_k:
        losses.parameter("top_k", "Leave it out for this model.")
    else:
        *outer, name = able.top_k
        inner = more
        for step in outer:
            inner = inner.setdefault(step, {})
        inner[name] = value
