"""Whom run-time keys belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from gateway.registry.resources.records import Kind
from gateway.storage.sql.key_tables import virtual_keys
from gateway.storage.sql.resource_tables import RESOURCES, config_state

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

MOST_NAMED = 100


async def keys_of_team(connection: AsyncConnection, team: str) -> list[str]:
    """The names of keys in a team that are not revoked, some of them if they are many."""
    query = select(virtual_keys.c.name).where(virtual_keys.c.team == team, virtual_keys.c.revoked_at.is_(None))
    return list((await connection.execute(query.order_by(virtual_keys.c.name).limit(MOST_NAMED))).scalars())


async def team_exists(connection: AsyncConnection, team: str) -> bool:
    """Whether the database has this team. No resource is changed until this transaction has ended: who would take the
    team away sees the key that was given to it, and who comes later does not see the team."""
    await connection.execute(select(config_state.c.revision).with_for_update(read=True))
    teams = RESOURCES[Kind.TEAM]
    return await connection.scalar(select(teams.c.id).where(teams.c.name == team)) is not None
