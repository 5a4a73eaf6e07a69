"""OpenAI's messages as Cohere's: the same roles and nearly the same words."""

from __future__ import annotations

from typing import Any

from gateway.providers.chat.losses import Losses
from gateway.providers.chat.media import media_of
from gateway.providers.chat.request import ChatRequest, Message, Part, ToolCall

Json = dict[str, Any]

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def messages_of(chat: ChatRequest, losses: Losses, *, thinks: bool) -> list[Json]:
    """The conversation. `thinks`: the model takes its reasoning back as such, others as the plan of their calls. Raises
    InvalidRequest."""
    found: list[Json] = []
    for index, message in enumerate(chat.messages):
        at = f"messages[{index}]"
        if message.role in ("system", "developer"):
            found.append({"role": "system", "content": _texts(message, losses, at)})
        elif message.role == "assistant":
            found.append(_assistant(message, losses, at, thinks=thinks))
        elif message.role == "tool":
            content = _texts(message, losses, at)
            found.append({"role": "tool", "tool_call_id": message.tool_call_id, "content": content})
        else:
            found.append({"role": "user", "content": _parts(message, losses, at)})
    return found


def _texts(message: Message, losses: Losses, at: str) -> str:
    return "".join(_text(part, losses, f"{at}.content[{number}]") for number, part in enumerate(message.parts))


def _text(part: Part, losses: Losses, at: str) -> str:
    if part.type not in ("text", "refusal"):
        raise losses.content(at, f"a part of type `{part.type}` there")
    return part.text or part.refusal


def _assistant(message: Message, losses: Losses, at: str, *, thinks: bool) -> Json:
    text = _texts(message, losses, at) + (message.refusal or "")
    given: Json = {"role": "assistant"}
    calls = message.tool_calls or []
    if calls:
        given["tool_calls"] = [_called(call, losses, f"{at}.tool_calls[{number}]") for number, call in enumerate(calls)]
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


def _called(call: ToolCall, losses: Losses, at: str) -> Json:
    if call.function is None:
        raise losses.content(at, f"a tool call of type {call.type}")
    function = {"name": call.function.name, "arguments": call.function.arguments.strip() or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def _parts(message: Message, losses: Losses, at: str) -> str | list[Json]:
    """Text as it came; a list only where there is something else than one text."""
    if isinstance(message.content, str):
        return message.content
    found = [_part(part, losses, f"{at}.content[{number}]") for number, part in enumerate(message.parts)]
    return found or ""


def _part(part: Part, losses: Losses, at: str) -> Json:
    if part.type == "text":
        return {"type": "text", "text": part.text}
    if part.type != "image_url" or part.image_url is None:
        what = {"input_audio": "sound", "file": "files"}.get(part.type, f"a part of type `{part.type}`")
        raise losses.content(at, what)
    image = part.image_url
    url, detail = (image, None) if isinstance(image, str) else (image.url, image.detail)
    if not url.startswith(("http://", "https://")):
        url = _data(url, losses, f"{at}.image_url.url")
    return {"type": "image_url", "image_url": {"url": url, **({"detail": detail} if detail else {})}}


def _data(url: str, losses: Losses, at: str) -> str:
    """A data URI of the type that its bytes have."""
    media = media_of(url, at)
    if media.kind not in IMAGES:
        raise losses.content(at, f"images of type {media.kind or 'unknown'}", "Send JPEG, PNG, GIF or WebP.")
    return f"data:{media.kind};base64,{media.data}"
