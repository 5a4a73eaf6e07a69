"""A request of the Responses API as the body of a chat."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.bridges.responses.asked import ResponsesRequest, read_request
from gateway.bridges.responses.conversation import Conversation
from gateway.bridges.responses.tools import offer
from gateway.errors import InvalidRequest, UnsupportedParameter
from gateway.providers.chat.losses import Losses
from gateway.types import Call, Deployment

Json = dict[str, Any]

NEWER = "max_completion_tokens"
"""OpenAI's newer models know only this word, most of its imitators only the old one."""
LOGPROBS = "message.output_text.logprobs"
_MODEL = b'{"model":'
_STATEFUL = {
    "previous_response_id": "Send the earlier turns in `input`.",
    "conversation": "Send the whole conversation in `input`.",
    "background": "Ask without it, and with `stream` if the answer takes long.",
    "prompt": "Send the prompt's text in `instructions` and `input`.",
}


def chat_body(call: Call, deployment: Deployment, extensions: frozenset[str]) -> tuple[bytes, tuple[int, int]]:
    """The body, and where the model's name stands in it. Raises UnsupportedParameter, InvalidRequest."""
    asked = read_request(call.raw)
    losses = Losses(deployment.provider)
    _refuse(asked, losses)
    body: Json = {"model": call.model, "messages": _messages(asked, extensions, losses)}
    offer(body, asked, losses)
    _shape(body, asked)
    _sample(body, asked, extensions)
    if call.stream:
        body["stream"] = True
    return msgspec.json.encode(body), (len(_MODEL), len(_MODEL) + len(msgspec.json.encode(call.model)))


def _refuse(asked: ResponsesRequest, losses: Losses) -> None:
    """What needs a state that nobody keeps, and what changes the answer and cannot be said."""
    for name, advice in _STATEFUL.items():
        if getattr(asked, name):
            raise UnsupportedParameter(
                f"`{name}` needs a provider that stores responses, and this model's ({losses.what}) does not. {advice}",
                param=name,
            )
    for name in asked.unknown:
        losses.parameter(name)


def _messages(asked: ResponsesRequest, extensions: frozenset[str], losses: Losses) -> list[Json]:
    talk = Conversation(asked.instructions, extensions, losses)
    if not asked.input:
        raise InvalidRequest("`input` must hold something to answer.", param="input")
    if isinstance(asked.input, str):
        return [*talk.finish(), {"role": "user", "content": asked.input}]
    for index, item in enumerate(asked.input):
        talk.add(item, f"input[{index}]")
    return talk.finish()


def _shape(body: Json, asked: ResponsesRequest) -> None:
    """The form of the answer."""
    text = asked.text
    if text is None:
        return
    if text.verbosity not in (None, "medium"):
        body["verbosity"] = text.verbosity
    form = text.format
    if form is None or form.type == "text":
        return
    if form.type == "json_object":
        body["response_format"] = {"type": "json_object"}
        return
    if form.type != "json_schema" or bytes(form.schema)[:1] != b"{":
        raise InvalidRequest(
            "`text.format` is none of text, json_object, or json_schema with its schema.", param="text.format"
        )
    schema: Json = {"name": form.name, "schema": form.schema}
    if form.description:
        schema["description"] = form.description
    if form.strict is not None:
        schema["strict"] = form.strict
    body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _sample(body: Json, asked: ResponsesRequest, extensions: frozenset[str]) -> None:
    """Limits, chance, reasoning, and whom it is for."""
    if asked.max_output_tokens is not None:
        body[NEWER if NEWER in extensions else "max_tokens"] = asked.max_output_tokens
    if asked.temperature is not None:
        body["temperature"] = asked.temperature
    if asked.top_p is not None:
        body["top_p"] = asked.top_p
    if asked.top_logprobs or LOGPROBS in (asked.include or ()):
        body["logprobs"] = True
        if asked.top_logprobs:
            body["top_logprobs"] = asked.top_logprobs
    if asked.reasoning is not None and asked.reasoning.effort is not None:
        body["reasoning_effort"] = asked.reasoning.effort
    user = asked.safety_identifier or asked.user
    if user:
        body["user"] = user
    if asked.service_tier not in (None, "auto", "default"):
        body["service_tier"] = asked.service_tier
