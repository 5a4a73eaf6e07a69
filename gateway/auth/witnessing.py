"""What the audit log says of virtual keys."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gateway.auth.admins import Note, Record

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.auth.issue import KeyInfo, Witness

KIND = "virtual_key"


def witness_of(record: Record, action: str) -> Witness:
    """Notes a change of a key, in the transaction of the change."""

    async def witness(connection: AsyncConnection, before: KeyInfo | None, after: KeyInfo) -> None:
        note = Note(action, KIND, after.name, None if before is None else shown(before), shown(after))
        await record(connection, note)

    return witness


def shown(info: KeyInfo) -> dict[str, Any]:
    """A key as the log shows it: its secret's first characters tell one from another."""
    return asdict(info)
