"""From an old key to a new one, while others read and write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Column, MetaData, String, Table, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.errors import OperatorError
from gateway.storage.sql.database import Database
from gateway.vault import EncryptionKeyMissing, Vault, VaultError
from gateway.vault.custody import open_custody, prove_now
from gateway.vault.keys import master_key
from gateway.vault.rotation import BATCH, Holding, rotate
from tests.vault.conftest import fernet_key, settings_with

OLD, NEW = fernet_key(), fernet_key()
STORE = Table(
    "sealed_in_tests",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("secret", String),
    Column("previous", String),
)
COUNT = BATCH + 20


def vault_of(*texts: str) -> Vault:
    return Vault([master_key(text_, b"") for text_ in texts])


BOTH, ONLY_NEW, ONLY_OLD = vault_of(NEW, OLD), vault_of(NEW), vault_of(OLD)


class Shelf:
    """Rows with sealed columns, of which every second has an earlier secret too."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.told = 0
        self.holding = Holding(STORE, "id", ("secret", "previous"), self._tell)

    async def _tell(self, _: AsyncConnection) -> None:
        self.told += 1

    async def fill(self, vault: Vault = ONLY_OLD, count: int = COUNT) -> None:
        async with self.database.begin() as connection:
            await connection.execute(
                insert(STORE),
                [
                    {
                        "id": f"{n:04}",
                        "secret": vault.seal(f"secret {n}", context=f"{STORE.name}/{n:04}"),
                        "previous": vault.seal(f"old {n}", context=f"{STORE.name}/{n:04}") if n % 2 else None,
                    }
                    for n in range(count)
                ],
            )

    async def rows(self) -> Sequence[tuple[str, str, str | None]]:
        async with self.database.connect() as connection:
            return [tuple(row) for row in (await connection.execute(select(STORE).order_by(STORE.c.id))).all()]

    async def opened(self, vault: Vault) -> list[str]:
        """Every secret, with this vault."""
        return [
            vault.unseal(value, context=f"{STORE.name}/{key}")
            for key, *values in await self.rows()
            for value in values
            if value is not None
        ]


@pytest.fixture
async def shelf(database: Database) -> AsyncIterator[Shelf]:
    async with database.begin() as connection:
        await connection.run_sync(STORE.metadata.create_all)
    yield Shelf(database)
    async with database.begin() as connection:
        await connection.run_sync(STORE.metadata.drop_all)


async def test_everything_gets_the_new_key(shelf: Shelf, tmp_path: Path) -> None:
    """Every secret in every column and what the vault keeps itself; then the old key is needed by nobody. A second run
    has nothing to do."""
    database = shelf.database
    before = await open_custody(database, settings_with(tmp_path, OLD))
    await shelf.fill()
    plain = await shelf.opened(ONLY_OLD)
    done = await rotate(database, BOTH, [shelf.holding])
    assert (done.resealed, done.damaged, done.unfinished) == (len(plain) + 2, [], False)
    assert shelf.told == 3
    assert await shelf.opened(ONLY_NEW) == plain
    after = await open_custody(database, settings_with(tmp_path, NEW))
    assert after.audit_key == before.audit_key
    with pytest.raises(OperatorError, match="Set the right key"):
        await open_custody(database, settings_with(tmp_path, OLD))
    again = await rotate(database, BOTH, [shelf.holding])
    assert (again.resealed, again.current, shelf.told) == (0, len(plain) + 1, 3)


async def test_a_run_that_was_cut_short_goes_on(shelf: Shelf) -> None:
    """What was done stays done; until everything is, both keys open everything."""
    await shelf.fill()
    plain = await shelf.opened(ONLY_OLD)

    async def cut(_: AsyncConnection) -> None:
        shelf.told += 1
        if shelf.told == 2:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await rotate(shelf.database, BOTH, [Holding(STORE, "id", ("secret", "previous"), cut)])
    assert await shelf.opened(BOTH) == plain
    done = await rotate(shelf.database, BOTH, [shelf.holding])
    assert 0 < done.resealed < len(plain)
    assert await shelf.opened(ONLY_NEW) == plain


