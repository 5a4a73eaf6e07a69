"""Messages of a chat as items: each call and each result of a tool is one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.errors import InvalidRequest
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.request import ChatRequest, Message, Part

Json = dict[str, Any]


def items_of(chat: ChatRequest, losses: Losses) -> list[Json]:
    """The input. Raises UnsupportedParameter for content that has no word, InvalidRequest for content that has none at
    all."""
    items: list[Json] = []
    thought: list[Json] = []
    for index, message in enumerate(chat.messages):
        at = f"messages[{index}]"
        if message.role == "assistant":
            # Reasoning that nothing follows is refused.
            thought += _thought(message)
            said = list(_said(message, at, losses))
            if said:
                items += thought + said
                thought = []
            continue
        thought = []
        if message.role == "tool":
            output = _content(message, at, losses)
            items.append({"type": "function_call_output", "call_id": message.tool_call_id, "output": output})
        else:
            items.append({"role": message.role, "content": _content(message, at, losses)})
    return items


def _thought(message: Message) -> list[Json]:
    """What the model thought; other providers' blocks say nothing to this one."""
    blocks = message.thinking_blocks or ()
    return [block for block in blocks if block.get("type") == "reasoning" and block.get("encrypted_content")]


def _said(message: Message, at: str, losses: Losses) -> Iterator[Json]:
    """What the model said and called, in this order."""
    parts = message.parts
    for number, part in enumerate(parts):
        if part.type not in ("text", "refusal"):
            raise losses.content(f"{at}.content[{number}]", f"`{part.type[:64]}` in what the model said")
    text = "".join(part.refusal if part.type == "refusal" else part.text for part in parts) or message.refusal
    if text:
        yield {"role": "assistant", "content": text}
    for number, call in enumerate(message.tool_calls or ()):
        if call.function is None or not call.id:
            raise InvalidRequest("A call needs its `id` and its `function`.", param=f"{at}.tool_calls[{number}]")
        arguments = call.function.arguments or "{}"
        yield {"type": "function_call", "call_id": call.id, "name": call.function.name, "arguments": arguments}


def _content(message: Message, at: str, losses: Losses) -> str | list[Json]:
    content = message.content
    if content is None or isinstance(content, str):
        return content or ""
    return [_part(part, f"{at}.content[{number}]", losses) for number, part in enumerate(content)]


def _part(part: Part, at: str, losses: Losses) -> Json:
    if part.type == "text":
        return {"type": "input_text", "text": part.text}
    if part.type == "image_url" and part.image_url is not None:
        image = part.image_url
        url, detail = (image, None) if isinstance(image, str) else (image.url, image.detail)
        return {"type": "input_image", "image_url": url, "detail": detail or "auto"}
    if part.type == "file" and part.file is not None:
        file = part.file
        given = {"file_id": file.file_id, "filename": file.filename, "file_data": file.file_data}
        return {"type": "input_file", **{name: value for name, value in given.items() if value is not None}}
    raise losses.content(at, f"content of type `{part.type[:64]}`")
