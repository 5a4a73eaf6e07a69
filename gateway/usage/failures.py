"""What failed at which provider, in the standard words: counted from the ledger's rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from gateway.errors.taxonomy import standard_type
from gateway.storage.sql.tables import usage
from gateway.usage.reports import chosen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.storage.sql.database import Database
    from gateway.usage.reports import Selection


@dataclass(frozen=True, slots=True)
class Group:
    """One kind of failure at one provider. `last_at` is Unix microseconds."""

    provider: str
    type: str
    count: int
    reasons: tuple[tuple[str, int], ...]
    """What exactly, the most frequent first."""
    last_at: int


@dataclass(frozen=True, slots=True)
class Found:
    """Every failure of a selection, and how many attempts there were of each provider."""

    items: tuple[Group, ...]
    attempts: Mapping[str, int]


async def by_provider(database: Database, selection: Selection) -> Found:
    """Count the attempts of a selection. Raises DatabaseUnavailable."""
    c = usage.c
    counted = select(c.provider, c.reason, func.count(), func.max(c.started_at)).where(chosen(selection))
    async with database.connect() as connection:
        rows = (await connection.execute(counted.group_by(c.provider, c.reason))).all()
    totals: Counter[str] = Counter()
    reasons: dict[tuple[str, str], Counter[str]] = {}
    last: dict[tuple[str, str], int] = {}
    for provider, reason, count, at in rows:
        totals[provider] += count
        kind = standard_type(reason)
        if kind is not None:
            reasons.setdefault((provider, kind), Counter())[reason] += count
            last[provider, kind] = max(at, last.get((provider, kind), 0))
    groups = [
        Group(provider, kind, counts.total(), tuple(counts.most_common()), last[provider, kind])
        for (provider, kind), counts in reasons.items()
    ]
    groups.sort(key=lambda group: (group.provider, -group.count, group.type))
    return Found(tuple(groups), totals)
