"""`gateway rotate-encryption-key`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.databases import operator, with_database
from gateway.errors import OperatorError
from gateway.settings import Settings, load_settings

if TYPE_CHECKING:
    from gateway.storage.sql.database import Database
    from gateway.vault.rotation import Rotation

PATIENCE = 8.0
"""Seconds in which workers try what was sealed anew, and say so."""


def rotate_encryption_key(
    as_json: Annotated[bool, typer.Option("--json", help="JSON for programs.")] = False,
) -> None:
    """Seal every stored secret with the first key of ENCRYPTION_KEY=new,old, while the gateway runs. Can be run again
    at any time; exit code 1 when something is left that needs the old key."""
    settings = load_settings()
    key_id, done, without = with_database(settings, lambda database: _rotate(database, settings))
    if as_json:
        typer.echo(_dumped({**_facts(key_id, done), "without_it": without}))
    else:
        typer.echo("\n".join(_lines(key_id, done, without)))
    raise typer.Exit(1 if done.damaged or done.unfinished or without else 0)


async def _rotate(database: Database, settings: Settings) -> tuple[str, Rotation, list[str]]:
    from gateway.audit.entries import AuditEntry  # noqa: PLC0415 - only this command pays for it
    from gateway.audit.opening import open_audit  # noqa: PLC0415
    from gateway.registry.resources.records import Author  # noqa: PLC0415
    from gateway.registry.resources.rekeying import sealed_credentials  # noqa: PLC0415
    from gateway.vault.custody import open_custody  # noqa: PLC0415
    from gateway.vault.rotation import rotate  # noqa: PLC0415

    custody = await open_custody(database, settings)
    if not custody.vault.has_key:
        raise OperatorError("ENCRYPTION_KEY is not set, so nothing is sealed (set ENCRYPTION_KEY=new,old).")
    audit = await open_audit(database, custody.audit_key)
    who = operator()
    done = await rotate(database, custody.vault, [sealed_credentials(Author(who, "cli"))])
    key_id = custody.vault.key_id
    if done.resealed:
        async with database.begin() as connection:
            await audit.append(
                connection, AuditEntry(who, "cli", "rotate", "encryption_key", key_id, after=_counts(done))
            )
    return key_id, done, await _without_it(database, settings)


async def _without_it(database: Database, settings: Settings) -> list[str]:
    """Replicas whose workers cannot open what has the new key, once they have had the time to try. Those that cannot be
    asked are not among them."""
    from gateway.registry.resources import rows  # noqa: PLC0415
    from gateway.registry.resources.heartbeats import everybody  # noqa: PLC0415
    from gateway.storage.embedded import running_url  # noqa: PLC0415
    from gateway.storage.errors import StoreUnavailable  # noqa: PLC0415
    from gateway.storage.redis import RedisOptions, connect  # noqa: PLC0415
    from gateway.vault.errors import NOT_THE_KEY  # noqa: PLC0415

    given = settings.redis_url
    url = running_url(settings.data_dir) if given is None else given.get_secret_value()
    if url is None:
        return []
    async with database.connect() as connection:
        revision = await rows.revision(connection)
    client = connect(url, RedisOptions(timeout=2.0, client_name="gateway-rotation"))
    deadline = time.monotonic() + PATIENCE
    try:
        while True:
            beats = await everybody(client)
            waiting = [beat for beat in beats if beat.resources < revision and beat.last_error is None]
            if not waiting or time.monotonic() > deadline:
                return sorted({beat.replica for beat in beats if NOT_THE_KEY in (beat.last_error or "")})
            await asyncio.sleep(0.2)
    except StoreUnavailable:
        return []
    finally:
        await client.close()


def _counts(done: Rotation) -> dict[str, Any]:
    return {"resealed": done.resealed, "damaged": len(done.damaged), "unfinished": done.unfinished}


def _facts(key_id: str, done: Rotation) -> dict[str, Any]:
    return {"key": key_id, **_counts(done), "had_it": done.current, "damaged": done.damaged}


def _lines(key_id: str, done: Rotation, without: list[str]) -> list[str]:
    lines = [f"{done.resealed} secrets were sealed anew; all that can be opened have the key {key_id} now."]
    if done.damaged:
        lines += [f"  {record} cannot be opened by any key given here" for record in done.damaged]
        return [*lines, "Store these again, or add the key that they need: ENCRYPTION_KEY=new,old."]
    if done.unfinished:
        return [
            f"{done.resealed} secrets were sealed anew, but others go on storing some with another key.",
            "Restart every replica with ENCRYPTION_KEY=new,old first, then run this again.",
        ]
    if without:
        return [
            *lines,
            f"These replicas go on without that key, and do not see what is sealed with it: {', '.join(without)}.",
            "Restart them with ENCRYPTION_KEY=new,old, then run this again.",
        ]
    return [*lines, "Keys after the first are needed by nobody: take them out of ENCRYPTION_KEY, then restart."]


def _dumped(value: Any) -> str:
    import orjson  # noqa: PLC0415

    return orjson.dumps(value).decode()