async def test_readers_and_writers_go_on(shelf: Shelf) -> None:
    """While it runs, whoever has both keys reads every secret at any time, and what they store is not overwritten."""
    await shelf.fill()
    rotating = asyncio.create_task(rotate(shelf.database, BOTH, [shelf.holding]))
    reads = writes = 0
    while not rotating.done():
        await shelf.opened(BOTH)
        reads += 1
        key = f"{reads % COUNT:04}"
        token = (ONLY_OLD if reads % 3 else BOTH).seal(f"fresh {key}", context=f"{STORE.name}/{key}")
        if reads < 20:
            async with shelf.database.begin() as connection:
                await connection.execute(update(STORE).where(STORE.c.id == key).values(secret=token))
            writes += 1
    await rotating
    await rotate(shelf.database, BOTH, [shelf.holding])
    opened = {key: ONLY_NEW.unseal(secret, context=f"{STORE.name}/{key}") for key, secret, _ in await shelf.rows()}
    assert sum(plain.startswith("fresh") for plain in opened.values()) == writes > 0


async def test_damaged_records_are_told_and_left(shelf: Shelf) -> None:
    """One that nobody can open does not keep the others from the new key."""
    await shelf.fill(count=5)
    async with shelf.database.begin() as connection:
        third = "(SELECT secret FROM sealed_in_tests WHERE id = '0003')"
        await connection.execute(text(f"UPDATE sealed_in_tests SET secret = {third} WHERE id = '0002'"))
    done = await rotate(shelf.database, BOTH, [shelf.holding])
    assert done.damaged == ["sealed_in_tests/0002"]
    assert done.resealed == 6
    for key, secret, _ in await shelf.rows():
        if key != "0002":
            assert ONLY_NEW.unseal(secret, context=f"{STORE.name}/{key}") == f"secret {int(key)}"


async def test_a_key_that_is_missing(shelf: Shelf) -> None:
    """Without the old key nothing is changed, without any nothing is tried."""
    await shelf.fill(count=3)
    before = await shelf.rows()
    done = await rotate(shelf.database, ONLY_NEW, [shelf.holding])
    assert (done.resealed, len(done.damaged)) == (0, 4)
    assert await shelf.rows() == before
    with pytest.raises(EncryptionKeyMissing):
        await rotate(shelf.database, vault_of(), [shelf.holding])


async def test_what_was_sealed_at_the_last_moment(shelf: Shelf, tmp_path: Path) -> None:
    """Stored with the old key after the last pass and before the canary is new: found. After that nobody stores any
    more who has the old key alone; who has both does."""
    await open_custody(shelf.database, settings_with(tmp_path, OLD))
    await shelf.fill(count=2)

    async def late(connection: AsyncConnection) -> None:
        shelf.told += 1
        if shelf.told == 2:  # the first is the batch, the second the canary
            token = ONLY_OLD.seal("late", context=f"{STORE.name}/late")
            await prove_now(ONLY_OLD, connection)
            await connection.execute(insert(STORE).values(id="late", secret=token))

    done = await rotate(shelf.database, BOTH, [Holding(STORE, "id", ("secret", "previous"), late)])
    assert not done.unfinished
    assert "late" in await shelf.opened(ONLY_NEW)
    async with shelf.database.begin() as connection:
        await prove_now(BOTH, connection)
        with pytest.raises(OperatorError, match="Set the right key"):
            await prove_now(ONLY_OLD, connection)


async def test_somebody_who_goes_on_with_the_old_key(shelf: Shelf) -> None:
    """Is found out: the old key stays needed, and the run says so."""
    await shelf.fill(count=2)

    async def spoil(connection: AsyncConnection) -> None:
        token = ONLY_OLD.seal(f"again {shelf.told}", context=f"{STORE.name}/x{shelf.told}")
        shelf.told += 1
        await connection.execute(insert(STORE).values(id=f"x{shelf.told - 1}", secret=token))

    done = await rotate(shelf.database, BOTH, [Holding(STORE, "id", ("secret", "previous"), spoil)])
    assert done.unfinished
    with pytest.raises(VaultError):
        await shelf.opened(ONLY_NEW)
