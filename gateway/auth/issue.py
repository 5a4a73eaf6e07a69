"""Virtual keys in the database: created, listed, rotated, revoked. A secret leaves this room once and is not kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, select, update

from gateway.auth import drafts
from gateway.auth.records import Change, KeyRecord, digest_of, encode
from gateway.auth.refusals import KeyChanged, KeyNameTaken, KeyNotActive, NoSuchKey
from gateway.registry.problems import did_you_mean, shown
from gateway.storage.sql.key_tables import key_state, retired_secrets, virtual_keys

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.storage.sql.database import Database

PREFIX = "gw-"
SECRET_BYTES = 32
VISIBLE = 8
"""Characters after `gw-` that stay visible, so that people can tell keys apart."""
GROUPS = "groups"
"""The note in a key's metadata that routing reads: decision 9."""
GRACE_SECONDS = 24 * 3600.0
LINGER_SECONDS = 3600.0
"""How long a secret whose grace is over is still known as expired rather than unknown."""
_MICRO = 1_000_000

Wall = Callable[[], float]
"""Unix seconds."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as operators see it. Times are Unix seconds."""

    name: str
    prefix: str
    state: str
    """`active`, `expired` or `revoked`."""
    team: str | None
    models: list[str] | None
    services: list[str] | None
    limits: dict[str, Any]
    quotas: list[dict[str, Any]]
    metadata: dict[str, str]
    created_at: float
    created_by: str
    expires_at: float | None
    rotated_at: float | None
    grace_until: float | None
    """Until then the secret before the last rotation opens too."""
    revoked_at: float | None
    revision: int = 0
    """Another one after every change."""


Witness = Callable[["AsyncConnection", KeyInfo | None, KeyInfo], Awaitable[None]]
"""Told of a change within its transaction: how the key was, None for a new one, and how it is. What it raises undoes
the change."""


TeamKnown = Callable[["AsyncConnection", str], Awaitable[bool]]
"""Whether there is such a team; it stays as it is until the transaction has ended."""


@dataclass(frozen=True, slots=True)
class Issued:
    """What changed, to be told to the mirror; after `create` and `rotate` with the secret, which nobody sees again."""

    info: KeyInfo
    change: Change
    secret: str = field(default="", repr=False)


