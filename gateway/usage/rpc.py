"""What workers and bookkeeper say to each other: msgpack in frames of a 4-byte big-endian length, on a unix socket.

A question is `[number, method, arguments]`, its answer `[number, error or None, result]`; answers come in any order.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Any

import msgspec

from gateway.storage.socket_path import socket_path
from gateway.usage.holds import Need, Window

FRAME_MAX = 4 << 20
_LENGTH = struct.Struct(">I")


class Question(msgspec.Struct, array_like=True):
    """One call of a method."""

    number: int
    method: str
    windows: list[Window] = []
    needs: list[Need] = []
    call_id: str = ""
    calls: list[str] = []
    """Of `join`: what the worker has under way."""


class Answer(msgspec.Struct, array_like=True):
    """What came of it. `error` is a word: `behind`, `database`, `redis`, `internal`."""

    number: int
    error: str | None
    result: Any = None


class BadFrame(Exception):
    """The peer does not speak this protocol: the connection is worth nothing any more."""


_encode = msgspec.msgpack.Encoder().encode
decode_question = msgspec.msgpack.Decoder(Question).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def encode(message: Question | Answer) -> bytes:
    """One message as a frame."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next message's body; None at the end of the connection. Raises BadFrame, OSError."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > FRAME_MAX:
            raise BadFrame
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return None


def ledger_socket(data_dir: Path) -> Path:
    """Where the bookkeeper listens. Raises OperatorError, see `socket_path`."""
    return socket_path(data_dir.absolute(), "ledger.sock")
