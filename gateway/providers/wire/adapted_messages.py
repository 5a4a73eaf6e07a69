"""Messages as a provider takes them that differs from OpenAI: roles, ids of calls, parts, pictures, reasoning."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import msgspec

from gateway.providers.chat.losses import Losses
from gateway.providers.wire.traits import Traits

Message = dict[str, msgspec.Raw]
_MESSAGES = msgspec.json.Decoder(list[Message])
_NULL = b"null"
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_DATA = re.compile(r"data:([^;,]*)", re.IGNORECASE)
ECHOES = frozenset(
    {
        "name",
        "refusal",
        "annotations",
        "audio",
        "function_call",
        "reasoning",
        "reasoning_content",
        "reasoning_details",
        "thinking_blocks",
        "extra_content",
        "provider_metadata",
        "cache_control",
    }
)
"""Members of messages that came with an answer of some provider, or are hints."""
_ODD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def short_id(given: str, length: int) -> str:
    """An id of so many letters and digits, always the same one for the same id; one that is so already stays."""
    if len(given) == length and given.isascii() and given.isalnum():
        return given
    number = int.from_bytes(blake2b(given.encode("utf-8", "surrogatepass"), digest_size=32).digest(), "big")
    found = ""
    while len(found) < length:
        number, digit = divmod(number, len(_ALPHABET))
        found += _ALPHABET[digit]
    return found


class MessageAdapter:
    """Puts messages as one provider or model takes them."""

    __slots__ = ("_needles", "_traits")

    def __init__(self, traits: Traits) -> None:
        self._traits = traits
        self._needles = tuple(_needles(traits))

    def adapted(self, raw: msgspec.Raw, losses: Losses) -> msgspec.Raw:
        """The messages as they are sent; the same object where nothing changes. Raises UnsupportedParameter."""
        text = bytes(raw)
        if not any(needle in text for needle in self._needles):
            return raw
        try:
            messages = _MESSAGES.decode(raw)
        except _ODD:
            return raw  # no messages that anybody could read: the provider says so
        edited = False
        for index, message in enumerate(messages):
            before = dict(message)
            self._adapt(message, f"messages[{index}]", losses)
            edited = edited or message != before
        return _raw(messages) if edited else raw

    def _adapt(self, message: Message, place: str, losses: Losses) -> None:
        traits = self._traits
        role = _value(message.get("role"))
        if role in ("developer", "system"):
            known = traits.developer_role if role == "developer" else traits.system_role
            if not known:
                message["role"] = _raw("system" if traits.system_role else "user")
        if not traits.nulls:
            for name in [name for name, raw in message.items() if name != "content" and bytes(raw) == _NULL]:
                del message[name]
        if role == "assistant":
            self._reasoning(message)
        if traits.plain_messages:
            _plain(message, traits, place, losses)
        if traits.tool_id_length is not None:
            self._ids(message, traits.tool_id_length)
        content = message.get("content")
        if content is not None and bytes(memoryview(content)[:1]) == b"[":
            self._content(message, role, place, losses)

    def _reasoning(self, message: Message) -> None:
        """What the client read as `reasoning_content`, under the provider's name."""
        wanted = self._traits.reasoning_field
        if self._traits.thinking_parts:
            _thinking(message)
        elif wanted is not None:
            other = "reasoning_content" if wanted == "reasoning" else "reasoning"
            told = message.pop(other, None)
            if told is not None:
                message.setdefault(wanted, told)

    def _ids(self, message: Message, length: int) -> None:
        given = _value(message.get("tool_call_id"))
        if isinstance(given, str):
            message["tool_call_id"] = _raw(short_id(given, length))
        calls = _value(message.get("tool_calls"))
        if isinstance(calls, list):
            for call in calls:
                if isinstance(call, dict) and isinstance(call.get("id"), str):
                    call["id"] = short_id(call["id"], length)
            message["tool_calls"] = _raw(calls)

    def _content(self, message: Message, role: Any, place: str, losses: Losses) -> None:
        traits, parts = self._traits, _value(message["content"])
        if not isinstance(parts, list):
            return
        for index, part in enumerate(parts):
            if isinstance(part, dict) and part.get("type") == "image_url":
                self._picture(part, f"{place}.content[{index}]", losses)
        if not traits.flat_content:
            return
        texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in parts]
        if all(isinstance(text, str) for text in texts):
            message["content"] = _raw("".join(map(str, texts)))
        elif role == "tool":
            raise losses.content(f"{place}.content", "results of tools that are no text")

    def _picture(self, part: dict[str, Any], place: str, losses: Losses) -> None:
        """Raises UnsupportedParameter for a picture that the provider would not take."""
        image = part.get("image_url")
        url = image.get("url") if isinstance(image, dict) else image
        if not isinstance(url, str):
            return
        if not self._traits.image_url_http and url[:5].lower() in ("http:", "https"):
            raise losses.content(place, "pictures by URL", "Send it as a data URI, or use another model for it.")
        mime = _DATA.match(url)
        mimes = self._traits.image_mimes
        if mime is not None and mimes and mime[1].lower() not in mimes:
            raise losses.content(place, f"pictures of this type (only {', '.join(sorted(mimes))})")


def _needles(traits: Traits) -> Iterator[bytes]:
    """What stands in every text of messages in which something may change."""
    if traits.plain_messages or not traits.system_role:
        yield b"{"
    if not traits.developer_role:
        yield b'"developer"'
    if not traits.nulls:
        yield _NULL
    if traits.tool_id_length is not None:
        yield b'"tool_call'
    if traits.flat_content:
        yield b'"text"'
    if not traits.image_url_http or traits.image_mimes:
        yield b'"image_url"'
    if traits.reasoning_field is not None or traits.thinking_parts:
        yield b'"reasoning'


def _plain(message: Message, traits: Traits, place: str, losses: Losses) -> None:
    """Only members that the provider knows. Raises UnsupportedParameter for sound and pictures: these are content."""
    if "audio" in message:
        raise losses.content(f"{place}.audio", "sound that it made before")
    if _value(message.pop("images", None)):
        raise losses.content(f"{place}.images", "pictures that a model made before")
    told = message.get("refusal")
    if told is not None and bytes(message.get("content", _NULL)) in (_NULL, b'""'):
        message["content"] = told
    for name in ECHOES & message.keys():
        if name != traits.reasoning_field:
            del message[name]
    calls = _value(message.get("tool_calls"))
    if isinstance(calls, list) and any(isinstance(call, dict) and "extra_content" in call for call in calls):
        for call in calls:
            if isinstance(call, dict):
                call.pop("extra_content", None)
        message["tool_calls"] = _raw(calls)


def _thinking(message: Message) -> None:
    told = _value(message.pop("reasoning_content", None) or message.pop("reasoning", None))
    content = _value(message.get("content"))
    if not isinstance(told, str) or not told or not isinstance(content, str | None):
        return
    parts: list[dict[str, Any]] = [{"type": "thinking", "thinking": [{"type": "text", "text": told}]}]
    if content:
        parts.append({"type": "text", "text": content})
    message["content"] = _raw(parts)


def _value(raw: msgspec.Raw | None) -> Any:
    """What it says; None for nothing, and for what cannot be read."""
    try:
        return None if raw is None else msgspec.json.decode(raw)
    except _ODD:
        return None


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
