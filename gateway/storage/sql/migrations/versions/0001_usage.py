"""The ledger: one row per attempt, and its rollups."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The migration keeps its own account of the tables: later changes to tables.py must not change what it does.
_USAGE = """
call_id text, attempt smallint, request_id text, state text, started_at bigint, key text, team text?, user_hash text?,
route text, service text, requested_model text, provider text, deployment text, model text, stream boolean,
status smallint, reason text, input_tokens bigint, output_tokens bigint, cached_input_tokens bigint,
cache_write_tokens bigint, reasoning_tokens bigint, audio_input_tokens bigint, audio_output_tokens bigint,
units float, token_source text, cost_nano_usd bigint?, price_version text?, ttft_ms float?, duration_ms float,
config_revision text, provider_type text
"""
_SERIES = """
id bigint, key text, team text?, user_hash text?, route text, service text, requested_model text, provider text,
deployment text, model text
"""
_SMALL = ["attempts", "requests", "errors", "abandoned", "unpriced"]
_COUNTS = [
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "cost_nano_usd",
    "released_nano_usd",
]
_ROLLUPS = ["usage_hour", "usage_day", "usage_month", "usage_user_day", "usage_user_month", "usage_total_hour"]
_BINS = [f"{kind}{n}" for kind in "lt" for n in range(20)]
_TYPES: dict[str, Any] = {
    "text": sa.String(),
    "smallint": sa.SmallInteger(),
    "bigint": sa.BigInteger(),
    "boolean": sa.Boolean(create_constraint=False),
    "float": sa.Float(53),
}


def upgrade() -> None:
    postgres = op.get_context().dialect.name == "postgresql"
    _usage(postgres=postgres)
    op.create_table("usage_series", *_columns(_SERIES), sa.PrimaryKeyConstraint("id"))
    for name in ("key", "team", "user_hash"):
        op.create_index(f"usage_series_{name.partition('_')[0]}", "usage_series", [name])
    for table in _ROLLUPS:
        _rollup(table)


def _columns(text: str) -> list[sa.Column[Any]]:
    found = []
    for part in text.split(","):
        name, kind = part.split()
        found.append(sa.Column(name, _TYPES[kind.rstrip("?")], nullable=kind.endswith("?")))
    return found


def _usage(*, postgres: bool) -> None:
    # A unique key of a partitioned table has to hold the column that it is partitioned by.
    key = ("call_id", "attempt", "started_at") if postgres else ("call_id", "attempt")
    op.create_table(
        "usage", *_columns(_USAGE), sa.PrimaryKeyConstraint(*key), postgresql_partition_by="RANGE (started_at)"
    )
    op.create_index("usage_started_at", "usage", ["started_at"])
    op.create_index("usage_key", "usage", ["key", "started_at"])
    known = sa.text("user_hash IS NOT NULL")
    op.create_index("usage_user", "usage", ["user_hash", "started_at"], postgresql_where=known, sqlite_where=known)
    if postgres:
        op.execute("CREATE TABLE usage_default PARTITION OF usage DEFAULT")


def _rollup(table: str) -> None:
    op.create_table(
        table,
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("series", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _SMALL),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _BINS),
        sa.PrimaryKeyConstraint("start", "series"),
        sqlite_with_rowid=False,
        # Counters change in place: room in each page keeps those changes off the indexes.
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(f"{table}_series", table, ["series", "start"])
