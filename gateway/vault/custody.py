"""What the vault keeps in the database: the salt of passphrases, the canary, and the key of the audit log."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError

from gateway.errors import OperatorError
from gateway.storage.sql.audit_tables import audit_head, audit_log
from gateway.storage.sql.vault_tables import vault_secrets
from gateway.vault.errors import VaultError
from gateway.vault.keys import SALT_BYTES, make_key
from gateway.vault.vault import Header, Vault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.settings import Settings
    from gateway.storage.sql.database import Database

SALT, CANARY, AUDIT = "salt", "canary", "audit"
AUDIT_KEY_BYTES = 32
_MICRO = 1_000_000


class AuditKey(NamedTuple):
    """What the audit log's hashes are made with, since when."""

    key: bytes
    since: int
    """The first entry that has to be made with it: sealed beside the key, so that nobody moves it on."""


class Custody(NamedTuple):
    """An open vault and what belongs to it."""

    vault: Vault
    header: Header
    """To be copied to wherever sealed secrets are copied to: with the canary of the key that seals now, so that what is
    copied is proven by the key that goes on."""
    audit_key: AuditKey | None
    """Of the audit log's hashes; None without an encryption key."""


def context_of(name: str) -> str:
    """Where a row of `vault_secrets` lives."""
    return f"vault_secrets/{name}"


async def open_custody(database: Database, settings: Settings) -> Custody:
    """Open the vault of this database, and make what is missing: on first use salt, canary and audit key, and the key
    itself where state is embedded. Safe for several processes at once.

    Raises OperatorError, which says what to do, for a wrong or unusable key, and DatabaseUnavailable.
    """
    await asyncio.to_thread(make_key, settings)
    rows = await _rows(database)
    if SALT not in rows:
        rows = await _kept(database, SALT, _salt)
    vault = await Vault.opened(settings, Header(rows[SALT], rows.get(CANARY, "")))
    if vault.has_key:
        if CANARY not in rows:
            rows = await _kept(database, CANARY, partial(_canary, vault))
        if AUDIT not in rows:
            rows = await _kept(database, AUDIT, partial(_sealed_audit_key, vault))
        vault.prove(Header(rows[SALT], rows[CANARY]))  # where another process was first
    return _custody(vault, rows)


async def read_custody(database: Database, settings: Settings) -> Custody:
    """As `open_custody`, changing nothing: for those who only look."""
    rows = await _rows(database)
    vault = await Vault.opened(settings, Header(rows.get(SALT, ""), rows.get(CANARY, "")))
    return _custody(vault, rows)


def _custody(vault: Vault, rows: dict[str, str]) -> Custody:
    canary = vault.canary() if vault.has_key else rows.get(CANARY, "")
    return Custody(vault, Header(rows.get(SALT, ""), canary), _audit_key(vault, rows))


async def header_of(database: Database) -> Header:
    """What goes with sealed secrets, as it is now. Raises DatabaseUnavailable."""
    rows = await _rows(database)
    return Header(rows.get(SALT, ""), rows.get(CANARY, ""))


async def prove_now(vault: Vault, connection: AsyncConnection) -> None:
    """In the transaction that stores what this vault sealed: raise OperatorError if others open with another key by
    now, for they could not open that."""
    rows = await _read(connection)
    vault.prove(Header(rows.get(SALT, ""), rows.get(CANARY, "")))


async def _salt(_: AsyncConnection) -> str:
    return base64.b64encode(secrets.token_bytes(SALT_BYTES)).decode()


async def _canary(vault: Vault, _: AsyncConnection) -> str:
    return vault.canary()


async def _sealed_audit_key(vault: Vault, connection: AsyncConnection) -> str:
    await _refuse_lost_key(connection)
    key = base64.b64encode(secrets.token_bytes(AUDIT_KEY_BYTES)).decode()
    entries = (await connection.execute(select(audit_head.c.seq))).scalar() or 0
    return vault.seal(f"{key} {entries + 1}", context=context_of(AUDIT))


async def _refuse_lost_key(connection: AsyncConnection) -> None:
    """Raises OperatorError when entries were made with a key already: with a new one, whoever takes the key's row away
    could write the log anew."""
    made = select(audit_log.c.seq).where(audit_log.c.keyed == 1).limit(1)
    headed = select(audit_head.c.seq).where(audit_head.c.keyed == 1)
    if await connection.scalar(made) is not None or await connection.scalar(headed) is not None:
        raise OperatorError(
            "The key of the audit log is gone from the table vault_secrets, and the log has entries made with it. "
            "Restore the row `audit` from a backup. If there is none, keep audit_log and audit_head under other names "
            "as evidence and empty the tables: the log then begins anew, and its anchor tells that it did."
        )


def _audit_key(vault: Vault, rows: dict[str, str]) -> AuditKey | None:
    if not vault.has_key or AUDIT not in rows:
        return None
    try:
        key, _, since = vault.unseal(rows[AUDIT], context=context_of(AUDIT)).partition(" ")
    except VaultError as error:
        raise OperatorError(
            f"The key of the audit log cannot be opened: {error}. Restore the table vault_secrets from a backup."
        ) from None
    return AuditKey(base64.b64decode(key), int(since))


async def _rows(database: Database) -> dict[str, str]:
    async with database.connect() as connection:
        return await _read(connection)


async def _read(connection: AsyncConnection) -> dict[str, str]:
    found = await connection.execute(select(vault_secrets.c.name, vault_secrets.c.value))
    return {row.name: row.value for row in found}


async def _kept(database: Database, name: str, make: Callable[[AsyncConnection], Awaitable[str]]) -> dict[str, str]:
    """The rows with this one among them: ours, or that of whoever was first."""
    try:
        async with database.begin() as connection:
            values = {"name": name, "value": await make(connection), "created_at": int(time.time() * _MICRO)}
            await connection.execute(insert(vault_secrets).values(values))
    except IntegrityError:
        pass
    return await _rows(database)
