"""At which tier of service a provider served an attempt: these have prices of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a constant default neither database rewrites the rows that there are.
    op.add_column("usage", sa.Column("service_tier", sa.String(), nullable=False, server_default=""))
