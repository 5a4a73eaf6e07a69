"""The vault's own table, as queries name it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table

from gateway.storage.sql.tables import metadata

vault_secrets = Table(
    "vault_secrets",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", String, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
"""`salt` in base64; `canary`, and `audit` (the key of the audit log), each sealed. Times are Unix microseconds."""
