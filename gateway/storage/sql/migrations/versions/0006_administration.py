"""The vault's salt and canary, the audit log, and those who administer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "vault_secrets",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
    )
    _audit()
    _admins()


def _audit() -> None:
    texts = ("actor", "actor_kind", "role", "action", "resource_kind", "resource_id")
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in texts),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("keyed", sa.SmallInteger(), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("audit_log_at", "audit_log", ["at"])
    op.create_index("audit_log_of", "audit_log", ["resource_kind", "resource_id", "seq"])
    op.create_index("audit_log_actor", "audit_log", ["actor", "seq"])
    op.create_table(
        "audit_head",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("keyed", sa.SmallInteger(), nullable=False),
        sa.Column("seal", sa.String(64), nullable=False),
    )
    op.execute("INSERT INTO audit_head (id, seq, hash, keyed, seal) VALUES (1, 0, '', 0, '')")


def _admins() -> None:
    op.create_table(
        "admin_users",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger()),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "admin_tokens",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), sa.ForeignKey("admin_users.id")),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
    )
    op.create_index("admin_tokens_user", "admin_tokens", ["user_id"])
    op.create_table(
        "admin_sessions",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("user_id", sa.String(), sa.ForeignKey("admin_users.id")),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("admin_sessions_user", "admin_sessions", ["user_id"])
    op.create_index("admin_sessions_expires", "admin_sessions", ["expires_at"])
