"""Whom run-time keys belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from gateway.storage.sql.key_tables import virtual_keys

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

MOST_NAMED = 100


async def keys_of_team(connection: AsyncConnection, team: str) -> list[str]:
    """The names of keys in a team that are not revoked, some of them if they are many."""
    query = select(virtual_keys.c.name).where(virtual_keys.c.team == team, virtual_keys.c.revoked_at.is_(None))
    return list((await connection.execute(query.order_by(virtual_keys.c.name).limit(MOST_NAMED))).scalars())
