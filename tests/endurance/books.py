"""Two books compared: what the provider charged, and what the gateway's ledger says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

Key = tuple[str, int]
"""Call id and attempt."""


class BillRow(msgspec.Struct):
    """A row of the provider's bill."""

    call_id: str
    """`call.attempt`"""
    input_tokens: int
    output_tokens: int
    outcome: str
    status: int


class BookRow(msgspec.Struct):
    """A row of the ledger."""

    call_id: str
    attempt: int
    key: str
    state: str
    status: int
    reason: str
    stream: bool
    input_tokens: int
    output_tokens: int
    token_source: str
    cost_nano_usd: int | None


def differences(bill: Mapping[Key, BillRow], books: Mapping[Key, BookRow], given: int, *, sent: int = 0) -> list[str]:
    """Where the books do not agree, empty if they do. All calls must have the same body; `given` is what the gateway
    estimates for its input, `sent` how many tokens may be under way between provider and client.

    - Each attempt that the provider billed has a row, and counts as the provider says if the provider told.
    - Where nobody told (the client left, the worker died), a row has the input as it was estimated, or better by what
      the provider told of other calls, and of the output at most what the provider sent.
    - A row without a bill is of an attempt that never reached the provider: it has no output, and nobody answered.
    """
    found = [f"missing: {row}" for key, row in bill.items() if key not in books]
    for key, row in books.items():
        billed = bill.get(key)
        if billed is None:
            if row.output_tokens or row.token_source == "provider" or row.status == 200:
                found.append(f"never billed: {row}")
        elif row.token_source == "provider" and row.state == "settled":
            if (row.input_tokens, row.output_tokens) != (billed.input_tokens, billed.output_tokens):
                found.append(f"another count: {row} {billed}")
        elif (
            not _between(row.input_tokens, given, billed.input_tokens)
            or row.output_tokens > billed.output_tokens + sent
        ):
            found.append(f"too much, or too little input: {row} {billed}")
    return found


def _between(found: int, estimated: int, told: int) -> bool:
    return min(estimated, told) <= found <= max(estimated, told)


def summary(bill: Mapping[Key, BillRow], books: Mapping[Key, BookRow]) -> str:
    """The figures for a report."""
    kinds = Counter(f"{row.state}/{row.token_source}/{row.reason}" for row in books.values())
    unbilled = sum(key not in bill for key in books)
    return (
        f"billed {len(bill)}, booked {len(books)}, rows without a bill {unbilled}, "
        f"tokens billed {sum(r.input_tokens + r.output_tokens for r in bill.values())}, "
        f"booked {sum(r.input_tokens + r.output_tokens for r in books.values())}; {dict(kinds)}"
    )
