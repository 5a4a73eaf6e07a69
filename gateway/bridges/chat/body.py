"""A chat as the body of a request to the Responses API."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import msgspec

from gateway.bridges.chat.items import items_of
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.reading import read_chat
from gateway.providers.chat.request import NO_PARAMETERS, ChatRequest, Function, NamedChoice
from gateway.types import Call, Deployment

Json = dict[str, Any]

SPOKEN = frozenset(
    {
        "temperature",
        "top_p",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "verbosity",
        "parallel_tool_calls",
        "response_format",
    }
)
_SAME = (
    "temperature",
    "top_p",
    "top_logprobs",
    "parallel_tool_calls",
    "metadata",
    "service_tier",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
)
"""Fields that both APIs have."""
_REASONING = "reasoning"
_LOGPROBS = "message.output_text.logprobs"
_ENCRYPTED = "reasoning.encrypted_content"
_SEALING = ("openai", "azure")
_REASONERS = re.compile(r"o[1-9](?!\w)|gpt-[5-9](?!.*chat)|codex", re.IGNORECASE)
"""OpenAI's models that reason, and so can be asked for it sealed: by name, as common SDKs tell them, too."""
_MODEL = b'{"model":'


def responses_body(call: Call, deployment: Deployment) -> tuple[bytes, tuple[int, int]]:
    """The body, and where the model's name stands in it. The deployment's defaults and the cap are the dialect's to put
    in. Raises UnsupportedParameter, InvalidRequest."""
    chat = _read(call, deployment)
    losses = Losses(deployment.provider)
    losses.check(chat, SPOKEN)
    body: Json = {"model": call.model, "input": items_of(chat, losses), "store": bool(chat.store)}
    for name in _SAME:
        value = getattr(chat, name)
        if value is not None:
            body[name] = value
    if chat.limit is not None:
        body["max_output_tokens"] = chat.limit
    _offer(body, chat)
    _shape(body, chat)
    _include(body, chat, deployment)
    if call.stream:
        body["stream"] = True
    return msgspec.json.encode(body), (len(_MODEL), len(_MODEL) + len(msgspec.json.encode(call.model)))


def _read(call: Call, deployment: Deployment) -> ChatRequest:
    if call.output_cap is not None:
        call = msgspec.structs.replace(call, output_cap=None)
    return read_chat(call, replace(deployment, parameters={}) if deployment.parameters else deployment)


def _offer(body: Json, chat: ChatRequest) -> None:
    """Tools, and how they are to be chosen. What is said of them without any is left out."""
    tools = [_function(tool.function) for tool in chat.tools or () if tool.function is not None]
    if not tools:
        body.pop("parallel_tool_calls", None)
        return
    body["tools"] = tools
    choice = chat.tool_choice
    if isinstance(choice, str):
        body["tool_choice"] = choice
    elif isinstance(choice, NamedChoice) and choice.allowed_tools is not None:
        names = [tool.function.name for tool in choice.allowed_tools.tools if tool.function is not None]
        allowed = [{"type": "function", "name": name} for name in names]
        body["tool_choice"] = {"type": "allowed_tools", "mode": choice.allowed_tools.mode, "tools": allowed}
    elif isinstance(choice, NamedChoice) and choice.function is not None:
        body["tool_choice"] = {"type": "function", "name": choice.function.name}


def _function(function: Function) -> Json:
    """Without a word about it a chat's functions are not strict; this API's are."""
    described = {"description": function.description} if function.description else {}
    return {
        "type": "function",
        "name": function.name,
        **described,
        "parameters": function.parameters if bytes(function.parameters) else NO_PARAMETERS,
        "strict": bool(function.strict),
    }


def _shape(body: Json, chat: ChatRequest) -> None:
    text: Json = {}
    form = chat.response_format
    if form is not None and form.type == "json_schema" and form.json_schema is not None:
        schema = form.json_schema
        text["format"] = {
            "type": "json_schema",
            "name": schema.name,
            "schema": schema.schema if bytes(schema.schema) else NO_PARAMETERS,
            "strict": bool(schema.strict),
        }
        if schema.description:
            text["format"]["description"] = schema.description
    elif form is not None and form.type != "text":
        text["format"] = {"type": form.type}
    if chat.verbosity is not None:
        text["verbosity"] = chat.verbosity
    if text:
        body["text"] = text


def _include(body: Json, chat: ChatRequest, deployment: Deployment) -> None:
    """Effort, and what the answer is to hold beyond its words. Reasoning comes back sealed where the model is known to
    reason: others refuse to be asked for it."""
    include: list[str] = []
    if chat.logprobs:
        include.append(_LOGPROBS)
    else:
        body.pop("top_logprobs", None)
    if chat.reasoning_effort is not None:
        body["reasoning"] = {"effort": chat.reasoning_effort}
    if chat.reasoning_effort != "none" and (chat.reasoning_effort is not None or _reasons(deployment)):
        include.append(_ENCRYPTED)
    if include:
        body["include"] = include


def _reasons(deployment: Deployment) -> bool:
    if deployment.capabilities:
        return _REASONING in deployment.capabilities
    return deployment.provider.type in _SEALING and _REASONERS.match(deployment.model) is not None
