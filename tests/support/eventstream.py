"""AWS's binary event streams, written by hand from their description: what our decoder is tested against."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message, all of whose headers are text."""
    return packed(b"".join(text_header(name, value) for name, value in headers.items()), payload)


def packed(head: bytes, payload: bytes) -> bytes:
    """One message around headers that are bytes already."""
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack(">I", zlib.crc32(body))


def text_header(name: str, value: str) -> bytes:
    """One header of type 7."""
    data = value.encode()
    return struct.pack("B", len(name)) + name.encode() + b"\x07" + struct.pack(">H", len(data)) + data


def event(kind: str, **fields: Any) -> bytes:
    """An event as Bedrock sends it, with the padding that hides its length."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, json.dumps({**fields, "p": "abcdef"}, ensure_ascii=False).encode())


def exception(kind: str, words: str = "") -> bytes:
    """An exception in the middle of a stream."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, json.dumps({"message": words}).encode())


def messages(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Headers and payload of each message in a whole stream."""
    found: list[tuple[dict[str, str], bytes]] = []
    while data:
        total, head, checksum = struct.unpack(">III", data[:12])
        assert zlib.crc32(data[:8]) == checksum
        assert zlib.crc32(data[: total - 4]) == struct.unpack(">I", data[total - 4 : total])[0]
        found.append((_headers(data[12 : 12 + head]), data[12 + head : total - 4]))
        data = data[total:]
    return found


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    while data:
        name, kind = data[1 : 1 + data[0]], data[1 + data[0]]
        assert kind == 7
        start = 4 + data[0]
        size = int.from_bytes(data[start - 2 : start], "big")
        found[name.decode()] = data[start : start + size].decode()
        data = data[start + size :]
    return found
