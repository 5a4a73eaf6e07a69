"""What was used, by whom and where: sums from the rollups, single attempts from the rows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    and_,
    case,
    cast,
    func,
    literal_column,
    select,
    text,
    tuple_,
    union_all,
)

from gateway.storage.sql.tables import COUNTS, LATENCY, series, usage
from gateway.types import LedgerState
from gateway.usage.histogram import BOUNDS, percentile
from gateway.usage.ledger_rows import loaded
from gateway.usage.ledger_sql import COUNTERS, ROLLUPS
from gateway.usage.rollup import (
    BY_DAY,
    BY_HOUR,
    CHARGED,
    DAY,
    END,
    EVERYONE,
    EVERYTHING,
    HOUR,
    OWNERS,
    OWNERS_BY_DAY,
    USERS,
    USERS_BY_DAY,
    WIDTH,
    Span,
    spans,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from gateway.storage.sql.database import Database
    from gateway.types import LedgerRow
    from gateway.usage.rollup import Grains

DIMENSIONS = {
    "key": "key",
    "team": "team",
    "user": "user_hash",
    "model": "requested_model",
    "served_model": "model",
    "provider": "provider",
    "deployment": "deployment",
    "route": "route",
    "service": "service",
}
"""What a report can be grouped and filtered by, and the columns."""
OF_OWNERS = {"key", "team", "day"}
TIMES = {"day": DAY, "hour": HOUR}
"""Groups by time, in UTC."""
PAGE = 1000
MOST_GROUPS = 10_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which attempts count: those that started from `since` up to `until` (Unix microseconds), and `where` says.

    `where` maps a word of DIMENSIONS to the value wanted.
    """

    since: int = 0
    until: int = END
    where: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Line:
    """The sums of one group. `group` holds its value for each word that was grouped by; times as microseconds."""

    group: tuple[str | int | None, ...]
    counters: tuple[int, ...]
    """In the order of COUNTERS."""

    def __getitem__(self, name: str) -> int:
        return self.counters[_INDEX[name]]

    def latency_ms(self, share: float) -> float | None:
        """A percentile of the whole duration of the attempts that were settled."""
        return percentile(self.counters[_LATENCY:_TTFT], share)

    def ttft_ms(self, share: float) -> float | None:
        """A percentile of the time to the first token of the attempts that were settled and say it."""
        return percentile(self.counters[_TTFT:], share)


_INDEX = {name: index for index, name in enumerate(COUNTERS)}
_LATENCY, _TTFT = len(COUNTS), len(COUNTS) + len(LATENCY)


@dataclass(frozen=True, slots=True)
class Report:
    """Groups, the dearest first (by time: the oldest first), and their sum, which also counts groups cut off."""

    group_by: tuple[str, ...]
    lines: tuple[Line, ...]
    total: Line
    truncated: bool = False


async def report(
    database: Database, group_by: Sequence[str], selection: Selection, *, limit: int = MOST_GROUPS
) -> Report:
    """Sums by any words of DIMENSIONS and TIMES. By user (or with a `user` wanted) only calls that name one count.

    Raises KeyError for another word, DatabaseUnavailable.
    """
    async with database.connect() as connection:
        if database.is_postgres:
            # Room for the groups of sums of fifty columns.
            await connection.execute(text("SELECT set_config('work_mem', '64MB', true)"))
        found = await connection.execute(query(group_by, selection).limit(limit + 1))
        lines = [_line(row, len(group_by)) for row in found]
        truncated = len(lines) > limit
        if truncated:
            users = {"user"} & {*group_by}
            sums = (await connection.execute(query((), selection, by_user=bool(users)))).one()
            total = _line(sums, 0)
        else:
            total = _sum(lines)
    return Report(tuple(group_by), tuple(lines[:limit]), total, truncated)


def _line(row: Sequence[Any], groups: int) -> Line:
    return Line(tuple(row[:groups]), tuple(int(value or 0) for value in row[groups:]))


def _sum(lines: Sequence[Line]) -> Line:
    if not lines:
        return Line((), (0,) * WIDTH)
    return Line((), tuple(map(sum, zip(*(line.counters for line in lines), strict=True))))


def query(group_by: Sequence[str], selection: Selection, *, by_user: bool = False) -> Select[Any]:
    """The statement behind `report`: one branch per span of time, added up."""
    by_user = by_user or "user" in group_by or "user" in selection.where
    parts = spans(selection.since, selection.until, _grains(group_by, selection, by_user=by_user))
    branches = [
        _of_rows(group_by, selection, part, by_user=by_user) if part.table == "usage"
        else _of_rollup(group_by, selection, part)
        for part in parts or [Span("usage", 0, 0)]
    ]  # fmt: skip
    if len(branches) == 1:
        return _ordered(branches[0], group_by)
    both = union_all(*branches).subquery("parts")
    groups = [both.c[f"g_{word}"] for word in group_by]
    found = select(*groups, *(_sum_of(both.c[name], name) for name in COUNTERS))
    # A group that was only taken off what it was in adds up to nothing.
    found = found.group_by(*groups).having(func.sum(both.c.attempts) > 0) if groups else found
    return _ordered(found, group_by)


def _grains(group_by: Sequence[str], selection: Selection, *, by_user: bool) -> Grains:
    """The rollups that can answer, the coarsest first."""
    if not by_user and not selection.where and all(word in TIMES for word in group_by):
        return EVERYTHING
    if "hour" in group_by:
        return () if by_user else BY_HOUR
    if not by_user and {*group_by, *selection.where} <= OF_OWNERS:
        return OWNERS_BY_DAY if "day" in group_by else OWNERS
    if "day" in group_by:
        return USERS_BY_DAY if by_user else BY_DAY
    return USERS if by_user else EVERYONE


