"""How much of an attempt's input was written to a cache that is kept for an hour: it has a price of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a constant default neither database rewrites the rows that there are.
    op.add_column("usage", sa.Column("cache_write_1h_tokens", sa.BigInteger(), nullable=False, server_default="0"))
