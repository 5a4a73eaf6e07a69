"""Ledger events on their way to SQL: one event is the msgpack of a list of `LedgerRow`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.types import LedgerRow

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[LedgerRow]).decode
_unpack = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_HEADS = {0xC4: 2, 0xC5: 3, 0xC6: 5, 0xD9: 2, 0xDA: 3, 0xDB: 5}
"""The length of what precedes the bytes, by its first byte: msgpack's binary types, and its strings, which are what the
store's scripts write."""

BIGGEST = 2**63 - 1
"""What a SQL integer can hold; msgpack can say more."""


class BadEvent(ValueError):
    """Bytes that are no event: nothing can be booked from them."""


def encode_event(rows: Sequence[LedgerRow]) -> bytes:
    """The rows of one call as one event."""
    return _encode(rows)


def decode_event(event: bytes) -> list[LedgerRow]:
    """The rows of one event. Raises BadEvent."""
    try:
        rows = _decode(event)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadEvent(str(error)) from error
    for row in rows:
        if not row.call_id or max(row.attempt, row.started_at, row.input_tokens, row.output_tokens) > BIGGEST:
            raise BadEvent("a row without a call id, or with a number that no column can hold")
    return rows


def encode_entry(events: Sequence[bytes]) -> bytes:
    """Several events as the field `e` of one stream entry."""
    return _encode(events)


def decode_entry(blob: bytes) -> list[LedgerRow]:
    """The rows of one stream entry. Raises BadEvent; an entry with one bad event is bad as a whole."""
    try:
        events = [_content(bytes(event)) for event in _unpack(blob)]
    except msgspec.MsgspecError as error:
        raise BadEvent(str(error)) from error
    return [row for event in events for row in decode_event(event)]


def _content(packed: bytes) -> bytes:
    head = 1 if 0xA0 <= packed[0] <= 0xBF else _HEADS.get(packed[0])
    if head is None:
        raise BadEvent("an event that is no byte string")
    return packed[head:]
