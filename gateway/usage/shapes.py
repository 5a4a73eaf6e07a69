"""What a line of a report and an attempt look like to programs: names and plain values, for JSON and CSV alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.usage.reports import TIMES
from gateway.usage.wording import stamp, usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.types import LedgerRow
    from gateway.usage.reports import Line

COUNTS = (
    "requests",
    "attempts",
    "errors",
    "abandoned",
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Money(int):
    """Nano-dollars, printed as dollars."""

    def __str__(self) -> str:
        return usd(self)


def line_values(line: Line, group_by: Sequence[str]) -> dict[str, Any]:
    """A line of a report as JSON has it; money is a number with every digit."""
    found: dict[str, Any] = {
        word: stamp(value) if word in TIMES and isinstance(value, int) else value
        for word, value in zip(group_by, line.group, strict=False)
    }
    found.update((name, line[name]) for name in COUNTS)
    found["cost_usd"] = Money(line["cost_nano_usd"])
    found["gateway_cost_usd"] = Money(line["released_nano_usd"])
    found["unpriced"] = line["unpriced"]
    found["latency_p50_ms"], found["latency_p95_ms"] = line.latency_ms(0.5), line.latency_ms(0.95)
    found["ttft_p50_ms"], found["ttft_p95_ms"] = line.ttft_ms(0.5), line.ttft_ms(0.95)
    return found


def row_values(row: LedgerRow) -> dict[str, Any]:
    """An attempt as JSON has it: the columns of the ledger, and the cost in dollars."""
    found: dict[str, Any] = msgspec.structs.asdict(row)
    found["started_at"] = stamp(row.started_at)
    found["cost_usd"] = None if row.cost_nano_usd is None else Money(row.cost_nano_usd)
    return found


def guarded(values: dict[str, Any]) -> dict[str, Any]:
    """Text that a spreadsheet would run as a formula is quoted: https://owasp.org/www-community/attacks/CSV_Injection"""
    return {
        name: f"'{value}" if isinstance(value, str) and value[:1] in _FORMULA else value
        for name, value in values.items()
    }
