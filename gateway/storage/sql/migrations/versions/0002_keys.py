"""Virtual keys that are created at run time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "virtual_keys",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("team", sa.String()),
        sa.Column("models", sa.JSON()),
        sa.Column("services", sa.JSON()),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("quotas", sa.JSON(), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("rotated_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_index("virtual_keys_revision", "virtual_keys", ["revision"])
    op.create_table(
        "retired_secrets",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("key_id", sa.String(), sa.ForeignKey("virtual_keys.id"), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
    )
    op.create_index("retired_secrets_key", "retired_secrets", ["key_id"])
    op.create_table(
        "key_state",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.execute("INSERT INTO key_state (id, revision) VALUES (1, 0)")
