"""The words of the gate's script: its operations, and how events and keys are told to it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.limits.demand import Demand
from gateway.limits.limitset import Frame, LimitSet
from gateway.limits.reservation import About
from gateway.storage.batch import Item, as_text

LEASE_SECONDS = 60.0
LEASE = int(LEASE_SECONDS * 1e6)
RESERVE, SETTLE, RENEW, NOTE, CARRY, PEEK = 1, 2, 3, 4, 5, 6
PLAIN, RECORDED, AGAIN = 0, 1, 2
"""How a settlement is applied: always; by its record; only if its record is still there."""


def for_lua(
    about: About | None, *, charged: bool = True
) -> tuple[msgspec.Raw | bool, tuple[int, int, int] | bool] | bool:
    """As the script takes it; what is `charged` it needs to know of quotas only."""
    return False if about is None else (text_of(about[0]), charged and about[1])


def text_of(event: bytes | bool | None) -> msgspec.Raw | bool:
    return as_text(event) if isinstance(event, bytes) else False


def bytes_of(text: msgspec.Raw) -> bytes:
    """The event again."""
    data = bytes(text)
    return data[3:] if data[:1] == b"\xda" else data[5:]


def said_again(item: Item) -> tuple[Item, list[bytes], bytes | None]:
    """How to repeat what the store may have done or not; and what goes elsewhere because it may not have that: events,
    and the event of a record."""
    operation, events = item.args[0], []
    if operation == SETTLE:
        *args, event = item.args
        if event:
            events = [bytes_of(event)]
        if args[2] != PLAIN:
            args[2] = AGAIN
        else:
            # It may have been done unheard, and no record tells: what is given back already stays given once.
            args[3], args[4] = max(0, args[3]), max(0, args[4])
        return Item(item.keys, item.table, (*args, False)), events, None
    if operation == NOTE:
        _, call_id, about, event, reserved = item.args
        if event:
            events = [bytes_of(event)]
        record = bytes_of(about[0]) if about and about[0] else None
        return Item(item.keys, item.table, (NOTE, call_id, about, False, reserved)), events, record
    return item, events, None


def shard_of(item: Item) -> str:
    """From its first key: `gw:{shard}:open:…`."""
    key = item.keys[0]
    assert isinstance(key, str)
    return key[4 : key.index("}")]


def peek_of(frame: Frame, limits: LimitSet, demand: Demand, used: Sequence[int]) -> Item:
    """What the script is asked when these limits are only looked at; `used` is, by row, what counters that it does not
    have would say."""
    needs = (demand.fixed_cost, demand.output_cost, demand.input_tokens, demand.least, demand.most)
    return Item(frame.keys, limits.rows, (PEEK, "", LEASE, demand.tokens, needs, False, used))


def question_of(frame: Frame, limits: LimitSet, what: tuple[str, Demand, About | None]) -> Item:
    """What the script is asked when these limits are to be held."""
    name, demand, about = what
    if not limits.quotas:
        return Item(
            frame.keys, limits.rows, (RESERVE, name, LEASE, demand.tokens, False, for_lua(about, charged=False))
        )
    needs = (demand.fixed_cost, demand.output_cost, demand.input_tokens, demand.least, demand.most)
    return Item(frame.keys, limits.rows, (RESERVE, name, LEASE, demand.tokens, needs, for_lua(about)))
