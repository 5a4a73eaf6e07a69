"""Messages of `application/vnd.amazon.eventstream`, as Bedrock writes them."""

from __future__ import annotations

from binascii import crc32
from struct import pack
from typing import Any

import orjson

from gateway.providers.scripted.scenario import Json, Send

EVENT_STREAM = b"application/vnd.amazon.eventstream"
_TEXT = 7
"""The type of a header whose value is text."""


def named(kind: str, fields: Json, tokens: int = 0, *, last: bool = False) -> Send:
    """One event."""
    return Send(_message("event", ":event-type", kind, fields), tokens, last)


def failed(shape: Json) -> tuple[Send, ...]:
    """The exception that ends a stream."""
    return (Send(_message("exception", ":exception-type", "modelStreamErrorException", shape)),)


def _message(kind: str, name: str, value: str, fields: Any) -> bytes:
    headers = {name: value, ":content-type": "application/json", ":message-type": kind}
    head = b"".join(
        pack("B", len(key)) + key.encode() + pack(">BH", _TEXT, len(text)) + text.encode()
        for key, text in headers.items()
    )
    payload = orjson.dumps(fields)
    prelude = pack(">II", 16 + len(head) + len(payload), len(head))
    body = b"".join((prelude, pack(">I", crc32(prelude)), head, payload))
    return body + pack(">I", crc32(body))


GARBLED = Send(named("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "x"}}).data[:-4] + b"\0\0\0\0")
"""An event whose checksum is wrong."""
