"""Content for providers whose messages are nearly OpenAI's: texts joined, pictures checked, calls given back whole."""

from __future__ import annotations

from typing import Any

from gateway.providers.chat.losses import Losses
from gateway.providers.chat.media import media_of
from gateway.providers.chat.request import Message, Part, ToolCall

Json = dict[str, Any]

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def texts_of(message: Message, losses: Losses, at: str) -> str:
    """The text of a message that can have nothing else. Raises UnsupportedParameter for what it has beside."""
    return "".join(_text(part, losses, f"{at}.content[{number}]") for number, part in enumerate(message.parts))


def _text(part: Part, losses: Losses, at: str) -> str:
    if part.type not in ("text", "refusal"):
        raise losses.content(at, f"a part of type `{part.type}` there")
    return part.text or part.refusal


def calls_of(message: Message, losses: Losses, at: str) -> list[Json]:
    """The calls of an assistant's turn; one without arguments has an empty object."""
    calls = message.tool_calls or ()
    return [_called(call, losses, f"{at}.tool_calls[{number}]") for number, call in enumerate(calls)]


def _called(call: ToolCall, losses: Losses, at: str) -> Json:
    if call.function is None:
        raise losses.content(at, f"a tool call of type {call.type}")
    function = {"name": call.function.name, "arguments": call.function.arguments.strip() or "{}"}
    return {"id": call.id, "type": "function", "function": function}


def parts_of(message: Message, losses: Losses, at: str) -> str | list[Json]:
    """What a user says: text as it came, or texts and pictures. Raises UnsupportedParameter for anything else."""
    if isinstance(message.content, str):
        return message.content
    return [_part(part, losses, f"{at}.content[{number}]") for number, part in enumerate(message.parts)] or ""


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
