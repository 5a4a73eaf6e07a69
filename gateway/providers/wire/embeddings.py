"""Embedding vectors in the encoding the client asked for, and lists of inputs split and merged again.

`base64` is the little-endian float32 array, which both official SDKs ask for when the caller names no format.
"""

from __future__ import annotations

import base64
import sys
from array import array
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.errors import UpstreamBadJson


class _Vector(msgspec.Struct, gc=False):
    embedding: msgspec.Raw


class _Vectors(msgspec.Struct, gc=False):
    data: list[_Vector]


_VECTORS = msgspec.json.Decoder(_Vectors)


def in_format(body: bytes, wanted: str) -> bytes:
    """The reply with its vectors as `wanted` (`float` or `base64`); the same bytes when they are already so.

    Raises UpstreamBadJson when there are no vectors.
    """
    try:
        vectors = _VECTORS.decode(body).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBadJson from None
    as_text = wanted == "base64"
    if all((bytes(vector.embedding)[:1] == b'"') == as_text for vector in vectors):
        return body
    try:
        reply = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBadJson from None
    for item in reply["data"]:
        item["embedding"] = _converted(item["embedding"], as_text=as_text)
    return msgspec.json.encode(reply)


def _converted(value: Any, *, as_text: bool) -> Any:
    if isinstance(value, str) == as_text:
        return value
    try:
        return _packed(value) if as_text else _unpacked(value)
    except (TypeError, ValueError, OverflowError):
        raise UpstreamBadJson from None


def _packed(value: Sequence[float]) -> str:
    vector = array("f", value)
    if sys.byteorder == "big":
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode()


def _unpacked(value: str) -> list[float]:
    vector = array("f", base64.b64decode(value, validate=True))
    if sys.byteorder == "big":
        vector.byteswap()
    return vector.tolist()


def _index(item: dict[str, Any]) -> int:
    index = item.get("index")
    return index if isinstance(index, int) else 0


def merged(bodies: Sequence[bytes]) -> bytes:
    """One reply out of those for consecutive slices of the inputs: vectors renumbered in order, usage summed."""
    replies = [msgspec.json.decode(body) for body in bodies]
    first: dict[str, Any] = replies[0]
    data: list[dict[str, Any]] = []
    usage: dict[str, Any] = {}
    for reply in replies:
        for item in sorted(reply["data"], key=_index):
            data.append({**item, "index": len(data)})
        for name, value in (reply.get("usage") or {}).items():
            if isinstance(value, int | float):
                usage[name] = usage.get(name, 0) + value
    return msgspec.json.encode({**first, "data": data, **({"usage": usage} if usage else {})})
