"""What one ledger row adds to the rollups, and which rollups answer for a span of time. Pure arithmetic on integers."""

from __future__ import annotations

from bisect import bisect_left
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from gateway.storage.sql.tables import COUNTS, DIMENSIONS
from gateway.types import LedgerState
from gateway.usage.histogram import BINS, BOUNDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.types import LedgerRow

HOUR = 3_600_000_000
DAY = 24 * HOUR
WIDTH = len(COUNTS) + 2 * BINS
"""Counters of one cell: COUNTS, then the bins of latency, then those of TTFT."""
_LATENCY = len(COUNTS)
_TTFT = _LATENCY + BINS
_REMEMBERED = 100_000
CHARGED = (LedgerState.SETTLED, LedgerState.ABANDONED)

Dimensions = tuple[str | None, ...]
Counters = list[int]


class Cell(NamedTuple):
    """One row of a rollup: the start of its hour or day, and the series."""

    start: int
    series: int


class Series:
    """Ids of series. An id is a hash of what the series stands for: every process finds the same one, asking nobody."""

    def __init__(self) -> None:
        self._ids: dict[Dimensions, int] = {}

    def id(self, dimensions: Dimensions) -> int:
        found = self._ids.get(dimensions)
        if found is None:
            if len(self._ids) >= _REMEMBERED:
                self._ids.clear()
            found = self._ids[dimensions] = series_id(dimensions)
        return found


def series_id(dimensions: Dimensions) -> int:
    """63 bits of a hash: among a million series the chance of any clash is one in ten million."""
    text = "\x1f".join("\x00" if value is None else value for value in dimensions)
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=8).digest(), "big") >> 1


class Changes:
    """What a batch adds to each rollup, cell by cell."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self.dimensions: dict[int, Dimensions] = {}
        self._hours: dict[Cell, Counters] = {}
        self._user_days: dict[Cell, Counters] = {}

    def add(self, row: LedgerRow, sign: int = 1) -> None:
        """Count a row, or with sign -1 take it out again."""
        start = row.started_at
        who, where = (row.key, row.team), (row.route, row.service, row.requested_model)
        what = (row.provider, row.deployment, row.model)
        everyone = (*who, None, *where, *what)
        _count(self._cell(self._hours, start - start % HOUR, everyone), row, sign)
        if row.user_hash is not None:
            mine = (*who, row.user_hash, *where, *what)
            _count(self._cell(self._user_days, start - start % DAY, mine), row, sign)

    def _cell(self, cells: dict[Cell, Counters], start: int, dimensions: Dimensions) -> Counters:
        series = self._series.id(dimensions)
        cell = Cell(start, series)
        found = cells.get(cell)
        if found is None:
            self.dimensions[series] = dimensions
            found = cells[cell] = [0] * WIDTH
        return found

    def tables(self) -> dict[str, dict[Cell, Counters]]:
        """The cells of each rollup that change."""
        return {"usage_hour": self._hours, "usage_day": self._days(), "usage_user_day": self._user_days}

    def _days(self) -> dict[Cell, Counters]:
        days: dict[Cell, Counters] = {}
        for (start, series), counters in self._hours.items():
            cell = Cell(start - start % DAY, series)
            found = days.get(cell)
            days[cell] = counters if found is None else [a + b for a, b in zip(found, counters, strict=True)]
        return days


def _count(counters: Counters, row: LedgerRow, sign: int) -> None:
    """In the order of COUNTS."""
    counters[0] += sign
    if row.reason != "ok":
        counters[2] += sign
    if row.state == LedgerState.RELEASED:
        counters[12] += sign * (row.cost_nano_usd or 0)
        return
    counters[1] += sign
    counters[4] += sign * row.input_tokens
    counters[5] += sign * row.output_tokens
    if row.cached_input_tokens or row.cache_write_tokens or row.reasoning_tokens:
        counters[6] += sign * row.cached_input_tokens
        counters[7] += sign * row.cache_write_tokens
        counters[8] += sign * row.reasoning_tokens
    if row.audio_input_tokens or row.audio_output_tokens:
        counters[9] += sign * row.audio_input_tokens
        counters[10] += sign * row.audio_output_tokens
    if row.cost_nano_usd is None:
        counters[13] += sign
    else:
        counters[11] += sign * row.cost_nano_usd
    if row.state == LedgerState.ABANDONED:
        counters[3] += sign
        return
    counters[_LATENCY + bisect_left(BOUNDS, row.duration_ms)] += sign
    if row.ttft_ms is not None:
        counters[_TTFT + bisect_left(BOUNDS, row.ttft_ms)] += sign


class Span(NamedTuple):
    """Part of a time range, and the table that answers for it."""

    table: str
    start: int
    end: int


def spans(start: int, end: int, *, grains: Iterable[tuple[str, int]]) -> list[Span]:
    """Cut `start <= t < end` into whole units of the coarsest rollup, then of finer ones; what is left is `usage`'s."""
    if start >= end:
        return []
    for table, size in (found := list(grains)):
        low, high = -(-start // size) * size, end // size * size
        if low < high:
            finer = found[found.index((table, size)) + 1 :]
            return [*spans(start, low, grains=finer), Span(table, low, high), *spans(high, end, grains=finer)]
    return [Span("usage", start, end)]


Grains = tuple[tuple[str, int], ...]
EVERYONE: Grains = (("usage_day", DAY), ("usage_hour", HOUR))
BY_HOUR: Grains = (("usage_hour", HOUR),)
USERS: Grains = (("usage_user_day", DAY),)

assert len(DIMENSIONS) == 9
