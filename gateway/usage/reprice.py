"""History at another price: cost and rollups restated exactly, from the tokens that each row kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select, tuple_

from gateway.storage.sql.errors import DatabaseUnavailable, is_conflict
from gateway.storage.sql.tables import usage
from gateway.types import MAX_COST, LedgerState, Price, Usage
from gateway.usage.cost import nano_usd
from gateway.usage.ledger import TRIES, apply
from gateway.usage.ledger_rows import loaded
from gateway.usage.ledger_sql import PG_REPRICE, SQLITE_REPRICE, usage_json
from gateway.usage.rollup import Changes, Series
from gateway.usage.units import as_sold

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.storage.sql.database import Database
    from gateway.types import LedgerRow

PriceOf = Callable[[str, str, str, date], Price | None]
"""The price of (provider type, provider, model) on a day (UTC), or None when it is not known."""
BATCH = 500

Place = tuple[int, str, int]


@dataclass(slots=True)
class Repriced:
    """What a reprice did. Amounts are nano-dollars: `difference` of what callers are charged, `released_difference` of
    what the gateway paid for itself."""

    seen: int = 0
    changed: int = 0
    newly_priced: int = 0
    unpriced: int = 0
    """Rows without a price, still."""
    difference: int = 0
    released_difference: int = 0


async def reprice(database: Database, price_of: PriceOf, since_us: int, until_us: int = 2**61) -> Repriced:
    """Restate the rows that started from `since_us` up to `until_us`, batch by batch; a second time changes nothing.

    A row whose price is not known keeps what it has. Safe beside writers, and to break off and start again: each batch
    is one transaction with its rollups. Raises DatabaseUnavailable.
    """
    result = Repriced()
    place: Place | None = (since_us, "", -1)
    while place is not None:
        place = await _batch(database, price_of, place, until_us, result)
    return result


async def _batch(database: Database, price_of: PriceOf, place: Place, until_us: int, result: Repriced) -> Place | None:
    for left in reversed(range(TRIES)):
        try:
            async with database.begin() as connection:
                rows = await _page(connection, place, until_us)
                new = [restated(row, price_of) for row in rows]
                await _store(connection, [(a, b) for a, b in zip(rows, new, strict=True) if a is not b])
            break
        except DatabaseUnavailable as error:
            if not left or not is_conflict(error):
                raise
    for before, after in zip(rows, new, strict=True):
        _tell(result, before, after)
    last = rows[-1] if len(rows) == BATCH else None
    return None if last is None else (last.started_at, last.call_id, last.attempt)


async def _page(connection: AsyncConnection, place: Place, until_us: int) -> list[LedgerRow]:
    columns = (usage.c.started_at, usage.c.call_id, usage.c.attempt)
    found = await connection.execute(
        select(usage)
        .where(usage.c.started_at >= place[0], usage.c.started_at < until_us, tuple_(*columns) > place)
        .order_by(*columns)
        .limit(BATCH)
        .with_for_update()
    )
    return [loaded(row) for row in found]


def restated(row: LedgerRow, price_of: PriceOf) -> LedgerRow:
    """The row at its price of today's knowledge; the same object where nothing changes."""
    used = Usage(
        row.input_tokens,
        row.output_tokens,
        row.cached_input_tokens,
        row.cache_write_tokens,
        row.reasoning_tokens,
        row.audio_input_tokens,
        row.audio_output_tokens,
        row.units,
        row.cache_write_1h_tokens,
        row.upstream_requests,
        row.service_tier,
        row.searches,
    )
    if row.state == LedgerState.RELEASED and not used.total and not used.units:
        return row  # it never reached a model
    day = datetime.fromtimestamp(row.started_at // 1_000_000, UTC).date()
    price = price_of(row.provider_type, row.provider, row.model, day)
    if price is None:
        return row
    cost = min(nano_usd(as_sold(used, row.service, price), price), MAX_COST)
    if cost == row.cost_nano_usd and price.version == row.price_version:
        return row
    return msgspec.structs.replace(row, cost_nano_usd=cost, price_version=price.version)


async def _store(connection: AsyncConnection, pairs: list[tuple[LedgerRow, LedgerRow]]) -> None:
    if not pairs:
        return
    changes = Changes(Series())
    for before, after in pairs:
        changes.add(before, -1)
        changes.add(after)
    if connection.dialect.name == "postgresql":
        payload = usage_json([msgspec.structs.astuple(after) for _, after in pairs])
        await connection.exec_driver_sql(PG_REPRICE, (payload,))
    else:
        rows = [(after.cost_nano_usd, after.price_version, after.call_id, after.attempt) for _, after in pairs]
        await connection.exec_driver_sql(SQLITE_REPRICE, rows)
    await apply(connection, changes, set())


def _tell(result: Repriced, before: LedgerRow, after: LedgerRow) -> None:
    result.seen += 1
    if after.cost_nano_usd is None:
        result.unpriced += 1
    if after is before:
        return
    result.changed += 1
    result.newly_priced += before.cost_nano_usd is None
    difference = (after.cost_nano_usd or 0) - (before.cost_nano_usd or 0)
    if after.state == LedgerState.RELEASED:
        result.released_difference += difference
    else:
        result.difference += difference
