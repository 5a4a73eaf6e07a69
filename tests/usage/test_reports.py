"""Reports: the same sums whether rollups or rows answer."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.types import LedgerRow, LedgerState
from gateway.usage.ledger import Ledger
from gateway.usage.ledger_sql import COUNTERS
from gateway.usage.reports import DIMENSIONS, TIMES, Selection, attempts, report
from gateway.usage.rollup import DAY, END, EVERYONE, EVERYTHING, HOUR, USERS, Grains, Span, spans
from tests.support.ledger import SECOND, START, counted, row

if TYPE_CHECKING:
    from gateway.storage.sql.database import Database


def many(count: int) -> list[LedgerRow]:
    """Rows over three days and a bit, with several of everything."""
    dice = random.Random(7)
    return [
        row(
            started_at=START + dice.randrange(80 * HOUR),
            key=f"k{dice.randrange(3)}",
            team=dice.choice([None, "a", "b"]),
            user_hash=dice.choice([None, "u1", "u2"]),
            route=dice.choice(["r1", "r2"]),
            requested_model=dice.choice(["fast", "smart"]),
            provider=dice.choice(["openai", "azure"]),
            deployment=dice.choice(["openai/x", "azure/y"]),
            model=dice.choice(["x", "y"]),
            service=dice.choice(["chat", "embeddings"]),
            state=dice.choice([*LedgerState, LedgerState.SETTLED, LedgerState.SETTLED]),
            reason=dice.choice(["ok", "ok", "stall"]),
            cost_nano_usd=dice.choice([None, 17, 10**9]),
            input_tokens=dice.randrange(1000),
            cached_input_tokens=dice.randrange(10),
            duration_ms=dice.expovariate(1 / 3000),
            ttft_ms=dice.choice([None, dice.expovariate(1 / 300)]),
        )
        for _ in range(count)
    ]


def sums(rows: list[LedgerRow], group_by: tuple[str, ...]) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """The plain way to the same report."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for one in rows:
        group = tuple(
            one.started_at // TIMES[word] * TIMES[word] if word in TIMES else getattr(one, DIMENSIONS[word])
            for word in group_by
        )
        counts = counted(one)
        line = found.setdefault(group, [0] * len(COUNTERS))
        for index, name in enumerate(COUNTERS):
            line[index] += counts.get(name, 0)
    return {group: tuple(line) for group, line in found.items()}


