"""What is read of a request of Anthropic's Messages API before it is known where it goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from gateway.errors import InvalidRequest
from gateway.http.needs import shared
from gateway.http.parse import Fields, decode_with
from gateway.http.routes import COUNT_TOKENS
from gateway.types import NO_NEEDS, Headers

VERSION = b"2023-06-01"
"""The version of the API that a client speaks which names none: the oldest, whose requests later ones may refuse."""
_FORWARDED = (b"anthropic-version", b"anthropic-beta")
_PICTURES = ("image",)
_ABSENT = msgspec.Raw()


class _Block(msgspec.Struct, gc=False):
    type: str | None = None
    content: msgspec.Raw = _ABSENT


class _Turn(msgspec.Struct, gc=False):
    content: msgspec.Raw = _ABSENT


class _OutputConfig(msgspec.Struct, gc=False):
    format: msgspec.Raw = _ABSENT


class MessageFields(Fields, gc=False):
    """With what says which capabilities a request asks for."""

    messages: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT
    output_config: msgspec.Raw = _ABSENT
    output_format: msgspec.Raw = _ABSENT


_FIELDS = msgspec.json.Decoder(MessageFields)
_TURNS = msgspec.json.Decoder(list[_Turn])
_BLOCKS = msgspec.json.Decoder(list[_Block])
_CONFIG = msgspec.json.Decoder(_OutputConfig)


def decode_message_fields(raw: bytes, path: str) -> MessageFields:
    """Raises InvalidJson, InvalidRequest with `param`: this API insists on a limit."""
    fields = decode_with(_FIELDS, raw)
    if fields.max_tokens is None and path != COUNT_TOKENS:
        raise InvalidRequest("max_tokens: Field required", param="max_tokens")
    return fields


def message_needs(fields: MessageFields) -> frozenset[str]:
    """Of `vision`, `tools` and `json_schema` those that the request asks for. What is malformed asks for nothing."""
    found: set[str] = set()
    if any(block.type in _PICTURES for block in _blocks(fields.messages)):
        found.add("vision")
    if _starts(fields.tools, b"[") and bytes(fields.tools)[1:].lstrip()[:1] != b"]":
        found.add("tools")
    if _starts(fields.output_format, b"{") or _has_format(fields.output_config):
        found.add("json_schema")
    return shared(frozenset(found)) if found else NO_NEEDS


def forwarded(headers: Mapping[bytes, bytes]) -> Headers:
    """The client's headers that belong to its request, wherever Anthropic's API is spoken."""
    return [(name, headers.get(name, VERSION)) for name in _FORWARDED if name in headers or name == _FORWARDED[0]]


def _blocks(messages: msgspec.Raw) -> Iterator[_Block]:
    """All blocks of all turns, those inside results of tools among them."""
    if not _starts(messages, b"["):
        return
    try:
        for turn in _TURNS.decode(messages):
            if _starts(turn.content, b"["):
                for block in _BLOCKS.decode(turn.content):
                    yield block
                    if _starts(block.content, b"["):
                        yield from _BLOCKS.decode(block.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return


def _has_format(raw: msgspec.Raw) -> bool:
    if not _starts(raw, b"{"):
        return False
    try:
        return _starts(_CONFIG.decode(raw).format, b"{")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _starts(raw: msgspec.Raw, mark: bytes) -> bool:
    return bytes(memoryview(raw)[:1]) == mark
