"""Probes, states of deployments, and incidents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "health_checks",
        sa.Column("event", sa.String(), primary_key=True),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("deployment", sa.String()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
    )
    op.create_index("health_checks_of", "health_checks", ["provider", "at"])
    op.create_index("health_checks_at", "health_checks", ["at"])
    op.create_table(
        "deployment_states",
        sa.Column("deployment", sa.String(), primary_key=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("heard", sa.BigInteger(), nullable=False),
    )
    _incidents()
    op.create_table(
        "health_state",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("changes", sa.BigInteger(), nullable=False),
    )
    op.execute("INSERT INTO health_state (id, changes) VALUES (1, 0)")


def _incidents() -> None:
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("first_failure", sa.BigInteger(), nullable=False),
        sa.Column("last_failure", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("deployments", sa.JSON(), nullable=False),
        sa.Column("routes", sa.JSON(), nullable=False),
        sa.Column("quiet_since", sa.BigInteger()),
        sa.Column("closed_at", sa.BigInteger()),
    )
    op.create_index("incidents_first_failure", "incidents", ["first_failure"])
    still_open = sa.text("closed_at IS NULL")
    op.create_index(
        "incidents_open", "incidents", ["provider"], unique=True, postgresql_where=still_open, sqlite_where=still_open
    )
