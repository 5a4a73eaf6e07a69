"""Tokens of the admin API: for people's scripts and for machines. A token is shown once and not kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import false, func, insert, select, true, tuple_, update

from gateway.auth.admins import Actor, AdminInvalid, AdminRefused, NoSuchAdmin, Note, Record, Role, least
from gateway.auth.records import digest_of
from gateway.storage.sql.admin_tables import admin_tokens, admin_users
from gateway.storage.sql.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, RowMapping, Select
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.storage.sql.database import Database

PREFIX = "gwt-"
SECRET_BYTES = 32
VISIBLE = 8
LONGEST_NAME = 128
USED_EVERY = 60.0
"""Seconds between two notes of when a token was used last."""
KIND = "admin_token"
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is shown. Times are Unix seconds."""

    id: str
    name: str
    prefix: str
    role: Role
    user: str | None
    """The name of the user whose it is; None for a machine's."""
    state: str
    """`active`, `expired` or `revoked`."""
    created_at: float
    created_by: str
    expires_at: float | None
    last_used_at: float | None
    revoked_at: float | None
    secret: str = field(default="", repr=False)
    """Once, when it is made."""


class Tokens:
    """The tokens of one database. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, wall: Callable[[], float] = time.time) -> None:
        self._database = database
        self._wall = wall

    async def create(
        self, actor: Actor, record: Record, name: str, role: Role, expires_at: float | None = None
    ) -> Token:
        """A token of the caller's own, with at most the caller's role. Raises AdminInvalid, AdminRefused."""
        if not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            raise AdminInvalid("name", f"a name has 1 to {LONGEST_NAME} printable characters (use another)")
        if actor.kind == "token" and not actor.role.covers(Role.ADMIN):
            raise AdminRefused("a token makes no other tokens (log in, or use the admin key)")
        if not actor.may_be(role):
            raise AdminRefused(f"a caller with the role {actor.role.value} makes no token with the role {role.value}")
        if expires_at is not None and not self._wall() < expires_at < 253_402_300_800:
            raise AdminInvalid("expires_at", "this moment is over, or after the year 9999 (name one that is to come)")
        secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        token_id = secrets.token_hex(8)
        values = {
            "id": token_id,
            "name": name,
            "user_id": actor.user_id,
            "role": role.value,
            "digest": digest_of(secret.encode()),
            "prefix": secret[: len(PREFIX) + VISIBLE],
            "created_at": self._now(),
            "created_by": actor.name,
            "expires_at": None if expires_at is None else round(expires_at * _MICRO),
        }
        async with self._database.begin() as connection:
            await connection.execute(insert(admin_tokens).values(values))
            token = self._token(await _row(connection, token_id), secret)
            await record(connection, Note("create", KIND, token.id, None, shown(token)))
            return token

    async def list_for(
        self, actor: Actor, after: tuple[float, str] | None = None, limit: int | None = None
    ) -> list[Token]:
        """Everybody's for admins, the caller's own for others; the newest first: all of them, or a page of those after
        a token's time and id."""
        query = _all().where(_seen_by(actor)).limit(limit)
        query = query.order_by(admin_tokens.c.created_at.desc(), admin_tokens.c.id.desc())
        if after is not None:
            place = tuple_(admin_tokens.c.created_at, admin_tokens.c.id)
            query = query.where(place < tuple_(round(after[0] * _MICRO), after[1]))
        async with self._database.connect() as connection:
            return [self._token(row) for row in (await connection.execute(query)).mappings()]

    async def count_for(self, actor: Actor) -> int:
        """How many `list_for` has in all."""
        query = select(func.count()).select_from(admin_tokens).where(_seen_by(actor))
        async with self._database.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def revoke(self, actor: Actor, record: Record, token_id: str) -> Token:
        """End it for good; one that was revoked before stays so. Raises NoSuchAdmin, also for what is somebody
        else's."""
        async with self._database.begin() as connection:
            row = await _row(connection, token_id)
            own = actor.user_id is not None and row["user_id"] == actor.user_id
            if not own and not actor.role.covers(Role.ADMIN):
                raise _missing()
            before = self._token(row)
            if row["revoked_at"] is None:
                ended = update(admin_tokens).where(admin_tokens.c.id == token_id).values(revoked_at=self._now())
                await connection.execute(ended)
                await record(connection, Note("revoke", KIND, token_id, shown(before), None))
            return self._token(await _row(connection, token_id))

    async def find(self, credential: bytes) -> Actor | None:
        """Whose token this is, with what its user's role covers of it; None for one that is unknown, over or its
        user's, who is disabled."""
        query = _all().where(admin_tokens.c.digest == digest_of(credential))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None or self._token(row).state != "active" or row["user_disabled_at"] is not None:
            return None
        await self._used(row)
        role = Role(row["role"])
        if row["user_id"] is not None:
            role = least(role, Role(row["user_role"]))
        owner = f"{row['user_name']}/{row['name']}" if row["user_id"] is not None else row["name"]
        return Actor(owner, role, "token", row["user_id"], row["id"])

    async def _used(self, row: RowMapping) -> None:
        now = self._now()
        last = row["last_used_at"]
        if last is not None and now - last < USED_EVERY * _MICRO:
            return
        noted = update(admin_tokens).where(admin_tokens.c.id == row["id"]).values(last_used_at=now)
        with suppress(DatabaseUnavailable):  # a database that can be read is enough to be let in
            async with self._database.begin() as connection:
                await connection.execute(noted)

    def _now(self) -> int:
        return round(self._wall() * _MICRO)

    def _token(self, row: RowMapping, secret: str = "") -> Token:
        state = "active"
        if row["revoked_at"] is not None:
            state = "revoked"
        elif row["expires_at"] is not None and row["expires_at"] <= self._now():
            state = "expired"
        return Token(
            id=row["id"],
            name=row["name"],
            prefix=row["prefix"],
            role=Role(row["role"]),
            user=row["user_name"],
            state=state,
            created_at=row["created_at"] / _MICRO,
            created_by=row["created_by"],
            expires_at=_seconds(row["expires_at"]),
            last_used_at=_seconds(row["last_used_at"]),
            revoked_at=_seconds(row["revoked_at"]),
            secret=secret,
        )


def shown(token: Token) -> dict[str, Any]:
    """What the audit log says of a token."""
    return {
        "name": token.name,
        "prefix": token.prefix,
        "role": token.role.value,
        "user": token.user,
        "expires_at": token.expires_at,
    }


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / _MICRO


def _seen_by(actor: Actor) -> ColumnElement[bool]:
    """The tokens that a caller may know of; a machine that is no admin has none of its own."""
    if actor.role.covers(Role.ADMIN):
        return true()
    return false() if actor.user_id is None else admin_tokens.c.user_id == actor.user_id


def _all() -> Select[Any]:
    return select(
        admin_tokens,
        admin_users.c.name.label("user_name"),
        admin_users.c.role.label("user_role"),
        admin_users.c.disabled_at.label("user_disabled_at"),
    ).join_from(admin_tokens, admin_users, admin_users.c.id == admin_tokens.c.user_id, isouter=True)


def _missing() -> NoSuchAdmin:
    return NoSuchAdmin("there is no such token (GET /tokens lists those there are)")


async def _row(connection: AsyncConnection, token_id: str) -> RowMapping:
    found = await connection.execute(_all().where(admin_tokens.c.id == token_id))
    row: RowMapping | None = found.mappings().first()
    if row is None:
        raise _missing()
    return row
