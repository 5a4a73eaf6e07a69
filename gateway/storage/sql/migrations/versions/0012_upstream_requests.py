"""How many requests a provider got for an attempt: some have a price each."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a constant default neither database rewrites the rows that there are.
    op.add_column("usage", sa.Column("upstream_requests", sa.BigInteger(), nullable=False, server_default="1"))
