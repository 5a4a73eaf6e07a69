"""Counts of attempts in a month may pass 2^31: a series of 800 calls a second does."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_TABLES = ("usage_month", "usage_user_month")
_SMALL = ("attempts", "requests", "errors", "abandoned", "unpriced")
_BINS = tuple(f"{kind}{n}" for kind in "lt" for n in range(20))


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return  # SQLite's integers have eight bytes already
    for table in _TABLES:
        with op.batch_alter_table(table) as batch:
            for name in (*_SMALL, *_BINS):
                batch.alter_column(name, type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False)
