"""The tables of probes, states and incidents, as queries name them. All times are Unix microseconds."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Float, Index, Integer, SmallInteger, String, Table, text

from gateway.storage.sql.tables import metadata

health_checks = Table(
    "health_checks",
    metadata,
    Column("event", String, primary_key=True),
    Column("provider", String, nullable=False),
    Column("deployment", String),
    Column("at", BigInteger, nullable=False),
    Column("outcome", String, nullable=False),
    Column("seconds", Float(53), nullable=False),
    Index("health_checks_of", "provider", "at"),
    Index("health_checks_at", "at"),
)
"""Probes, each by the stream's entry that told of it: what comes twice is kept once."""

deployment_states = Table(
    "deployment_states",
    metadata,
    Column("deployment", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("heard", BigInteger, nullable=False),
)
"""What workers said last of each deployment."""

incidents = Table(
    "incidents",
    metadata,
    Column("id", String, primary_key=True),
    Column("provider", String, nullable=False),
    Column("cause", String, nullable=False),
    Column("first_failure", BigInteger, nullable=False),
    Column("last_failure", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("parts", JSON(none_as_null=True), nullable=False),
    Column("deployments", JSON(none_as_null=True), nullable=False),
    Column("routes", JSON(none_as_null=True), nullable=False),
    Column("quiet_since", BigInteger),
    Column("closed_at", BigInteger),
    Column("untold", String),
    Index("incidents_first_failure", "first_failure"),
)
"""`untold` is what operators have not been told yet: `opened`, `closed`, or both with a space between."""
Index(
    "incidents_open",
    incidents.c.provider,
    unique=True,
    postgresql_where=text("closed_at IS NULL"),
    sqlite_where=text("closed_at IS NULL"),
)
Index(
    "incidents_untold",
    incidents.c.untold,
    postgresql_where=text("untold IS NOT NULL"),
    sqlite_where=text("untold IS NOT NULL"),
)

health_state = Table(
    "health_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("changes", BigInteger, nullable=False),
)
"""One row. Every transaction that writes these tables counts `changes` up first, so that writers follow one another."""
