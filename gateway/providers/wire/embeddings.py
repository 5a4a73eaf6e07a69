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

Members = dict[str, msgspec.Raw]


class _Vector(msgspec.Struct, gc=False):
    embedding: msgspec.Raw


class _Vectors(msgspec.Struct, gc=False):
    data: list[_Vector]


_VECTORS = msgspec.json.Decoder(_Vectors)
_MEMBERS = msgspec.json.Decoder(Members)
_ITEMS = msgspec.json.Decoder(list[Members])


def in_format(body: bytes, wanted: str) -> bytes:
    """The reply with its vectors as `wanted` (`float` or `base64`); the same bytes when they are already so.

    Raises UpstreamBadJson when there are no vectors.
    """
    try:
        vectors = _VECTORS.decode(body).data
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBadJson from None
    as_text = wanted == "base64"
    if all((bytes(memoryview(vector.embedding)[:1]) == b'"') == as_text for vector in vectors):
        return body
    # One vector at a time: all of them as numbers would take ten times the room of the reply.
    reply, items = _taken_apart(body)
    for item in items:
        item["embedding"] = _raw(_converted(item["embedding"], as_text=as_text))
    return msgspec.json.encode({**reply, "data": items})


def _taken_apart(body: bytes) -> tuple[Members, list[Members]]:
    """A reply and its vectors, whatever they are. Raises UpstreamBadJson."""
    try:
        if not body.isascii():
            body.decode()  # nothing else looks into what stays as it is
        reply = _MEMBERS.decode(body)
        return reply, _ITEMS.decode(reply["data"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        raise UpstreamBadJson from None


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _converted(vector: msgspec.Raw, *, as_text: bool) -> Any:
    try:
        value = msgspec.json.decode(vector)
        if isinstance(value, str) == as_text:
            return value
        return _packed(value) if as_text else _unpacked(value)
    except (msgspec.DecodeError, TypeError, ValueError, OverflowError):
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


def merged(bodies: Sequence[bytes], sizes: Sequence[int]) -> bytes:
    """One reply out of those for consecutive slices of `sizes` inputs: vectors renumbered in order, usage summed.

    Raises UpstreamBadJson for a slice that has not one vector for each of its inputs.
    """
    data: list[Members] = []
    usage: dict[str, Any] = {}
    replies = []
    for body, size in zip(bodies, sizes, strict=True):
        reply, items = _taken_apart(body)
        replies.append(reply)
        data += _ordered(items, size)
        told = msgspec.json.decode(reply.get("usage", b"null"))
        for name, value in told.items() if isinstance(told, dict) else ():
            if isinstance(value, int | float):
                usage[name] = usage.get(name, 0) + value
    numbered = [{**item, "index": number} for number, item in enumerate(data)]
    return msgspec.json.encode({**replies[0], "data": numbered, **({"usage": usage} if usage else {})})


def _ordered(items: list[Members], size: int) -> list[Members]:
    """A slice's vectors in the order of its inputs: by their numbers, as they came where none has one. Raises
    UpstreamBadJson."""
    if len(items) != size:
        raise UpstreamBadJson
    numbers = [msgspec.json.decode(item.get("index", b"null")) for item in items]
    if numbers == [None] * size:
        return items
    placed = dict(zip(map(repr, numbers), items, strict=True))
    try:
        return [placed[repr(number)] for number in range(size)]
    except KeyError:
        raise UpstreamBadJson from None
