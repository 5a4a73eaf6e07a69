"""Which capabilities a request asks for: told by its own fields, never by the client.

What is malformed asks for nothing: its shape is the provider's business.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from gateway.http.parse import WishFields
from gateway.types import NO_NEEDS, Service

GENERATIVE = (Service.CHAT, Service.RESPONSES)
"""Services whose requests can ask for any."""
PARTS = {
    "image_url": "vision",
    "input_image": "vision",
    "image": "vision",
    "input_audio": "audio",
}
"""The types of content that models must be able to take."""


class _Typed(msgspec.Struct, gc=False):
    type: str | None = None


class _Text(msgspec.Struct, gc=False):
    format: _Typed | None = None


class _Item(_Typed, gc=False):
    """A message, or an item of the Responses API."""

    content: msgspec.Raw = msgspec.Raw()


_FORMAT = msgspec.json.Decoder(_Typed)
_TEXT = msgspec.json.Decoder(_Text)
_ITEMS = msgspec.json.Decoder(list[_Item])
_PARTS = msgspec.json.Decoder(list[_Typed])
_WORDS = msgspec.json.Decoder(list[str])


def needs_of(fields: WishFields) -> frozenset[str]:
    """Of `vision`, `audio`, `tools` and `json_schema` those that the request asks for."""
    found: set[str] = set()
    prompt = fields.messages or fields.input
    if _is_list(prompt):
        for part in _parts(prompt):
            if part.type in PARTS:
                found.add(PARTS[part.type])
    if _is_list(fields.tools) or _is_list(fields.functions):
        found.add("tools")
    if _wants_schema(fields):
        found.add("json_schema")
    if fields.modalities and "audio" in (_read(_WORDS, fields.modalities) or ()):
        found.add("audio")
    return shared(frozenset(found)) if found else NO_NEEDS


@lru_cache(maxsize=64)
def shared(needs: frozenset[str]) -> frozenset[str]:
    """One object for equal sets: they are compared for every call."""
    return needs


def _is_list(raw: msgspec.Raw) -> bool:
    """With at least one entry."""
    if not raw:
        return False
    text = bytes(memoryview(raw)[:64])
    return text[:1] == b"[" and text[1:].lstrip()[:1] not in (b"]", b"")


def _wants_schema(fields: WishFields) -> bool:
    if fields.response_format:
        form = _read(_FORMAT, fields.response_format)
        return form is not None and form.type == "json_schema"
    text = _read(_TEXT, fields.text) if fields.text else None
    return text is not None and text.format is not None and text.format.type == "json_schema"


def _parts(raw: msgspec.Raw) -> Iterator[_Typed]:
    """The parts of messages, and items that are none."""
    for item in _read(_ITEMS, raw) or ():
        yield item
        if _is_list(item.content):
            yield from _read(_PARTS, item.content) or ()


def _read(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw) -> Any:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
