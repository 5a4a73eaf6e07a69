"""The tables of those who administer: users, their tokens, their sessions. All times are Unix microseconds.

No secret stands here: passwords as Argon2id, tokens and sessions as SHA-256.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, LargeBinary, SmallInteger, String, Table, Text

from gateway.storage.sql.tables import metadata

admin_users = Table(
    "admin_users",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("role", String, nullable=False),
    Column("password_hash", String),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("version", BigInteger, nullable=False),
)
"""Users are disabled rather than deleted: the audit log names them."""

admin_tokens = Table(
    "admin_tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("user_id", String, ForeignKey("admin_users.id")),
    Column("role", String, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("prefix", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String, nullable=False),
    Column("expires_at", BigInteger),
    Column("last_used_at", BigInteger),
    Column("revoked_at", BigInteger),
    Index("admin_tokens_user", "user_id"),
)
"""`user_id` is null for those that the admin key made for a machine."""

admin_sessions = Table(
    "admin_sessions",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("user_id", String, ForeignKey("admin_users.id")),
    Column("role", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("admin_sessions_user", "user_id"),
    Index("admin_sessions_expires", "expires_at"),
)
"""`user_id` is null for one that the admin key opened."""

admin_requests = Table(
    "admin_requests",
    metadata,
    Column("name", String, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("status", SmallInteger),
    Column("headers", JSON(none_as_null=True)),
    Column("body", Text),
    Column("claim", String),
    Index("admin_requests_created_at", "created_at"),
)
"""What requests with an `Idempotency-Key` came to, for a day. `name` is made of the caller and its key; `status` is
null while the first one is being served, which `claim` names; `body` is sealed where it can be, and `fingerprint` is
made with the admin key: passwords among what was sent cannot be guessed from it."""
