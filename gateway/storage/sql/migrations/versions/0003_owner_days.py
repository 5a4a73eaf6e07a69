"""Days of keys and teams, whatever they called: reports by them over spans that cut months."""

from __future__ import annotations

from hashlib import md5

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLE = "usage_owner_day"
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
_BINS = [f"{kind}{n}" for kind in "lt" for n in range(20)]
_KEEP = "ON CONFLICT DO NOTHING"
_EMPTY = ["route", "service", "requested_model", "provider", "deployment", "model"]


def upgrade() -> None:
    op.create_table(
        _TABLE,
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("series", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _SMALL),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _BINS),
        sa.PrimaryKeyConstraint("start", "series"),
        sqlite_with_rowid=False,
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(f"{_TABLE}_series", _TABLE, ["series", "start"])
    _owners()
    _days()


def _owners() -> None:
    """A series of each key and team that there are; its id as `rollup.owner_id` finds it."""
    columns = f"INSERT INTO usage_series (id, key, team, user_hash, {', '.join(_EMPTY)}) "
    empty = ", ".join(["''"] * len(_EMPTY))
    if op.get_context().dialect.name == "postgresql":  # which may only be writing a script
        name = r"md5(concat_ws(E'\x1f', 'owner', key, coalesce(team, E'\x1f')))"
        number = f"('x' || substr({name}, 1, 16))::bit(64)::bigint & 9223372036854775807"
        found = "(SELECT DISTINCT key, team FROM usage_series WHERE user_hash IS NULL) AS owners"
        op.execute(" ".join((columns, "SELECT", number, ", key, team, NULL,", empty, "FROM", found, _KEEP)))
        return
    connection = op.get_bind()
    for key, team in connection.execute(
        sa.text("SELECT DISTINCT key, team FROM usage_series WHERE user_hash IS NULL")
    ).all():
        values = {"id": _id(key, team), "key": key, "team": team}
        connection.execute(sa.text(f"{columns} VALUES (:id, :key, :team, NULL, {empty}) {_KEEP}"), values)


def _id(key: str, team: str | None) -> int:
    name = "\x1f".join(("owner", key, "\x1f" if team is None else team))
    return int.from_bytes(md5(name.encode(), usedforsecurity=False).digest()[:8], "big") & (2**63 - 1)


def _days() -> None:
    counters = [*_SMALL, *_COUNTS, *_BINS]
    same = "IS NOT DISTINCT FROM" if op.get_context().dialect.name == "postgresql" else "IS"
    sums = ", ".join(f"sum(d.{name})" for name in counters)
    parts = (
        *("INSERT INTO", _TABLE, "(start, series,", ", ".join(counters), ") SELECT d.start, o.id,", sums),
        "FROM usage_day d JOIN usage_series s ON s.id = d.series",
        *("JOIN usage_series o ON o.key = s.key AND o.team", same, "s.team"),
        "AND o.user_hash IS NULL AND o.deployment = '' GROUP BY d.start, o.id",
    )
    op.execute(" ".join(parts))
