"""OpenAI's messages as Cohere's: the same roles and nearly the same words."""

from __future__ import annotations

from typing import Any

from gateway.providers.chat.losses import Losses
from gateway.providers.chat.parts import calls_of, parts_of, texts_of
from gateway.providers.chat.request import ChatRequest, Message

Json = dict[str, Any]


def messages_of(chat: ChatRequest, losses: Losses, *, thinks: bool) -> list[Json]:
    """The conversation. `thinks`: the model takes its reasoning back as such, others as the plan of their calls. Raises
    InvalidRequest."""
    found: list[Json] = []
    for index, message in enumerate(chat.messages):
        at = f"messages[{index}]"
        if message.role in ("system", "developer"):
            found.append({"role": "system", "content": texts_of(message, losses, at)})
        elif message.role == "assistant":
            found.append(_assistant(message, losses, at, thinks=thinks))
        elif message.role == "tool":
            content = texts_of(message, losses, at)
            found.append({"role": "tool", "tool_call_id": message.tool_call_id, "content": content})
        else:
            found.append({"role": "user", "content": parts_of(message, losses, at)})
    return found


def _assistant(message: Message, losses: Losses, at: str, *, thinks: bool) -> Json:
    text = texts_of(message, losses, at) + (message.refusal or "")
    given: Json = {"role": "assistant"}
    calls = calls_of(message, losses, at)
    if calls:
        given["tool_calls"] = calls
    # Reasoning of a turn that is over is of no use to it; that of one with calls is what it goes on from.
    thought = message.reasoning_content if calls else None
    if thought and not thinks:
        given["tool_plan"] = thought
    if thought and thinks:
        said = [{"type": "text", "text": text}] if text else []
        given["content"] = [{"type": "thinking", "thinking": thought}, *said]
    elif text or not calls:
        given["content"] = text
    return given
