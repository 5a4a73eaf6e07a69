"""Ledger rows on their way to SQL and back: what a provider or a client made too large is cut to what fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.types import LedgerRow, LedgerState, TokenSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_TEXT = 512
MAX_TOKENS = 2**40 - 1
MAX_COST = 2**53 - 1
"""Nine million dollars for one attempt."""
MAX_REAL = 1e12
_SMALL = 2**15
_MAX_TIME = 253_402_300_799_999_999
"""The end of the year 9999, where calendars end."""

Key = tuple[str, int]


def decided(rows: Iterable[LedgerRow]) -> dict[Key, LedgerRow]:
    """One row per attempt, in the order of their keys: of several, the first that is not `abandoned`."""
    found: dict[Key, LedgerRow] = {}
    for row in rows:
        key = (row.call_id, row.attempt)
        other = found.get(key)
        if other is None or (other.state == LedgerState.ABANDONED and row.state != LedgerState.ABANDONED):
            found[key] = row if sane(row) else cut(row)
    return dict(sorted(found.items()))


def sane(row: LedgerRow) -> bool:
    """Every value fits its column; cheap, as nearly every row does."""
    tokens = (
        row.input_tokens | row.output_tokens | row.cached_input_tokens | row.cache_write_tokens
        | row.reasoning_tokens | row.audio_input_tokens | row.audio_output_tokens
    )  # fmt: skip
    return (
        0 <= tokens <= MAX_TOKENS
        and 0 <= (row.attempt | row.status) < _SMALL
        and 0 <= (row.cost_nano_usd or 0) <= MAX_COST
        and 0 <= row.started_at <= _MAX_TIME
        and 0.0 <= row.duration_ms <= MAX_REAL
        and 0.0 <= (row.ttft_ms or 0.0) <= MAX_REAL
        and 0.0 <= row.units <= MAX_REAL
        and len(row.requested_model) <= MAX_TEXT
        and len(row.request_id) <= MAX_TEXT
        and "\x00" not in row.requested_model
        and "\x00" not in row.request_id
    )


def cut(row: LedgerRow) -> LedgerRow:
    """The row with every value brought into the range of its column."""
    changed: dict[str, Any] = {}
    for name in row.__struct_fields__:
        value = getattr(row, name)
        if isinstance(value, str) and not isinstance(value, LedgerState | TokenSource):
            changed[name] = value.replace("\x00", "\ufffd")[:MAX_TEXT]
        elif isinstance(value, float):
            changed[name] = min(value, MAX_REAL) if value >= 0 else 0.0
        elif name.endswith("_tokens"):
            changed[name] = min(max(value, 0), MAX_TOKENS)
    changed["attempt"] = min(max(row.attempt, 0), _SMALL - 1)
    changed["status"] = min(max(row.status, 0), _SMALL - 1)
    changed["started_at"] = min(max(row.started_at, 0), _MAX_TIME)
    if row.cost_nano_usd is not None:
        changed["cost_nano_usd"] = min(max(row.cost_nano_usd, 0), MAX_COST)
    return msgspec.structs.replace(row, **changed)


def loaded(values: Sequence[Any]) -> LedgerRow:
    """A row of the table `usage`, whose columns stand in the order of the fields."""
    row = LedgerRow(*values)
    row.state, row.token_source, row.stream = LedgerState(row.state), TokenSource(row.token_source), bool(row.stream)
    return row


values = msgspec.structs.astuple
"""A row as values in the order of the columns."""
