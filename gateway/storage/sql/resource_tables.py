"""The tables of resources that are managed at run time, as queries name them. All times are Unix microseconds.

`settings` are what the configuration file would say of a resource, in its notation; `details` are what only people
read; `observed` is what was found out about it (a test's result), whose writing is no change of the configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, SmallInteger, String, Table, Text
from sqlalchemy import UniqueConstraint as Unique

from gateway.storage.sql.tables import metadata

_Json = JSON(none_as_null=True)


def _resource(table: str, *own: Column[Any] | Unique) -> Table:
    """A table with the columns that every kind of resource has, and its own."""
    return Table(
        table,
        metadata,
        Column("id", String, primary_key=True),
        Column("name", String, nullable=False),
        Column("settings", _Json, nullable=False),
        Column("details", _Json, nullable=False),
        Column("observed", _Json, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("created_at", BigInteger, nullable=False),
        Column("created_by", String, nullable=False),
        Column("updated_at", BigInteger, nullable=False),
        Column("updated_by", String, nullable=False),
        *own,
    )


def _named(*columns: str) -> Unique:
    return Unique(*columns, "name")


def _provider() -> Column[Any]:
    return Column("provider_id", String, ForeignKey("providers.id"), nullable=False)


providers = _resource("providers", _named())
models = _resource("models", _provider(), _named("provider_id"))
credentials = _resource(
    "credentials", _provider(), Column("secret", Text), Column("previous", Text), Column("previous_until", BigInteger),
    _named("provider_id"),
)  # fmt: skip
"""`secret` and `previous` are sealed. `previous` serves until `previous_until` if the new one is refused."""
templates = _resource("templates", _named())
routing_rules = _resource("routing_rules", Column("position", Integer, nullable=False), _named())
teams = _resource("teams", _named())
limits = _resource("limits", _named())

RESOURCES: Mapping[str, Table] = MappingProxyType(
    {table.name: table for table in (providers, models, credentials, templates, routing_rules, teams, limits)}
)
"""By kind; those that others refer to come first."""

config_state = Table(
    "config_state",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)
"""One row. Every change of a resource counts `revision` up first, so that writers follow one another."""

config_revisions = Table(
    "config_revisions",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("actor_kind", String, nullable=False),
    Column("address", String),
    Column("request_id", String),
    Column("rolled_back_to", BigInteger),
)

config_changes = Table(
    "config_changes",
    metadata,
    Column("revision", BigInteger, ForeignKey("config_revisions.revision"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("resource_id", String, nullable=False),
    Column("name", String, nullable=False),
    Column("before", _Json),
    Column("after", _Json),
    Index("config_changes_of", "kind", "resource_id", "revision"),
)
"""What each revision changed, without secrets."""
