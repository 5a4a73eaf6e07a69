"""How many searches a provider ran for an attempt: they have a price."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a constant default neither database rewrites the rows that there are.
    op.add_column("usage", sa.Column("searches", sa.BigInteger(), nullable=False, server_default="0"))
