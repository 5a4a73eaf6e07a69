"""What the vault keeps in the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from gateway.audit.opening import open_audit
from gateway.errors import OperatorError
from gateway.storage.sql.audit_tables import audit_head, audit_log
from gateway.storage.sql.database import Database
from gateway.storage.sql.vault_tables import vault_secrets
from gateway.vault import Vault
from gateway.vault.custody import open_custody, read_custody
from tests.vault.conftest import fernet_key, settings_with

PHRASE = "correct horse battery staple"


async def stored(database: Database) -> dict[str, str]:
    async with database.connect() as connection:
        rows = await connection.execute(select(vault_secrets.c.name, vault_secrets.c.value))
        return {row.name: row.value for row in rows}


async def test_the_first_one_makes_what_is_missing(database: Database, tmp_path: Path) -> None:
    """Salt, canary and audit key, once, however many open at the same time; none of them in the clear but the salt."""
    settings = settings_with(tmp_path, PHRASE)
    found = await asyncio.gather(*(open_custody(database, settings) for _ in range(3)))
    assert len({custody.header for custody in found}) == len({custody.audit_key for custody in found}) == 1
    rows = await stored(database)
    assert set(rows) == {"salt", "canary", "audit"}
    [first, *_] = found
    assert first.audit_key is not None
    assert (len(first.audit_key.key), first.audit_key.since) == (32, 1)
    assert first.header == (rows["salt"], rows["canary"])
    assert (await read_custody(database, settings))[1:] == (first.header, first.audit_key)
    token = first.vault.seal("sk-1", context="credentials/1")
    again = await open_custody(database, settings)
    assert again.vault.unseal(token, context="credentials/1") == "sk-1"
    # What workers do, who have the header alone.
    assert Vault.with_header(settings, first.header).unseal(token, context="credentials/1") == "sk-1"


async def test_a_wrong_key_does_not_start(database: Database, tmp_path: Path) -> None:
    """Another passphrase, another Fernet key: refused with what to do, and nothing is changed."""
    await open_custody(database, settings_with(tmp_path, PHRASE))
    before = await stored(database)
    for wrong in (fernet_key(), f"{PHRASE}!"):
        for look in (open_custody, read_custody):
            with pytest.raises(OperatorError, match="Set the right key"):
                await look(database, settings_with(tmp_path, wrong))
    assert await stored(database) == before


async def test_an_old_key_is_enough(database: Database, tmp_path: Path) -> None:
    """A new key that seals, and the old one after it."""
    old = await open_custody(database, settings_with(tmp_path, PHRASE))
    token = old.vault.seal("sk-1", context="credentials/1")
    custody = await open_custody(database, settings_with(tmp_path, fernet_key(), PHRASE))
    assert custody.vault.unseal(token, context="credentials/1") == "sk-1"
    assert custody.vault.key_id != old.vault.key_id
    assert custody.audit_key == old.audit_key
    # What is copied is proven by the new key alone.
    Vault([key for key in custody.vault._keys.values() if key.id == custody.vault.key_id]).prove(custody.header)


async def test_without_a_key(database: Database, tmp_path: Path) -> None:
    """A gateway with a database and no key starts, and says at the first secret what it lacks."""
    settings = settings_with(tmp_path, database_url="postgresql://elsewhere/d")
    custody = await open_custody(database, settings)
    assert not custody.vault.has_key
    assert custody.audit_key is None
    assert set(await stored(database)) == {"salt"}
    assert (await open_custody(database, settings_with(tmp_path, PHRASE))).vault.has_key


async def test_a_key_of_its_own(database: Database, tmp_path: Path) -> None:
    """Embedded state needs nobody's key: one is made, and opens the next time."""
    first = await open_custody(database, settings_with(tmp_path))
    token = first.vault.seal("sk-1", context="credentials/1")
    again = await open_custody(database, settings_with(tmp_path))
    assert again.vault.unseal(token, context="credentials/1") == "sk-1"
    (tmp_path / "encryption.key").unlink()
    with pytest.raises(OperatorError, match="Set the right key"):
        await open_custody(database, settings_with(tmp_path))


@pytest.mark.parametrize("name", ["salt", "canary", "audit"])
async def test_what_is_damaged_ends_the_start(database: Database, tmp_path: Path, name: str) -> None:
    """A changed salt, canary or audit key is told, not replaced."""
    settings = settings_with(tmp_path, PHRASE)
    await open_custody(database, settings)
    value = "c2FsdHNhbHRzYWx0c2FsdA==" if name == "salt" else (await stored(database))[name][:-2]
    async with database.begin() as connection:
        await connection.execute(update(vault_secrets).where(vault_secrets.c.name == name).values(value=value))
    with pytest.raises(OperatorError, match=r"Set the right key|Restore the table vault_secrets"):
        await open_custody(database, settings)


async def test_a_lost_salt_is_not_made_anew_unseen(database: Database, tmp_path: Path) -> None:
    """Another salt makes another key of the passphrase: the canary tells."""
    settings = settings_with(tmp_path, PHRASE)
    await open_custody(database, settings)
    async with database.begin() as connection:
        await connection.execute(delete(vault_secrets).where(vault_secrets.c.name == "salt"))
    with pytest.raises(OperatorError, match="Set the right key"):
        await open_custody(database, settings)


async def test_a_lost_audit_key_is_not_made_anew_unseen(database: Database, tmp_path: Path) -> None:
    """Whoever deletes its row cannot have the log begin with a key of their own; an empty log begins anew."""
    settings = settings_with(tmp_path, PHRASE)
    first = await open_custody(database, settings)
    await open_audit(database, first.audit_key)  # which makes the key's own entry
    async with database.begin() as connection:
        await connection.execute(delete(vault_secrets).where(vault_secrets.c.name == "audit"))
    with pytest.raises(OperatorError, match="Restore the row `audit`"):
        await open_custody(database, settings)
    assert set(await stored(database)) == {"salt", "canary"}
    async with database.begin() as connection:
        await connection.execute(delete(audit_log))
        await connection.execute(delete(audit_head))
    again = await open_custody(database, settings)
    assert again.audit_key is not None
    assert again.audit_key != first.audit_key
