"""What operators have not been told of incidents yet that people opened or closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("incidents", sa.Column("untold", sa.String()))
    untold = sa.text("untold IS NOT NULL")
    op.create_index("incidents_untold", "incidents", ["untold"], postgresql_where=untold, sqlite_where=untold)
