"""What one ledger row adds to the rollups, and which rollups answer for a span of time. Pure arithmetic on integers."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from hashlib import blake2b, md5
from typing import TYPE_CHECKING, NamedTuple

from gateway.storage.sql import partitions
from gateway.storage.sql.tables import COUNTS, DIMENSIONS
from gateway.types import LedgerState
from gateway.usage.histogram import BINS, BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.types import LedgerRow

HOUR = 3_600_000_000
DAY = 24 * HOUR
WIDTH = len(COUNTS) + 2 * BINS
"""Counters of one cell: COUNTS, then the bins of latency, then those of TTFT."""
_LATENCY = len(COUNTS)
_TTFT = _LATENCY + BINS
TOTAL = 0
"""The series of everything."""
END = 253_402_300_800_000_000
"""The end of the year 9999, in which calendars end: nothing starts there or later."""
_REMEMBERED = 100_000
CHARGED = (LedgerState.SETTLED, LedgerState.ABANDONED)
SETTLED, RELEASED, ABANDONED = LedgerState.SETTLED, LedgerState.RELEASED, LedgerState.ABANDONED

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
        self._owners: dict[tuple[str | None, str | None], int] = {}

    def id(self, dimensions: Dimensions) -> int:
        found = self._ids.get(dimensions)
        if found is None:
            if len(self._ids) >= _REMEMBERED:
                self._ids.clear()
            found = self._ids[dimensions] = series_id(dimensions)
        return found

    def owner(self, key: str | None, team: str | None) -> int:
        """See `owner_id`."""
        found = self._owners.get((key, team))
        if found is None:
            if len(self._owners) >= _REMEMBERED:
                self._owners.clear()
            found = self._owners[key, team] = owner_id(key, team)
        return found


def series_id(dimensions: Dimensions) -> int:
    """63 bits of a hash: among a million series the chance of any clash is one in ten million."""
    text = "\x1f".join("\x00" if value is None else value for value in dimensions)
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=8).digest(), "big") >> 1


def owner_id(key: str | None, team: str | None) -> int:
    """The series of a key and team, whatever was called: 63 bits of a hash that PostgreSQL has, too."""
    text = "\x1f".join(("owner", key or "", "\x1f" if team is None else team))
    return int.from_bytes(md5(text.encode(errors="replace"), usedforsecurity=False).digest()[:8], "big") & (2**63 - 1)


class Changes:
    """What a batch adds to each rollup, cell by cell."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self.dimensions: dict[int, Dimensions] = {}
        self._hours: dict[Cell, Counters] = {}
        self._user_days: dict[Cell, Counters] = {}
        self._owners: dict[int, int] = {}
        """Of each series of an hour, the series of its key and team."""

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

    def count(self, rows: Iterable[LedgerRow]) -> None:
        """As `add`, of many rows: what is true of nearly all of them is counted at once."""
        places: dict[tuple[int | str | None, ...], Counters] = {}
        for row in rows:
            start = row.started_at
            hour = start - start % HOUR
            place = (
                hour, row.key, row.team, row.route, row.service, row.requested_model,
                row.provider, row.deployment, row.model,
            )  # fmt: skip
            cell = places.get(place)
            if cell is None:
                dimensions = (*place[1:3], None, *place[3:])
                cell = places[place] = self._cell(self._hours, hour, dimensions)
            if (
                row.state == SETTLED
                and row.reason == "ok"
                and row.cost_nano_usd is not None
                and not row.cached_input_tokens | row.cache_write_tokens | row.reasoning_tokens
                and not row.audio_input_tokens | row.audio_output_tokens
            ):
                cell[0] += 1
                cell[1] += 1
                cell[5] += row.input_tokens
                cell[6] += row.output_tokens
                cell[12] += row.cost_nano_usd
                cell[_LATENCY + bisect_left(BOUNDS, row.duration_ms)] += 1
                if row.ttft_ms is not None:
                    cell[_TTFT + bisect_left(BOUNDS, row.ttft_ms)] += 1
            else:
                _count(cell, row, 1)
            if row.user_hash is not None:
                day, mine = start - start % DAY, (row.key, row.team, row.user_hash, *place[3:])
                _count(self._cell(self._user_days, day, mine), row, 1)

    def _cell(self, cells: dict[Cell, Counters], start: int, dimensions: Dimensions) -> Counters:
        series = self._series.id(dimensions)
        cell = Cell(start, series)
        found = cells.get(cell)
        if found is None:
            self.dimensions[series] = dimensions
            if cells is self._hours and series not in self._owners:
                self._owners[series] = owner = self._series.owner(*dimensions[:2])
                self.dimensions[owner] = owner_of(dimensions)
            found = cells[cell] = [0] * WIDTH
        return found

    def tables(self) -> dict[str, dict[Cell, Counters]]:
        """The cells of each rollup that change."""
        days = _together(self._hours, lambda cell: Cell(cell.start - cell.start % DAY, cell.series))
        return {
            "usage_hour": self._hours,
            "usage_day": days,
            "usage_month": _together(days, _in_month),
            "usage_owner_day": _together(days, lambda cell: Cell(cell.start, self._owners[cell.series])),
            "usage_user_day": self._user_days,
            "usage_user_month": _together(self._user_days, _in_month),
            "usage_total_hour": _together(self._hours, lambda cell: Cell(cell.start, TOTAL)),
        }


