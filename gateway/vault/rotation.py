"""From an old key to a new one, while everything runs: each secret is opened with the key it has and sealed with the
first one, in batches. What was done is not done again, so that a run that was cut short is simply begun once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, select, update

from gateway.storage.sql.vault_tables import vault_secrets
from gateway.vault.custody import CANARY, SALT
from gateway.vault.errors import VaultError
from gateway.vault.vault import CANARY_CONTEXT

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.storage.sql.database import Database
    from gateway.vault.vault import Vault

BATCH = 100
PASSES = 10
"""Over everything, for what others changed meanwhile."""

Begin = Callable[["AsyncConnection"], Awaitable[None]]


async def nothing(_: AsyncConnection) -> None:
    """Nobody has to be told."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A table with sealed columns. Secrets are bound to `<table>/<key>`."""

    table: Table
    key: str
    columns: tuple[str, ...]
    begin: Begin = nothing
    """Called first in every transaction that writes here: tells those who hold copies."""

    def context(self, key: str) -> str:
        """What the secrets of a row are bound to."""
        return f"{self.table.name}/{key}"


OWN = Holding(vault_secrets, "name", ("value",))
"""What the vault keeps for itself."""


@dataclass(slots=True)
class Rotation:
    """What a run did."""

    resealed: int = 0
    current: int = 0
    """Secrets that had the new key already, in the last pass."""
    damaged: list[str] = field(default_factory=list)
    """Records that no key opens: they are left as they are."""
    unfinished: bool = False
    """Others went on storing secrets with an old key."""


async def rotate(database: Database, vault: Vault, holdings: Sequence[Holding]) -> Rotation:
    """Seal everything with the vault's first key; its canary last, so that the old key is asked for until then. Once it
    is new, who has the old key alone stores nothing more (`custody.prove_now`): what came before is looked for again.

    Raises EncryptionKeyMissing, DatabaseUnavailable.
    """
    done = Rotation()
    vault.canary()  # raises where there is no key at all
    for _ in range(PASSES):
        before = done.resealed
        await _over_all(database, vault, holdings, done)
        if done.resealed == before:
            break
    else:
        done.unfinished = True
        return done
    if await _renew_canary(database, vault, holdings):
        done.resealed += 1
        await _over_all(database, vault, holdings, done)
    return done


async def _over_all(database: Database, vault: Vault, holdings: Sequence[Holding], done: Rotation) -> None:
    done.current, done.damaged = 0, []
    for holding in (*holdings, OWN):
        await _pass(database, vault, holding, done)


async def _pass(database: Database, vault: Vault, holding: Holding, done: Rotation) -> None:
    key = holding.table.c[holding.key]
    query = select(key, *(holding.table.c[name] for name in holding.columns)).order_by(key).limit(BATCH)
    after: str | None = None
    while True:
        page = query if after is None else query.where(key > after)
        async with database.connect() as connection:
            rows: Sequence[Any] = (await connection.execute(page)).all()
        fresh = [change for row in rows for change in _changes(vault, holding, row, done)]
        if fresh:
            async with database.begin() as connection:
                await holding.begin(connection)
                for row_key, column, old, new in fresh:
                    same = (key == row_key) & (holding.table.c[column] == old)  # somebody may have stored another
                    written = update(holding.table).where(same).values({column: new})
                    done.resealed += (await connection.execute(written)).rowcount
        if len(rows) < BATCH:
            return
        after = rows[-1][0]


def _changes(vault: Vault, holding: Holding, row: Any, done: Rotation) -> list[tuple[str, str, str, str]]:
    found = []
    row_key: str = row[0]
    for column, value in zip(holding.columns, row[1:], strict=True):
        if value is None or (holding is OWN and row_key in (SALT, CANARY)):
            continue
        if vault.is_current(value):
            done.current += 1
            continue
        context = holding.context(row_key)
        try:
            found.append((row_key, column, value, vault.seal(vault.unseal(value, context=context), context=context)))
        except VaultError:
            done.damaged.append(context)
    return found


async def _renew_canary(database: Database, vault: Vault, holdings: Sequence[Holding]) -> bool:
    """Whether it had another key."""
    query = select(vault_secrets.c.value).where(vault_secrets.c.name == CANARY)
    async with database.connect() as connection:
        found = (await connection.execute(query)).scalar()
    if found is None or found == vault.canary():
        return False
    vault.unseal(found, context=CANARY_CONTEXT)
    async with database.begin() as connection:
        for holding in holdings:
            await holding.begin(connection)  # behind whoever stores a secret at this moment
        renewed = update(vault_secrets).where(vault_secrets.c.name == CANARY).values(value=vault.canary())
        await connection.execute(renewed)
    return True
