"""Resources that are managed at run time, and the revisions of the configuration."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _resource("providers")
    _resource("models", "provider_id", _provider())
    _resource(
        "credentials",
        "provider_id",
        _provider(),
        sa.Column("secret", sa.Text()),
        sa.Column("previous", sa.Text()),
        sa.Column("previous_until", sa.BigInteger()),
    )
    _resource("templates")
    _resource("routing_rules", "", sa.Column("position", sa.Integer(), nullable=False))
    _resource("teams")
    _resource("limits")
    _revisions()


def _provider() -> sa.Column[Any]:
    return sa.Column("provider_id", sa.String(), sa.ForeignKey("providers.id"), nullable=False)


def _resource(table: str, within: str = "", *own: sa.Column[Any]) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("observed", sa.JSON(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        *own,
        sa.UniqueConstraint(*(column for column in (within, "name") if column)),
    )


def _revisions() -> None:
    op.create_table(
        "config_state",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.execute("INSERT INTO config_state (id, revision) VALUES (1, 0)")
    op.create_table(
        "config_revisions",
        sa.Column("revision", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("address", sa.String()),
        sa.Column("request_id", sa.String()),
        sa.Column("rolled_back_to", sa.BigInteger()),
    )
    op.create_table(
        "config_changes",
        sa.Column(
            "revision",
            sa.BigInteger(),
            sa.ForeignKey("config_revisions.revision"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("before", sa.JSON()),
        sa.Column("after", sa.JSON()),
    )
    op.create_index("config_changes_of", "config_changes", ["kind", "resource_id", "revision"])
