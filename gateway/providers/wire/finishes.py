"""Which choices of a stream have their finish reason."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from gateway.providers.wire.frames import parse_frame

FINISH = re.compile(rb'"finish_reason"\s*:\s*"[^"]')


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    choices: list[_Choice]


_CHUNK = msgspec.json.Decoder(_Chunk)


def finished_in(block: bytes) -> set[int]:
    """The choices that come to their end in these frames."""
    found: set[int] = set()
    for frame in block.split(b"\n\n"):
        if FINISH.search(frame) is None:
            continue
        payload, _ = parse_frame(frame)
        try:
            choices = _CHUNK.decode(payload or b"").choices
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        found.update(choice.index for choice in choices if choice.finish_reason and isinstance(choice.index, int))
    return found