def owner_of(dimensions: Dimensions) -> Dimensions:
    """What of a series is its key's and its team's, whatever was called."""
    return (*dimensions[:2], None, *[""] * (len(DIMENSIONS) - 3))


def _in_month(cell: Cell) -> Cell:
    return Cell(month_start(cell.start), cell.series)


def _together(cells: dict[Cell, Counters], place: Callable[[Cell], Cell]) -> dict[Cell, Counters]:
    """Cells that fall on one place, added up."""
    groups: dict[Cell, list[Counters]] = {}
    for cell, counters in cells.items():
        groups.setdefault(place(cell), []).append(counters)
    return {
        cell: found[0] if len(found) == 1 else [*map(sum, zip(*found, strict=True))] for cell, found in groups.items()
    }


def _count(counters: Counters, row: LedgerRow, sign: int) -> None:
    """In the order of COUNTS."""
    counters[0] += sign
    if row.reason != "ok":
        counters[2] += sign
    if row.state == RELEASED:
        counters[13] += sign * (row.cost_nano_usd or 0)
        return
    counters[1] += sign
    counters[5] += sign * row.input_tokens
    counters[6] += sign * row.output_tokens
    if row.cached_input_tokens or row.cache_write_tokens or row.reasoning_tokens:
        counters[7] += sign * row.cached_input_tokens
        counters[8] += sign * row.cache_write_tokens
        counters[9] += sign * row.reasoning_tokens
    if row.audio_input_tokens or row.audio_output_tokens:
        counters[10] += sign * row.audio_input_tokens
        counters[11] += sign * row.audio_output_tokens
    if row.cost_nano_usd is None:
        counters[4] += sign
    else:
        counters[12] += sign * row.cost_nano_usd
    if row.state == ABANDONED:
        counters[3] += sign
        return
    counters[_LATENCY + bisect_left(BOUNDS, row.duration_ms)] += sign
    if row.ttft_ms is not None:
        counters[_TTFT + bisect_left(BOUNDS, row.ttft_ms)] += sign


@lru_cache(maxsize=4096)
def month_start(moment: int) -> int:
    """The first microsecond of a moment's month (UTC)."""
    return moment if moment >= END else partitions.month_of(moment).start_us


def _next_month(start: int) -> int:
    """The month after the one that starts here; after the last one comes the end."""
    return month_start(min(start + 31 * DAY, END))


class Grain(NamedTuple):
    """A rollup, and how long its cells are."""

    table: str
    size: int
    """Microseconds; 0: months."""

    def up(self, moment: int) -> int:
        """The first start of a cell that is not before a moment."""
        if self.size:
            return -(-moment // self.size) * self.size
        start = month_start(moment)
        return start if start == moment else _next_month(start)

    def down(self, moment: int) -> int:
        """The last start of a cell that is not after a moment."""
        return moment // self.size * self.size if self.size else month_start(moment)


class Span(NamedTuple):
    """Part of a time range, the table that answers for it, and whether it is added (1) or taken off (-1)."""

    table: str
    start: int
    end: int
    sign: int = 1


Grains = tuple[Grain, ...]
BY_HOUR: Grains = (Grain("usage_hour", HOUR),)
BY_DAY: Grains = (Grain("usage_day", DAY), *BY_HOUR)
EVERYONE: Grains = (Grain("usage_month", 0), *BY_DAY)
OWNERS_BY_DAY: Grains = (Grain("usage_owner_day", DAY), *BY_HOUR)
"""For questions of keys and teams alone: a day of a key is one cell, however many models it calls."""
OWNERS: Grains = (Grain("usage_month", 0), *OWNERS_BY_DAY)
USERS_BY_DAY: Grains = (Grain("usage_user_day", DAY),)
USERS: Grains = (Grain("usage_user_month", 0), *USERS_BY_DAY)
EVERYTHING: Grains = (Grain("usage_total_hour", HOUR),)


def spans(start: int, end: int, grains: Grains) -> list[Span]:
    """Cut `start <= t < end` into whole cells of the coarsest rollup, then of finer ones; what is left is `usage`'s.

    A cell of which the range takes more than half is taken whole, and the rest of it off again: a month without its
    first day is two cells, not thirty. Whoever adds spans up has to read all of them in one snapshot.
    """
    return _cut(max(start, 0), min(end, END), grains, 1)


def _cut(start: int, end: int, grains: Grains, sign: int) -> list[Span]:
    if start >= end:
        return []
    if not grains:
        return [Span("usage", start, end, sign)]
    grain, finer = grains[0], grains[1:]
    low, high = grain.up(start), grain.down(end)
    if low > high:  # within one cell
        cell = (grain.down(start), grain.up(end))
        if (start - cell[0]) + (cell[1] - end) >= end - start:
            return _cut(start, end, finer, sign)
        return [*_cut(cell[0], start, finer, -sign), Span(grain.table, *cell, sign), *_cut(end, cell[1], finer, -sign)]
    left, right = _cut(start, low, finer, sign), _cut(high, end, finer, sign)
    if start - grain.down(start) < low - start:
        left, low = _cut(grain.down(start), start, finer, -sign), grain.down(start)
    if grain.up(end) - end < end - high:
        right, high = _cut(end, grain.up(end), finer, -sign), grain.up(end)
    return [*left, *([Span(grain.table, low, high, sign)] if low < high else []), *right]


assert len(DIMENSIONS) == 9