class Issuer:
    """The keys of one database. Every method raises DatabaseUnavailable; those that change something, OperatorError
    for what the operator has to do differently."""

    def __init__(self, database: Database, wall: Wall = time.time, team_known: TeamKnown | None = None) -> None:
        self._database = database
        self._wall = wall
        self._team_known = team_known

    async def create(self, draft: drafts.Draft, by: str, witness: Witness | None = None) -> Issued:
        """A new key; `by` says who made it. Raises DraftRejected, KeyNameTaken."""
        drafts.check(draft)
        secret, digest, prefix = _new_secret()
        async with self._database.begin() as connection:
            revision = await _next_revision(connection)
            await _refuse_used(connection, draft.name)
            await self._refuse_unknown_team(connection, draft.team)
            values = {
                "id": secrets.token_hex(8),
                "name": draft.name,
                "digest": digest,
                "prefix": prefix,
                "team": draft.team,
                "models": draft.models,
                "services": draft.services,
                "limits": draft.limits,
                "quotas": draft.quotas,
                "metadata": draft.metadata,
                "created_at": self._now(),
                "created_by": by,
                "expires_at": None if draft.expires_at is None else round(draft.expires_at * _MICRO),
                "revision": revision,
            }
            await connection.execute(insert(virtual_keys).values(values))
            issued = await self._issued(connection, draft.name, revision - 1, secret)
            await _tell(witness, connection, None, issued)
            return issued

    async def update(
        self, name: str, changes: Mapping[str, Any], expected: int | None = None, witness: Witness | None = None
    ) -> Issued:
        """Other settings for a key: what `changes` names of a draft's fields but the name. Its secrets stay.

        Raises DraftRejected, NoSuchKey, KeyNotActive for one that is revoked, KeyChanged when it is not at the
        revision `expected` any more.
        """
        async with self._database.begin() as connection:
            revision = await _next_revision(connection)
            row = await _find(connection, name)
            if row["revoked_at"] is not None:
                raise KeyNotActive(f"The key {shown(name)} is revoked and stays so.", "revoked")
            if expected is not None and row["revision"] != expected:
                raise KeyChanged(f"The key {shown(name)} was changed meanwhile.")
            before = await self._issued(connection, name, revision - 1)
            drafts.check(replace(_draft(before.info), **changes))
            if changes.get("team") != before.info.team:
                await self._refuse_unknown_team(connection, changes.get("team"))
            values = dict(changes)
            if "expires_at" in values:
                ends = values["expires_at"]
                values["expires_at"] = None if ends is None else round(ends * _MICRO)
            fresh = {**values, "revision": revision}
            await connection.execute(update(virtual_keys).where(virtual_keys.c.id == row["id"]).values(fresh))
            issued = await self._issued(connection, name, revision - 1)
            await _tell(witness, connection, before, issued)
            return issued

    async def rotate(self, name: str, grace: float = GRACE_SECONDS, witness: Witness | None = None) -> Issued:
        """A new secret. The present one opens for `grace` seconds more, earlier ones for no longer than that. Calls
        under way go on. Raises NoSuchKey, KeyNotActive."""
        secret, digest, prefix = _new_secret()
        async with self._database.begin() as connection:
            revision = await _next_revision(connection)
            row = await _find(connection, name)
            if (state := self._state(row)) != "active":
                raise KeyNotActive(
                    f"The key {shown(name)} is {state}: create another one with `gateway keys create`.", state
                )
            before = await self._issued(connection, name, revision - 1)
            now = self._now()
            ends = now + round(grace * _MICRO)
            retired = {"digest": row["digest"], "key_id": row["id"], "prefix": row["prefix"], "valid_until": ends}
            await connection.execute(insert(retired_secrets).values(retired))
            outlasts = (retired_secrets.c.key_id == row["id"]) & (retired_secrets.c.valid_until > ends)
            await connection.execute(update(retired_secrets).where(outlasts).values(valid_until=ends))
            fresh = {"digest": digest, "prefix": prefix, "rotated_at": now, "revision": revision}
            await connection.execute(update(virtual_keys).where(virtual_keys.c.id == row["id"]).values(fresh))
            issued = await self._issued(connection, name, revision - 1, secret)
            await _tell(witness, connection, before, issued)
            return issued

    async def revoke(self, name: str, expected: int | None = None, witness: Witness | None = None) -> Issued:
        """End a key with all its secrets, for good. One that was revoked before stays so. Raises NoSuchKey,
        KeyChanged."""
        async with self._database.begin() as connection:
            row = await _find(connection, name)
            if row["revoked_at"] is not None:
                return await self._issued(connection, name, row["revision"])
            if expected is not None and row["revision"] != expected:
                raise KeyChanged(f"The key {shown(name)} was changed meanwhile.")
            before = await self._issued(connection, name, row["revision"])
            revision = await _next_revision(connection)
            gone = {"revoked_at": self._now(), "revision": revision}
            await connection.execute(update(virtual_keys).where(virtual_keys.c.id == row["id"]).values(gone))
            issued = await self._issued(connection, name, revision - 1)
            await _tell(witness, connection, before, issued)
            return issued

    async def get(self, name: str) -> KeyInfo:
        """One key. Raises NoSuchKey."""
        async with self._database.connect() as connection:
            row = await _find(connection, name)
            retired = await _retired(connection, virtual_keys.c.name == name)
        return self._info(row, retired.get(row["id"], {}))

    async def search(
        self, *which: ColumnElement[bool], order: Sequence[ColumnElement[Any]], limit: int
    ) -> list[KeyInfo]:
        """Those of the keys for which all of this holds, so ordered, at most `limit`."""
        query = select(virtual_keys).where(*which).order_by(*order).limit(limit)
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
            ids = [row["id"] for row in rows]
            retired = await _retired(connection, virtual_keys.c.id.in_(ids)) if ids else {}
        return [self._info(row, retired.get(row["id"], {})) for row in rows]

    async def count(self, *which: ColumnElement[bool]) -> int:
        """For how many keys all of this holds."""
        async with self._database.connect() as connection:
            found = await connection.scalar(select(func.count()).select_from(virtual_keys).where(*which))
        return int(found or 0)

    async def list_all(self) -> list[KeyInfo]:
        """Every key there ever was, by name."""
        async with self._database.connect() as connection:
            rows = (await connection.execute(select(virtual_keys).order_by(virtual_keys.c.name))).mappings().all()
            retired = await _retired(connection)
        return [self._info(row, retired.get(row["id"], {})) for row in rows]

    # ---- for the mirror

    async def revision(self) -> int:
        """How often the keys were changed; 0 while there never was one."""
        async with self._database.connect() as connection:
            return await _revision(connection)

    async def changed(self, since: int) -> Change:
        """What happened to the keys after that revision; from 0, everything."""
        async with self._database.connect() as connection:
            revision = await _revision(connection)
            return await self._change(connection, since, revision, virtual_keys.c.revision > since)

    async def names(self) -> list[str]:
        """Of keys that are not revoked."""
        async with self._database.connect() as connection:
            query = select(virtual_keys.c.name).where(virtual_keys.c.revoked_at.is_(None))
            return list((await connection.execute(query)).scalars())

    async def _change(
        self, connection: AsyncConnection, since: int, revision: int, which: ColumnElement[bool]
    ) -> Change:
        rows = (await connection.execute(select(virtual_keys).where(which))).mappings().all()
        retired = await _retired(connection, which)
        live: dict[bytes, bytes] = {}
        gone: list[bytes] = []
        lingering = self._now() - round(LINGER_SECONDS * _MICRO)
        for row in rows:
            old = retired.get(row["id"], {})
            if row["revoked_at"] is not None:
                gone += [row["digest"], *old]
                continue
            live[row["digest"]] = encode(_record(row, row["expires_at"]))
            for digest, until in old.items():
                if until > lingering:
                    ends = until if row["expires_at"] is None else min(until, row["expires_at"])
                    live[digest] = encode(_record(row, ends))
        return Change(since, revision, live, gone)

    async def _issued(self, connection: AsyncConnection, name: str, since: int, secret: str = "") -> Issued:
        row = await _find(connection, name)
        old = await _retired(connection, virtual_keys.c.name == name)
        change = await self._change(connection, since, row["revision"], virtual_keys.c.name == name)
        return Issued(self._info(row, old.get(row["id"], {})), change, secret)

    async def _refuse_unknown_team(self, connection: AsyncConnection, team: str | None) -> None:
        if team is not None and self._team_known is not None and not await self._team_known(connection, team):
            raise drafts.unknown_team(team)

    def _now(self) -> int:
        return round(self._wall() * _MICRO)

    def _state(self, row: RowMapping) -> str:
        if row["revoked_at"] is not None:
            return "revoked"
        return "expired" if row["expires_at"] is not None and row["expires_at"] <= self._now() else "active"

    def _info(self, row: RowMapping, retired: dict[bytes, int]) -> KeyInfo:
        state = self._state(row)
        grace = max(retired.values(), default=0)
        return KeyInfo(
            name=row["name"],
            prefix=row["prefix"],
            state=state,
            team=row["team"],
            models=row["models"],
            services=row["services"],
            limits=row["limits"],
            quotas=row["quotas"],
            metadata=row["metadata"],
            created_at=row["created_at"] / _MICRO,
            created_by=row["created_by"],
            expires_at=_seconds(row["expires_at"]),
            rotated_at=_seconds(row["rotated_at"]),
            grace_until=grace / _MICRO if state == "active" and grace > self._now() else None,
            revoked_at=_seconds(row["revoked_at"]),
            revision=row["revision"],
        )


