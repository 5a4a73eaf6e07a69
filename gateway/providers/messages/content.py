"""OpenAI's messages as Anthropic's: system apart, turns that alternate, blocks in the order the API wants."""

from __future__ import annotations

import re
from typing import Any

from gateway.providers.chat.arguments import arguments_of
from gateway.providers.chat.losses import Losses
from gateway.providers.chat.media import Media, media_of
from gateway.providers.chat.request import ChatRequest, FileData, Message, Part, ToolCall

Block = dict[str, Any]

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_ODD_ID = re.compile(r"[^a-zA-Z0-9_-]")
_LIVES = {"5m": "5m", "1h": "1h", "30m": "1h", "12h": "1h"}
"""OpenAI's lives of a cached prefix as Anthropic's, which end at an hour."""
_THOUGHTS = ("thinking", "redacted_thinking")


class Conversation:
    """The translated messages. `thought`: every earlier turn with tool calls has its thinking."""

    __slots__ = ("_losses", "_thinking", "system", "thought", "turns")

    def __init__(self, chat: ChatRequest, losses: Losses) -> None:
        self.system: list[Block] = []
        self.turns: list[dict[str, Any]] = []
        self.thought = True
        self._thinking: list[Block] = []
        """What the model thought before it says anything: no turn ends with it."""
        self._losses = losses
        for index, message in enumerate(chat.messages):
            self._add(message, f"messages[{index}]")
        if not self.turns and self.system:
            # Instructions alone: OpenAI answers them, this API wants somebody to speak.
            self.turns.append({"role": "user", "content": self.system})
            self.system = []

    @property
    def told(self) -> str | list[Block]:
        """The system's words: a string, or blocks where one of them is to be cached."""
        if any(block.keys() != {"type", "text"} for block in self.system):
            return self.system
        return "\n\n".join(block["text"] for block in self.system)

    def _add(self, message: Message, at: str) -> None:
        if message.role in ("system", "developer"):
            self.system += self._texts(message, at)
        elif message.role == "assistant":
            self._append("assistant", self._assistant(message, at))
        elif message.role == "tool":
            self._append("user", [self._result(message, at)])
        else:
            self._append("user", _cached(self._blocks(message.parts, at), message))

    def _append(self, role: str, blocks: list[Block]) -> None:
        """One more turn; what one side says in a row is one turn, results of tools before anything else of it."""
        if role == "assistant" and all(block["type"] in _THOUGHTS for block in blocks):
            self._thinking += blocks
            return
        if role == "assistant":
            blocks = self._thinking + blocks
        self._thinking = []
        if not blocks:
            return
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "content": blocks})
            return
        content = self.turns[-1]["content"]
        if blocks[0]["type"] == "tool_result":
            at = next((at for at, block in enumerate(content) if block["type"] != "tool_result"), len(content))
            content[at:at] = blocks
        else:
            content += blocks

    def _texts(self, message: Message, at: str) -> list[Block]:
        for number, part in enumerate(message.words):
            if part.type != "text":
                raise self._losses.content(f"{at}.content[{number}]", f"{part.type} in a {message.role} message")
        return _cached([_text(part) for part in message.words if part.text], message)

    def _assistant(self, message: Message, at: str) -> list[Block]:
        blocks = [block for block in message.thinking_blocks or () if block.get("type") in _THOUGHTS]
        thought = bool(blocks)
        for number, part in enumerate(message.words):
            if part.type not in ("text", "refusal"):
                raise self._losses.content(f"{at}.content[{number}]", f"{part.type} in an assistant message")
            if part.text or part.refusal:
                blocks.append(_text(part))
        if message.refusal:
            blocks.append({"type": "text", "text": message.refusal})
        for number, call in enumerate(message.tool_calls or ()):
            blocks.append(self._called(call, f"{at}.tool_calls[{number}]"))
            self.thought = self.thought and thought
        return _cached(blocks, message)

    def _called(self, call: ToolCall, at: str) -> Block:
        if call.function is None:
            raise self._losses.content(at, f"a tool call of type {call.type}")
        arguments = arguments_of(call.function.arguments)
        return {"type": "tool_use", "id": _tool_id(call.id), "name": call.function.name, "input": arguments}

    def _result(self, message: Message, at: str) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": _tool_id(message.tool_call_id or "")}
        if isinstance(message.content, str):
            if message.content:
                block["content"] = message.content
        elif parts := self._blocks(message.parts, at):
            block["content"] = parts
        return _cached([block], message)[0]

    def _blocks(self, parts: list[Part], at: str) -> list[Block]:
        blocks: list[Block] = []
        for number, part in enumerate(parts):
            if part.type == "text":
                if part.text:
                    blocks.append(_text(part))
                continue
            block = self._media(part, f"{at}.content[{number}]")
            blocks.append(_marked(block, part))
        return blocks

    def _media(self, part: Part, at: str) -> Block:
        if part.type == "image_url" and part.image_url is not None:
            url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
            return self._image(url, f"{at}.image_url.url")
        if part.type == "file" and part.file is not None:
            return self._document(part.file, f"{at}.file")
        raise self._losses.content(at, "sound" if part.type == "input_audio" else f"a part of type `{part.type}`")

    def _image(self, url: str, at: str) -> Block:
        if url.startswith(("http://", "https://")):
            return {"type": "image", "source": {"type": "url", "url": url}}
        media = media_of(url, at)
        if media.kind not in IMAGES:
            raise self._losses.content(at, f"images of type {media.kind or 'unknown'}", "Send JPEG, PNG, GIF or WebP.")
        return {"type": "image", "source": _base64(media)}

    def _document(self, file: FileData, at: str) -> Block:
        if file.file_data is None:
            raise self._losses.content(f"{at}.file_id", "files stored at OpenAI", "Send the file as `file_data`.")
        media = media_of(file.file_data, f"{at}.file_data")
        if media.kind == "application/pdf":
            source = _base64(media)
        elif media.kind.startswith("text/") or media.kind == "application/json":
            source = {"type": "text", "media_type": "text/plain", "data": media.text(f"{at}.file_data")}
        else:
            raise self._losses.content(
                f"{at}.file_data", f"files of type {media.kind or 'unknown'}", "Send PDF or text."
            )
        title = {"title": file.filename} if file.filename else {}
        return {"type": "document", "source": source, **title}


def _base64(media: Media) -> Block:
    return {"type": "base64", "media_type": media.kind, "data": media.data}


def _text(part: Part) -> Block:
    return _marked({"type": "text", "text": part.text or part.refusal}, part)


def _marked(block: Block, part: Part) -> Block:
    """With the mark that the cache should hold everything up to here."""
    if part.cache_control is not None:
        block["cache_control"] = part.cache_control
    elif part.prompt_cache_breakpoint:
        given = part.prompt_cache_breakpoint
        ttl = _LIVES.get(str(given.get("ttl"))) if isinstance(given, dict) else None
        block["cache_control"] = {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}
    return block


def _cached(blocks: list[Block], message: Message) -> list[Block]:
    if message.cache_control is not None and blocks:
        blocks[-1]["cache_control"] = message.cache_control
    return blocks


def _tool_id(given: str) -> str:
    """Ids that other providers made may hold characters that this API refuses; equal ones stay equal."""
    return _ODD_ID.sub("_", given)
