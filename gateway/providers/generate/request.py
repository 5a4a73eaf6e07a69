"""A chat request as a body of generateContent."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import ChatRequest, Function
from gateway.providers.generate.content import Conversation
from gateway.providers.generate.models import Abilities, abilities_of
from gateway.providers.generate.reasoning import thinking
from gateway.providers.generate.schema import restricted
from gateway.types import Deployment

Json = dict[str, Any]

SPOKEN = frozenset(
    {
        "n",
        "seed",
        "logprobs",
        "top_logprobs",
        "frequency_penalty",
        "presence_penalty",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "reasoning_effort",
        "response_format",
        "safety_settings",
        "modalities",
    }
)
"""See `ChatDialect.spoken`."""
_MADE = {"text": "TEXT", "image": "IMAGE"}
"""`modalities` in Google's words; what a model says aloud goes by another API."""
_SAME = (
    ("temperature", "temperature"),
    ("topP", "top_p"),
    ("topK", "top_k"),
    ("seed", "seed"),
    ("frequencyPenalty", "frequency_penalty"),
    ("presencePenalty", "presence_penalty"),
    ("maxOutputTokens", "limit"),
)


def body_of(chat: ChatRequest, deployment: Deployment, losses: Losses) -> Json:
    """The body; the model and whether it is streamed are in the path. Raises InvalidRequest."""
    able = abilities_of(deployment.model)
    talk = Conversation(chat, able, losses)
    body: Json = {"contents": talk.turns}
    if talk.system:
        body["systemInstruction"] = {"parts": talk.system}
    _offer(body, chat, able)
    config = _config(chat, losses)
    _shape(config, chat, able)
    thought = thinking(chat.reasoning_effort, able, losses)
    if thought is not None:
        config["thinkingConfig"] = thought
    if config:
        body["generationConfig"] = config
    if chat.safety_settings:
        body["safetySettings"] = chat.safety_settings
    return body


def _offer(body: Json, chat: ChatRequest, able: Abilities) -> None:
    """The tools, and how they are to be chosen."""
    offered = chat.offered
    if not offered:
        return
    body["tools"] = [{"functionDeclarations": [_declared(function, able) for function in offered]}]
    mode, name = chat.choice
    choice: Json = {}
    if name is not None:
        choice = {"mode": "ANY", "allowedFunctionNames": [name]}
    elif mode != "auto":
        choice = {"mode": "ANY" if mode == "required" else "NONE"}
    elif able.validated and any(function.strict for function in offered):
        choice = {"mode": "VALIDATED"}
    if choice:
        body["toolConfig"] = {"functionCallingConfig": choice}


def _declared(function: Function, able: Abilities) -> Json:
    given: Json = {"name": function.name}
    if function.description:
        given["description"] = function.description
    if bytes(function.parameters):
        name, schema = _schema(function.parameters, able, ("parametersJsonSchema", "parameters"))
        given[name] = schema
    return given


def _schema(schema: msgspec.Raw, able: Abilities, names: tuple[str, str]) -> tuple[str, Any]:
    """As it came, or cut down for models that know no JSON Schema; with its field's name."""
    if able.json_schema:
        return names[0], schema
    return names[1], restricted(msgspec.json.decode(schema))


def _config(chat: ChatRequest, losses: Losses) -> Json:
    """What is made, sampling and limits. Raises UnsupportedParameter."""
    config = {ours: value for ours, name in _SAME if (value := getattr(chat, name)) is not None}
    if chat.stops:
        config["stopSequences"] = chat.stops
    if chat.n is not None and chat.n > 1:
        config["candidateCount"] = chat.n
    if chat.logprobs:
        config["responseLogprobs"] = True
        if chat.top_logprobs:
            config["logprobs"] = chat.top_logprobs
    wanted = chat.modalities or ()
    if not _MADE.keys() >= set(wanted):
        losses.parameter("modalities", "This provider's chats make text and pictures.")
    if made := [_MADE[one] for one in wanted if one in _MADE]:
        config["responseModalities"] = made
    return config


def _shape(config: Json, chat: ChatRequest, able: Abilities) -> None:
    """Structured output."""
    form = chat.response_format
    if form is None or form.type == "text":
        return
    config["responseMimeType"] = "application/json"
    if form.json_schema is not None and bytes(form.json_schema.schema):
        name, schema = _schema(form.json_schema.schema, able, ("responseJsonSchema", "responseSchema"))
        config[name] = schema
