"""Which of the requests with one idempotency key is being served."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("admin_requests", sa.Column("claim", sa.String()))
