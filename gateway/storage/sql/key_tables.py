"""The tables of virtual keys, as queries name them. All times are Unix microseconds.

A key's row is never deleted: the ledger names it, and a gateway that ever had a key stays closed.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, LargeBinary, SmallInteger, String, Table

from gateway.storage.sql.tables import metadata

_Json = JSON(none_as_null=True)

virtual_keys = Table(
    "virtual_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("prefix", String, nullable=False),
    Column("team", String),
    Column("models", _Json),
    Column("services", _Json),
    Column("limits", _Json, nullable=False),
    Column("quotas", _Json, nullable=False),
    Column("metadata", _Json, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", String, nullable=False),
    Column("expires_at", BigInteger),
    Column("rotated_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("revision", BigInteger, nullable=False),
    Index("virtual_keys_revision", "revision"),
)

retired_secrets = Table(
    "retired_secrets",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("key_id", String, ForeignKey("virtual_keys.id"), nullable=False),
    Column("prefix", String, nullable=False),
    Column("valid_until", BigInteger, nullable=False),
    Index("retired_secrets_key", "key_id"),
)
"""Secrets that a rotation replaced, each with the end of its grace."""

key_state = Table(
    "key_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)
"""One row. Every change of the keys counts `revision` up first, so that writers follow one another."""
