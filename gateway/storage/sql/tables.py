"""Every table, as queries name it. The migrations make them; a test holds the two together.

`usage` has one row per attempt. The rollups count what `usage` holds: `usage_hour`, `usage_day` and `usage_month` by
series (who, where, which model), `usage_owner_day` by key and team alone, `usage_user_day` and `usage_user_month` by
series with the user, `usage_total_hour` everything together. All times are Unix microseconds, all money nano-dollars;
hours, days and months are UTC's.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
)

metadata = MetaData()

usage = Table(
    "usage",
    metadata,
    # In the order of types.LedgerRow. On PostgreSQL the key also holds started_at, by which the table is partitioned:
    # a call's start never changes, so that (call_id, attempt) is as unique as the three together.
    Column("call_id", String, nullable=False),
    Column("attempt", SmallInteger, nullable=False),
    Column("request_id", String, nullable=False),
    Column("state", String, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("key", String, nullable=False),
    Column("team", String),
    Column("user_hash", String),
    Column("route", String, nullable=False),
    Column("service", String, nullable=False),
    Column("requested_model", String, nullable=False),
    Column("provider", String, nullable=False),
    Column("deployment", String, nullable=False),
    Column("model", String, nullable=False),
    Column("stream", Boolean(create_constraint=False), nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("reason", String, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cached_input_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("audio_input_tokens", BigInteger, nullable=False),
    Column("audio_output_tokens", BigInteger, nullable=False),
    Column("units", Float(53), nullable=False),
    Column("token_source", String, nullable=False),
    Column("cost_nano_usd", BigInteger),
    Column("price_version", String),
    Column("ttft_ms", Float(53)),
    Column("duration_ms", Float(53), nullable=False),
    Column("config_revision", String, nullable=False),
    Column("provider_type", String, nullable=False),
    Column("cache_write_1h_tokens", BigInteger, nullable=False),
    Column("upstream_requests", BigInteger, nullable=False),
    Column("service_tier", String, nullable=False),
    Column("searches", BigInteger, nullable=False),
    PrimaryKeyConstraint("call_id", "attempt"),
    Index("usage_started_at", "started_at"),
    Index("usage_key", "key", "started_at"),
)
Index("usage_user", usage.c.user_hash, usage.c.started_at, postgresql_where=usage.c.user_hash.is_not(None))

DIMENSIONS = ("key", "team", "user_hash", "route", "service", "requested_model", "provider", "deployment", "model")
"""What tells one series from another. In the rollups that are not by user every series has the user_hash NULL."""

series = Table(
    "usage_series",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, String, nullable=name in ("team", "user_hash")) for name in DIMENSIONS),
    Index("usage_series_key", "key"),
    Index("usage_series_team", "team"),
    Index("usage_series_user", "user_hash"),
)

_SMALL = ("attempts", "requests", "errors", "abandoned", "unpriced")
COUNTS = (
    *_SMALL,
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "cost_nano_usd",
    "released_nano_usd",
)
"""What a rollup adds up. `requests`, tokens, `cost_nano_usd` and `unpriced` are of attempts that were charged to the
caller (settled, abandoned); `released_nano_usd` is what the others cost the gateway; `errors` are of all attempts."""

BINS = 20
LATENCY = tuple(f"l{n}" for n in range(BINS))
TTFT = tuple(f"t{n}" for n in range(BINS))
"""Histograms of settled attempts, see usage/histogram.py for the bounds."""


# SQLite's integers have eight bytes, whatever they are called.
_WIDE = BigInteger().with_variant(Integer(), "sqlite")


def _rollup(name: str, counter: Integer | None = None) -> Table:
    """`start` is the first microsecond of the hour, day or month. In `usage_total_hour` the series is always 0."""
    counter = counter or Integer()
    return Table(
        name,
        metadata,
        Column("start", BigInteger, nullable=False),
        Column("series", BigInteger, nullable=False),
        # What counts attempts has four bytes where that is enough: PostgreSQL adds those up several times faster.
        *(Column(count, counter if count in _SMALL else BigInteger, nullable=False) for count in COUNTS),
        *(Column(count, counter, nullable=False) for count in (*LATENCY, *TTFT)),
        PrimaryKeyConstraint("start", "series"),
        Index(f"{name}_series", "series", "start"),
        sqlite_with_rowid=False,
    )


usage_hour = _rollup("usage_hour")
usage_day = _rollup("usage_day")
usage_month = _rollup("usage_month", _WIDE)
usage_owner_day = _rollup("usage_owner_day")
usage_user_day = _rollup("usage_user_day")
usage_user_month = _rollup("usage_user_month", _WIDE)
usage_total_hour = _rollup("usage_total_hour")
