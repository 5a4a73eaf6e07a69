"""The tables of the audit log, as queries name them. All times are Unix microseconds.

What the hashes are made of stands as text, not as JSON: a database gives back text as it was written.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, SmallInteger, String, Table, Text

from gateway.storage.sql.tables import metadata

audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("actor_kind", String, nullable=False),
    Column("role", String, nullable=False),
    Column("action", String, nullable=False),
    Column("resource_kind", String, nullable=False),
    Column("resource_id", String, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("address", String, nullable=False),
    Column("request_id", String, nullable=False),
    Column("keyed", SmallInteger, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_log_at", "at"),
    Index("audit_log_of", "resource_kind", "resource_id", "seq"),
    Index("audit_log_actor", "actor", "seq"),
)
"""`keyed` is 1 where `hash` is made with the audit key, 0 where it is made without any."""

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("keyed", SmallInteger, nullable=False),
    Column("seal", String(64), nullable=False),
)
"""One row. Every entry counts `seq` up first, so that writers follow one another; `seal` vouches for the whole row."""
