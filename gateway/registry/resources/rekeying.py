"""Credentials under a new encryption key: sealed anew, and told to everybody who holds copies of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.registry.resources import history, rows
from gateway.storage.sql.resource_tables import credentials
from gateway.vault.rotation import Holding

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.registry.resources.records import Author


def sealed_credentials(author: Author, wall: Callable[[], float] = time.time) -> Holding:
    """The credentials, for `gateway.vault.rotation`. Each batch is a revision that changes nothing else: replicas write
    their copies anew."""

    async def begin(connection: AsyncConnection) -> None:
        revision = await rows.next_revision(connection)
        await history.keep(connection, revision, wall(), author, [], None)

    return Holding(credentials, "id", ("secret", "previous"), begin)
