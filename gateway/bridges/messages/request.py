"""A request of the Messages API as the body of a chat."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from gateway.bridges.messages.asked import MessagesRequest, decode
from gateway.bridges.messages.content import Conversation
from gateway.bridges.messages.reasoning import think
from gateway.bridges.messages.shapes import is_strict
from gateway.bridges.messages.tools import offer
from gateway.errors import InvalidJson, InvalidRequest
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.reading import invalid
from gateway.types import Call, Deployment

Json = dict[str, Any]

LONGEST_USER = 64
"""Characters of a user's name that OpenAI takes; Claude Code's are longer."""
NEWER = "max_completion_tokens"
"""OpenAI's newer models know only this word, most of its imitators only the old one."""
_MODEL = b'{"model":'


def chat_body(call: Call, deployment: Deployment, extensions: frozenset[str]) -> tuple[bytes, tuple[int, int]]:
    """The body, and where the model's name stands in it. Raises UnsupportedParameter, InvalidRequest."""
    asked = _read(call.raw)
    losses = Losses(deployment.provider)
    body: Json = {"model": call.model, "messages": _messages(asked, extensions, losses)}
    _limit(body, asked, deployment, extensions)
    offer(body, asked, extensions, losses)
    _sample(body, asked, extensions)
    _shape(body, asked)
    think(body, asked, call.raw, deployment, extensions)
    if asked.metadata is not None and asked.metadata.user_id:
        body["safety_identifier"] = _user(asked.metadata.user_id)
    if call.stream:
        body["stream"] = True
    _refuse(asked, losses)
    return msgspec.json.encode(body), (len(_MODEL), len(_MODEL) + len(msgspec.json.encode(call.model)))


def _read(raw: bytes) -> MessagesRequest:
    try:
        asked = decode(raw)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidJson from None
    if not asked.messages:
        raise InvalidRequest("`messages` must hold at least one message.", param="messages")
    return asked


def _messages(asked: MessagesRequest, extensions: frozenset[str], losses: Losses) -> list[Json]:
    talk = Conversation(asked.system, extensions, losses)
    for index, turn in enumerate(asked.messages):
        talk.add(turn, f"messages[{index}]")
    if not any(message["role"] != "system" for message in talk.messages):
        raise InvalidRequest("`messages` must hold something to answer.", param="messages")
    return talk.messages


def _limit(body: Json, asked: MessagesRequest, deployment: Deployment, extensions: frozenset[str]) -> None:
    """The limit that the caller had to set; what the model cannot do anyway it is not asked for."""
    if asked.max_tokens is not None:
        most = deployment.max_output_tokens
        name = NEWER if NEWER in extensions else "max_tokens"
        body[name] = asked.max_tokens if most is None else min(asked.max_tokens, most)


def _sample(body: Json, asked: MessagesRequest, extensions: frozenset[str]) -> None:
    if asked.temperature is not None:
        body["temperature"] = asked.temperature
    if asked.top_p is not None:
        body["top_p"] = asked.top_p
    if asked.top_k is not None and "top_k" in extensions:
        body["top_k"] = asked.top_k
    if asked.stop_sequences:
        body["stop"] = asked.stop_sequences


def _shape(body: Json, asked: MessagesRequest) -> None:
    form = asked.format
    if form is None:
        return
    if form.type != "json_schema" or bytes(form.schema)[:1] != b"{":
        raise InvalidRequest(
            "`output_config.format` takes a `json_schema` with its schema.", param="output_config.format"
        )
    schema: Json = {"name": "answer", "schema": form.schema}
    if is_strict(form.schema):
        schema["strict"] = True
    body["response_format"] = {"type": "json_schema", "json_schema": schema}


def _user(name: str) -> str:
    return name if len(name) <= LONGEST_USER else hashlib.sha256(name.encode()).hexdigest()


def _refuse(asked: MessagesRequest, losses: Losses) -> None:
    """What changes the answer and cannot be said."""
    if asked.mcp_servers:
        losses.parameter("mcp_servers", "Anthropic connects to them: use a Claude model, or run their tools yourself.")
    if asked.container is not None:
        losses.parameter("container", "Containers are Anthropic's: use a Claude model.")
    if asked.max_tokens == 0:
        raise losses.content(
            "max_tokens", "a limit of 0 tokens", "It only warms Anthropic's caches: ask for at least 1."
        )
