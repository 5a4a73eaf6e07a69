"""Ledger events on their way to SQL: one event is the msgpack of a list of `LedgerRow`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.types import LedgerRow, LedgerState, TokenSource
from gateway.usage.ledger_rows import cut, fitting

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[LedgerRow]).decode
_decode_all = msgspec.msgpack.Decoder(list[list[LedgerRow]]).decode
_loosely = msgspec.msgpack.Decoder(list[list[Any]]).decode
_unpack = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_HEADS = {0xC4: 2, 0xC5: 3, 0xC6: 5, 0xD9: 2, 0xDA: 3, 0xDB: 5}
"""The length of what precedes the bytes, by its first byte: msgpack's binary types, and its strings, which are what the
store's scripts write."""
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises; the last one for lists in lists in lists."""
_KNOWN = ("attempt", "started_at", "input_tokens", "output_tokens")

NOT_SENT = "not_sent"
"""The reason of an attempt that was to be made, and was not."""
BIGGEST = 2**63 - 1
"""What a SQL integer can hold; msgpack can say more."""


class BadEvent(ValueError):
    """Bytes that are no event: nothing can be booked from them."""


def encode_event(rows: Sequence[LedgerRow]) -> bytes:
    """The rows of one call as one event."""
    return _encode(rows)


def withdrawn(event: bytes) -> bytes:
    """What takes the place of an event that was written in case a worker died: its attempts were never sent, and nobody
    is charged. Raises BadEvent."""
    rows = decode_event(event)
    for row in rows:
        row.state, row.status, row.reason = LedgerState.RELEASED, 0, NOT_SENT
        row.input_tokens = row.output_tokens = row.cost_nano_usd = 0
        row.units, row.upstream_requests, row.token_source = 0.0, 0, TokenSource.PROVIDER
    return encode_event(rows)


def decode_event(event: bytes) -> list[LedgerRow]:
    """The rows of one event, cut to what the ledger's columns hold. Raises BadEvent."""
    try:
        rows = _decode(event)
    except _UNREADABLE:
        return _fitted(event)
    return [_printable(row) for row in rows]


def _printable(row: LedgerRow) -> LedgerRow:
    """PostgreSQL's text holds no NUL; only these two are what clients wrote."""
    return cut(row) if "\x00" in row.requested_model or "\x00" in row.request_id else row


def _fitted(event: bytes) -> list[LedgerRow]:
    """Rows with values that are too large, or no rows at all. Raises BadEvent."""
    try:
        return [_cut(dict(zip(LedgerRow.__struct_fields__, values, strict=False))) for values in _loosely(event)]
    except _UNREADABLE as error:
        raise BadEvent(str(error)) from error


def _cut(values: dict[str, Any]) -> LedgerRow:
    numbers = [value for name in _KNOWN if isinstance(value := values.get(name), int)]
    if not values.get("call_id") or any(number > BIGGEST for number in numbers):
        raise BadEvent("a row without a call id, or with a number that no column can hold")
    return msgspec.convert([*fitting(values).values()], LedgerRow)


def encode_entry(events: Sequence[bytes]) -> bytes:
    """Several events as the field `e` of one stream entry."""
    return _encode(events)


def decode_entry(blob: bytes) -> tuple[list[LedgerRow], list[bytes]]:
    """The rows of one stream entry, cut to what the ledger's columns hold, and those of its events that nobody can read
    (others know nothing of them: an entry holds events of many calls). Raises BadEvent where there are no others.

    An entry is a list of events, each as it is (what the gate writes) or as a byte string.
    """
    try:
        return [_printable(row) for rows in _decode_all(blob) for row in rows], []
    except _UNREADABLE:
        pass  # byte strings, or values that are too large
    try:
        events = [_content(bytes(event)) for event in _unpack(blob)]
    except _UNREADABLE as error:
        raise BadEvent(str(error)) from error
    found: list[LedgerRow] = []
    bad: list[bytes] = []
    for event in events:
        try:
            found += decode_event(event)
        except BadEvent:
            bad.append(event)
    if bad and not found:
        raise BadEvent("an entry of events that nobody can read")
    return found, bad


def _content(packed: bytes) -> bytes:
    """The event in a byte string; anything else as it is."""
    head = 1 if 0xA0 <= packed[0] <= 0xBF else _HEADS.get(packed[0], 0)
    return packed[head:]