def _sum_of(value: ColumnElement[int], name: str, sign: int = 1) -> ColumnElement[int]:
    """A sum that stays a whole number: PostgreSQL would make it a decimal."""
    found = cast(func.sum(value), BigInteger)
    return (found if sign == 1 else -found).label(name)


def _ordered(found: Select[Any], group_by: Sequence[str]) -> Select[Any]:
    if not group_by:
        return found
    times: list[ColumnElement[Any]] = [literal_column(f"g_{word}") for word in group_by if word in TIMES]
    cost: list[ColumnElement[Any]] = [literal_column("cost_nano_usd").desc(), literal_column("requests").desc()]
    rest: list[ColumnElement[Any]] = [literal_column(f"g_{word}") for word in group_by if word not in TIMES]
    return found.order_by(*times, *cost, *rest)


def _of_rollup(group_by: Sequence[str], selection: Selection, part: Span) -> Select[Any]:
    table = ROLLUPS[part.table]
    groups: list[ColumnElement[Any]] = [
        table.c.start - table.c.start % TIMES[word] if word in TIMES else series.c[DIMENSIONS[word]]
        for word in group_by
    ]
    found = select(
        *(group.label(f"g_{word}") for word, group in zip(group_by, groups, strict=True)),
        *(_sum_of(table.c[name], name, part.sign) for name in COUNTERS),
    )
    if any(word in DIMENSIONS for word in group_by):
        found = found.join_from(table, series, series.c.id == table.c.series)
    found = found.where(table.c.start >= part.start, table.c.start < part.end)
    wanted = [series.c[DIMENSIONS[word]] == value for word, value in selection.where.items()]
    if wanted:
        found = found.where(table.c.series.in_(select(series.c.id).where(and_(*wanted)).correlate(None)))
    return found.group_by(*groups) if groups else found


def _of_rows(group_by: Sequence[str], selection: Selection, part: Span, *, by_user: bool) -> Select[Any]:
    groups: list[ColumnElement[Any]] = [
        usage.c.started_at - usage.c.started_at % TIMES[word] if word in TIMES else usage.c[DIMENSIONS[word]]
        for word in group_by
    ]
    found = select(
        *(group.label(f"g_{word}") for word, group in zip(group_by, groups, strict=True)),
        *(_sum_of(value, name, part.sign) for name, value in zip(COUNTERS, counted(), strict=True)),
    ).where(chosen(replace(selection, since=part.start, until=part.end)))
    if by_user:
        found = found.where(usage.c.user_hash.is_not(None))
    return found.group_by(*groups) if groups else found


def chosen(selection: Selection) -> ColumnElement[bool]:
    """The rows of a selection."""
    time = (usage.c.started_at >= selection.since, usage.c.started_at < selection.until)
    return and_(*time, *(usage.c[DIMENSIONS[word]] == value for word, value in selection.where.items()))


@cache
def counted() -> tuple[ColumnElement[int], ...]:
    """What a row adds to each of COUNTERS, in SQL: the same as `rollup.Changes.add`."""
    c = usage.c
    charged, settled = c.state.in_(CHARGED), c.state == LedgerState.SETTLED
    one: dict[str, ColumnElement[int]] = {
        "attempts": literal_column("1"),
        "requests": case((charged, 1), else_=0),
        "errors": case((c.reason != "ok", 1), else_=0),
        "abandoned": case((c.state == LedgerState.ABANDONED, 1), else_=0),
        "cost_nano_usd": case((charged, func.coalesce(c.cost_nano_usd, 0)), else_=0),
        "released_nano_usd": case((charged, 0), else_=func.coalesce(c.cost_nano_usd, 0)),
        "unpriced": case((and_(charged, c.cost_nano_usd.is_(None)), 1), else_=0),
    }
    counts = [one[name] if name in one else case((charged, c[name]), else_=0) for name in COUNTS]
    for column in (c.duration_ms, c.ttft_ms):
        for low, high in zip((None, *BOUNDS), (*BOUNDS, None), strict=True):
            above = column > low if low is not None else column.is_not(None)
            inside = and_(settled, above, column <= high) if high is not None else and_(settled, above)
            counts.append(case((inside, 1), else_=0))
    assert len(counts) == WIDTH
    return tuple(counts)


async def attempts(
    database: Database, selection: Selection, *, limit: int | None = None, after: tuple[int, str, int] | None = None
) -> AsyncIterator[LedgerRow]:
    """Single attempts, the newest first, page by page; those that come after one's start, call id and number.

    Raises KeyError, DatabaseUnavailable.
    """
    order = (usage.c.started_at.desc(), usage.c.call_id.desc(), usage.c.attempt.desc())
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        wanted = select(usage).where(chosen(selection)).order_by(*order).limit(size)
        if after is not None:
            place = tuple_(usage.c.started_at, usage.c.call_id, usage.c.attempt)
            wanted = wanted.where(usage.c.started_at <= after[0], place < after)
        async with database.connect() as connection:
            page = [loaded(row) for row in (await connection.execute(wanted))]
        for row in page:
            yield row
        if len(page) < size:
            return
        after = (page[-1].started_at, page[-1].call_id, page[-1].attempt)
        left = None if left is None else left - len(page)
