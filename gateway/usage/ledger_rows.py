"""Ledger rows on their way to SQL and back: what a provider or a client made too large is cut to what fits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.types import (
    LAST_MOMENT,
    MAX_COST,
    MAX_REAL,
    MAX_SMALL,
    MAX_TEXT,
    MAX_TOKENS,
    LedgerRow,
    LedgerState,
    TokenSource,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Key = tuple[str, int]


ABANDONED = LedgerState.ABANDONED


def decided(rows: Iterable[LedgerRow], *, fitting: bool = False) -> dict[Key, LedgerRow]:
    """One row per attempt: of several, the first that is not `abandoned`. `fitting`: they are known to fit."""
    found: dict[Key, LedgerRow] = {}
    for row in rows:
        key = (row.call_id, row.attempt)
        if key not in found or (found[key].state == ABANDONED != row.state):
            found[key] = row if fitting or sane(row) else cut(row)
    return found


def sane(row: LedgerRow) -> bool:
    """Every value fits its column; cheap, as nearly every row does."""
    tokens = (
        row.input_tokens | row.output_tokens | row.cached_input_tokens | row.cache_write_tokens
        | row.reasoning_tokens | row.audio_input_tokens | row.audio_output_tokens
        | row.cache_write_1h_tokens | row.upstream_requests | row.searches
    )  # fmt: skip
    return (
        0 <= tokens <= MAX_TOKENS
        and 0 <= (row.attempt | row.status) <= MAX_SMALL
        and 0 <= (row.cost_nano_usd or 0) <= MAX_COST
        and 0 <= row.started_at <= LAST_MOMENT
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
    return LedgerRow(**fitting({name: getattr(row, name) for name in row.__struct_fields__}))


def fitting(given: Mapping[str, Any]) -> dict[str, Any]:
    """A row's values by their names, each brought into the range of its column."""
    return {name: _fitting(name, value) for name, value in given.items()}


def _fitting(name: str, value: Any) -> Any:
    if isinstance(value, LedgerState | TokenSource | bool) or value is None:
        return value
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")[:MAX_TEXT]
    if isinstance(value, float):
        return min(value, MAX_REAL) if value >= 0 else 0.0
    if isinstance(value, int):
        return min(max(value, 0), _MOST.get(name, MAX_TOKENS))
    return value


_MOST = {"attempt": MAX_SMALL, "status": MAX_SMALL, "started_at": LAST_MOMENT, "cost_nano_usd": MAX_COST}


def loaded(values: Sequence[Any]) -> LedgerRow:
    """A row of the table `usage`, whose columns stand in the order of the fields."""
    row = LedgerRow(*values)
    row.state, row.token_source, row.stream = LedgerState(row.state), TokenSource(row.token_source), bool(row.stream)
    return row


values = msgspec.structs.astuple
"""A row as values in the order of the columns."""