def _new_secret() -> tuple[str, bytes, str]:
    """A secret, its digest, and the part that stays visible."""
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    return secret, digest_of(secret.encode()), secret[: len(PREFIX) + VISIBLE]


def _record(row: RowMapping, ends: int | None) -> KeyRecord:
    return KeyRecord(
        name=row["name"],
        team=row["team"],
        models=None if row["models"] is None else tuple(row["models"]),
        services=None if row["services"] is None else tuple(row["services"]),
        limits=row["limits"],
        quotas=row["quotas"],
        expires_at=_seconds(ends),
        groups=groups_of(row["metadata"]),
    )


def record_of(info: KeyInfo) -> KeyRecord:
    """What workers know of this key."""
    return KeyRecord(
        name=info.name,
        team=info.team,
        models=None if info.models is None else tuple(info.models),
        services=None if info.services is None else tuple(info.services),
        limits=info.limits,
        quotas=info.quotas,
        expires_at=info.expires_at,
        groups=groups_of(info.metadata),
    )


def groups_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The user groups that a key carries: the words of its note `groups`, by commas."""
    return tuple(word for part in metadata.get(GROUPS, "").split(",") if (word := part.strip()))


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / _MICRO


async def _revision(connection: AsyncConnection) -> int:
    found = (await connection.execute(select(key_state.c.revision))).scalar()
    return 0 if found is None else int(found)


async def _next_revision(connection: AsyncConnection) -> int:
    """Count up and hold the row: the next writer waits until this transaction has ended."""
    counted = update(key_state).values(revision=key_state.c.revision + 1).returning(key_state.c.revision)
    return int((await connection.execute(counted)).scalar_one())


async def _tell(witness: Witness | None, connection: AsyncConnection, before: Issued | None, now: Issued) -> None:
    if witness is not None:
        await witness(connection, None if before is None else before.info, now.info)


def _draft(info: KeyInfo) -> drafts.Draft:
    """The draft that would make this key."""
    return drafts.Draft(
        info.name, info.team, info.models, info.services, info.limits, info.quotas, info.metadata, info.expires_at
    )


async def _find(connection: AsyncConnection, name: str) -> RowMapping:
    row = (await connection.execute(select(virtual_keys).where(virtual_keys.c.name == name))).mappings().first()
    if row is None:
        names = (await connection.execute(select(virtual_keys.c.name))).scalars().all()
        raise NoSuchKey(
            f"There is no key {shown(name)}{did_you_mean(name, names)} (`gateway keys list` shows those there are; "
            "keys of the configuration file are changed there).",
            name,
            names,
        )
    return row


async def _refuse_used(connection: AsyncConnection, name: str) -> None:
    found = select(virtual_keys.c.revoked_at).where(virtual_keys.c.name == name)
    row = (await connection.execute(found)).first()
    if row is None:
        return
    if row.revoked_at is not None:
        raise KeyNameTaken(
            f"The name {shown(name)} was used by a key that is revoked; the ledger keeps it. Use another.", revoked=True
        )
    raise KeyNameTaken(
        f"There is a key {shown(name)} already. Use another name, or `gateway keys rotate {name}`.", revoked=False
    )


async def _retired(
    connection: AsyncConnection, which: ColumnElement[bool] | None = None
) -> dict[str, dict[bytes, int]]:
    """By key: the digests of its earlier secrets, with the end of each one's grace."""
    query = select(retired_secrets.c.key_id, retired_secrets.c.digest, retired_secrets.c.valid_until)
    if which is not None:
        query = query.join(virtual_keys, virtual_keys.c.id == retired_secrets.c.key_id).where(which)
    found: dict[str, dict[bytes, int]] = {}
    for key_id, digest, until in await connection.execute(query):
        found.setdefault(key_id, {})[digest] = until
    return found