SELECTIONS = [
    Selection(),
    Selection(START + 5 * SECOND, START + 71 * HOUR + 1),
    Selection(START + HOUR // 3, START + HOUR // 2),
    Selection(START - DAY, START + 2 * DAY, {"team": "a"}),
    Selection(where={"key": "k1", "model": "smart"}),
    Selection(START - HOUR, START + 29 * DAY + 23 * HOUR),
    Selection(START + 12 * HOUR + 7, START + 29 * DAY),
    Selection(START + 1, where={"user": "u1", "provider": "azure"}),
    Selection(where={"route": "r1", "service": "chat", "served_model": "x", "deployment": "openai/x"}),
]
GROUPS = [(word,) for word in (*DIMENSIONS, *TIMES)] + [("team", "model"), ("day", "key"), ("user", "hour"), ()]


async def test_reports(database: Database) -> None:
    """Every grouping under every selection equals the sums over the rows themselves; the total equals all groups."""
    rows = many(400)
    await Ledger(database).write(rows)
    few = [("key",), ("user", "hour"), ()]
    pairs = [
        (selection, group) for index, selection in enumerate(SELECTIONS) for group in (few if index > 1 else GROUPS)
    ]
    for selection, group_by in pairs:
        by_user = "user" in group_by or "user" in selection.where
        chosen = [
            one
            for one in rows
            if selection.since <= one.started_at < selection.until
            and all(getattr(one, DIMENSIONS[word]) == value for word, value in selection.where.items())
            and not (by_user and one.user_hash is None)
        ]
        found = await report(database, group_by, selection)
        assert {line.group: line.counters for line in found.lines} == sums(chosen, group_by), (selection, group_by)
        assert found.total.counters == sums(chosen, ()).get((), (0,) * len(COUNTERS))


async def test_limit(database: Database) -> None:
    """The dearest groups come first; the total counts those cut off as well."""
    rows = [row(key=f"k{n}", cost_nano_usd=n, user_hash=f"u{n}") for n in range(9)]
    await Ledger(database).write([*rows, row(key="x", cost_nano_usd=1)])
    found = await report(database, ("key",), Selection(), limit=2)
    assert ([line.group for line in found.lines], found.truncated) == ([("k8",), ("k7",)], True)
    assert (found.total["requests"], found.total["cost_nano_usd"]) == (10, 37)
    users = await report(database, ("user",), Selection(), limit=2)
    assert (users.total["requests"], users.truncated) == (9, True)


async def test_times_in_order(database: Database) -> None:
    """By day, the oldest comes first."""
    await Ledger(database).write([row(started_at=START + n * DAY, cost_nano_usd=n * 5 % 3) for n in range(4)])
    found = await report(database, ("day",), Selection())
    days = [line.group[0] for line in found.lines]
    assert days == [START // DAY * DAY + n * DAY for n in range(4)]


async def test_percentiles(database: Database) -> None:
    """p50 and p95 are of settled attempts, latency and time to first token apart."""
    rows = [row(duration_ms=1000.0, ttft_ms=100.0) for _ in range(90)]
    rows += [row(duration_ms=30_000.0, ttft_ms=3000.0) for _ in range(10)]
    rows += [row(state=LedgerState.RELEASED, duration_ms=1.0, ttft_ms=1.0) for _ in range(300)]
    await Ledger(database).write(rows)
    total = (await report(database, ("key",), Selection())).total
    assert total.latency_ms(0.5) == pytest.approx(1000, rel=0.5)
    assert total.latency_ms(0.95) == pytest.approx(30_000, rel=0.5)
    assert total.ttft_ms(0.5) == pytest.approx(100, rel=0.5)
    assert total.ttft_ms(0.95) == pytest.approx(3000, rel=0.5)


async def test_unknown_word(database: Database) -> None:
    """A word that nothing is grouped by is an error of the caller."""
    with pytest.raises(KeyError):
        await report(database, ("colour",), Selection())


async def test_attempts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single attempts come newest first, page after page, each once, as many as asked for."""
    monkeypatch.setattr("gateway.usage.reports.PAGE", 7)
    rows = [row(started_at=START + n // 3, key=f"k{n % 2}") for n in range(50)]
    await Ledger(database).write(rows)
    everything = [one async for one in attempts(database, Selection())]
    assert everything == sorted(rows, key=lambda one: (one.started_at, one.call_id, one.attempt), reverse=True)
    selection = Selection(START, START + 10, {"key": "k1"})
    some = [one async for one in attempts(database, selection, limit=12)]
    assert some == [one for one in everything if one.key == "k1" and one.started_at < START + 10][:12]


def test_spans() -> None:
    """A span is cut into cells as coarse as they can be; of a cell nearly whole, the rest is taken off."""
    november = START - HOUR
    december = november + 30 * DAY
    assert spans(november + DAY, december + 2 * DAY + HOUR + 5, EVERYONE) == [
        Span("usage_day", november, november + DAY, -1),
        Span("usage_month", november, december),
        Span("usage_day", december, december + 2 * DAY),
        Span("usage_hour", december + 2 * DAY, december + 2 * DAY + HOUR),
        Span("usage", december + 2 * DAY + HOUR, december + 2 * DAY + HOUR + 5),
    ]
    assert spans(november + 5, november + HOUR, EVERYONE) == [
        Span("usage", november, november + 5, -1),
        Span("usage_hour", november, november + HOUR),
    ]
    assert spans(5, 5, EVERYONE) == []
    assert spans(-5, 2**62, EVERYONE) == [Span("usage_month", 0, END)]


_MOMENTS = st.builds(
    lambda day, rest: day * DAY + rest,
    st.integers(-1, 70),
    st.sampled_from([0, 1, HOUR - 1, HOUR, 23 * HOUR]) | st.integers(0, DAY),
)


@given(_MOMENTS, _MOMENTS, st.sampled_from([EVERYONE, USERS, EVERYTHING, ()]), st.lists(_MOMENTS, min_size=1))
def test_spans_cover(start: int, end: int, grains: Grains, moments: list[int]) -> None:
    """Every moment inside counts once, every moment outside not at all, and no piece begins or ends inside a cell."""
    found = spans(start, end, grains)
    for moment in (*moments, start, end, start - 1, end - 1):
        if moment >= 0:
            count = sum(span.sign for span in found if span.start <= moment < span.end)
            assert count == (start <= moment < end), (moment, found)
    for span in found:
        size = {"usage_hour": HOUR, "usage_total_hour": HOUR, "usage": 1}.get(span.table, DAY)
        assert span.start % size == span.end % size == 0
        if span.table.endswith("month"):
            assert all(datetime.fromtimestamp(edge // 10**6, UTC).day == 1 for edge in (span.start, span.end))
