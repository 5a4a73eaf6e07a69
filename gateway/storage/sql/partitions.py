"""PostgreSQL keeps `usage` in one partition per month (UTC) of `started_at`; whatever is far off goes to a default one.

Partitions are made ahead, so that the lock their creation takes on the table meets no writer.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import NamedTuple

AHEAD = 3
"""Months beyond the current one that exist at any time."""
BEHIND = 24
"""Months back for which a partition is made on demand."""
DEFAULT = "usage_default"
LOCK = 0x67772D75736167
"""The advisory lock under which partitions are made."""


class Month(NamedTuple):
    """A calendar month in UTC."""

    year: int
    number: int

    @property
    def table(self) -> str:
        return f"usage_{self.year:04}_{self.number:02}"

    @property
    def start_us(self) -> int:
        return int(datetime(self.year, self.number, 1, tzinfo=UTC).timestamp()) * 1_000_000

    def plus(self, months: int) -> Month:
        count = self.year * 12 + self.number - 1 + months
        return Month(count // 12, count % 12 + 1)


def month_of(start_us: int) -> Month:
    """The month of a moment. Raises ValueError, OverflowError or OSError outside the calendar."""
    moment = datetime.fromtimestamp(start_us // 1_000_000, UTC)
    return Month(moment.year, moment.month)


def this_month() -> Month:
    return month_of(int(time.time()) * 1_000_000)


def ahead() -> list[Month]:
    """The months whose partitions should exist now."""
    now = this_month()
    return [now.plus(n) for n in range(AHEAD + 1)]


def wanted(start_us: int) -> Month | None:
    """The month whose partition a row of this moment should have; None: it belongs to the default one."""
    now = this_month()
    if not now.plus(-BEHIND).start_us <= start_us < now.plus(AHEAD + 1).start_us:
        return None
    return month_of(start_us)


def ddl(month: Month) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {month.table} PARTITION OF usage "
        f"FOR VALUES FROM ({month.start_us}) TO ({month.plus(1).start_us})"
    )
