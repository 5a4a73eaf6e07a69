"""Repricing: history as if the price had always been this one."""

from __future__ import annotations

import asyncio
import random
from datetime import date
from typing import TYPE_CHECKING

import msgspec

from gateway.types import LedgerRow, LedgerState, Price, Usage
from gateway.usage import reprice as module
from gateway.usage.cost import nano_usd
from gateway.usage.events import decode_event, encode_event, withdrawn
from gateway.usage.ledger import Ledger
from gateway.usage.reprice import reprice
from tests.support.ledger import SECOND, START, expected, opened, rollups, row, stored

if TYPE_CHECKING:
    import pytest

    from gateway.storage.sql.database import Database

NEW = Price(
    2.5,
    10.0,
    cached_input=1.25,
    cache_write=3.0,
    reasoning=12.0,
    per_request=0.001,
    version="v2",
    cache_write_1h=5.0,
    per_search=0.01,
    service_tiers={"flex": Price(1.5, 5.0), "priority": Price(5.0, 20.0, cached_input=2.5)},
)


def known(_type: str, provider: str, _model: str, _on: date) -> Price | None:
    """Only OpenAI's prices."""
    return NEW if provider == "openai" else None


def history() -> list[LedgerRow]:
    dice = random.Random(3)
    return [
        row(
            started_at=START + n // 2 * SECOND,
            provider=dice.choice(["openai", "openai", "azure"]),
            state=dice.choice(list(LedgerState)),
            user_hash=dice.choice([None, "u1"]),
            input_tokens=dice.choice([0, dice.randrange(100_000)]),
            output_tokens=dice.choice([0, 50]),
            cached_input_tokens=dice.randrange(100),
            cache_write_tokens=(written := dice.choice([0, dice.randrange(1000)])),
            cache_write_1h_tokens=dice.choice([0, written, written // 2]),
            reasoning_tokens=dice.randrange(50),
            upstream_requests=dice.choice([1, 1, 7]),
            searches=dice.choice([0, 0, 3]),
            service_tier=dice.choice(["", "", "flex", "priority", "scale"]),
            cost_nano_usd=dice.choice([None, 0, 12345]),
        )
        for n in range(60)
    ]


def restated(one: LedgerRow, since: int) -> LedgerRow:
    """What a row should look like afterwards, worked out apart."""
    idle = one.state == LedgerState.RELEASED and one.input_tokens + one.output_tokens == 0
    if one.started_at < since or one.provider != "openai" or idle:
        return one
    used = Usage(
        one.input_tokens,
        one.output_tokens,
        one.cached_input_tokens,
        one.cache_write_tokens,
        one.reasoning_tokens,
        cache_write_1h_tokens=one.cache_write_1h_tokens,
        requests=one.upstream_requests,
        service_tier=one.service_tier,
        searches=one.searches,
    )
    return msgspec.structs.replace(one, cost_nano_usd=nano_usd(used, NEW), price_version="v2")


async def test_reprice(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows since a time get their cost anew, older ones and those without a known price keep it; rollups follow to the
    nano-dollar; the result tells by how much; a second time changes nothing."""
    monkeypatch.setattr(module, "BATCH", 7)
    rows = history()
    since = START + 10 * SECOND
    await Ledger(database).write(rows)
    wanted = {(one.call_id, one.attempt): restated(one, since) for one in rows}

    result = await reprice(database, known, since)

    assert await stored(database) == wanted
    assert await rollups(database) == expected(wanted.values())
    touched = [one for one in rows if one.started_at >= since]
    pairs = [(one, wanted[one.call_id, one.attempt]) for one in touched]
    changed = [(a, b) for a, b in pairs if a != b]
    assert (result.seen, result.changed) == (len(touched), len(changed))
    assert result.newly_priced == sum(a.cost_nano_usd is None for a, _ in changed)
    assert result.unpriced == sum(b.cost_nano_usd is None for _, b in pairs)
    for released, told in ((True, result.released_difference), (False, result.difference)):
        pick = [(a, b) for a, b in changed if (a.state == LedgerState.RELEASED) == released]
        assert told == sum((b.cost_nano_usd or 0) - (a.cost_nano_usd or 0) for a, b in pick)

    again = await reprice(database, known, since)
    assert (again.seen, again.changed, again.difference) == (len(touched), 0, 0)


async def test_units_at_a_price_of_tokens(database: Database) -> None:
    """Speech whose tokens nobody counted does not become free: they are estimated as when it was booked."""
    spoken = row(service="speech", provider="openai", input_tokens=0, output_tokens=0, units=200.0, cost_nano_usd=None)
    await Ledger(database).write([spoken])
    assert (await reprice(database, known, 0)).newly_priced == 1
    (after,) = (await stored(database)).values()
    assert after.cost_nano_usd == 300 * 10_000 + 1_000_000


def test_what_was_never_sent_stays_free() -> None:
    """Characters that were to be spoken, and were not, cost nothing at any price."""
    under_way = row(service="speech", provider="openai", state=LedgerState.ABANDONED, units=200.0, cost_nano_usd=7)
    (never,) = decode_event(withdrawn(encode_event([under_way])))
    assert never.cost_nano_usd == 0
    assert module.restated(never, known) is never


async def test_until_and_day(database: Database) -> None:
    """The end of the time is outside, and each row is priced for its own day."""
    days: list[date] = []

    def price_of(_type: str, _provider: str, _model: str, on: date) -> Price | None:
        days.append(on)
        return NEW

    inside, outside = row(started_at=START), row(started_at=START + SECOND)
    await Ledger(database).write([inside, outside])
    result = await reprice(database, price_of, 0, START + SECOND)
    assert (result.changed, days) == (1, [date(2026, 11, 1)])
    assert (await stored(database))[outside.call_id, 1] == outside


async def test_beside_writers(url: str) -> None:
    """Repricing while others write and deliver again leaves rollups and rows in agreement."""
    rows = [row(key=f"k{n % 4}", started_at=START + n * SECOND, cost_nano_usd=None) for n in range(200)]
    async with opened(url) as database, opened(url) as other:
        await Ledger(database).write(rows[:100])

        async def write() -> None:
            ledger = Ledger(other)
            for start in range(0, 200, 20):
                await ledger.write(rows[start : start + 20])

        await asyncio.gather(write(), reprice(database, known, 0), reprice(database, known, 0))
        await reprice(database, known, 0)
        found = await stored(database)
        assert len(found) == 200
        assert {one.price_version for one in found.values()} == {"v2"}
        assert await rollups(database) == expected(found.values())
