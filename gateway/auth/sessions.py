"""Sessions of the console: opened by a login, held by a cookie, ended by time, by logout and by every change of the
user."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from gateway.auth.admins import Actor, AdminOutdated, Note, Record, Role
from gateway.storage.sql.admin_tables import admin_sessions, admin_users
from gateway.storage.sql.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.storage.sql.database import Database

COOKIE = "__Host-gateway-session"
"""A browser takes this name only with Secure, Path=/ and no Domain: RFC 6265bis, 4.1.3.2."""
IDLE = 30 * 60.0
ABSOLUTE = 12 * 3600.0
SEEN_EVERY = 60.0
"""Seconds between two notes of when a session was used last."""
TOKEN_BYTES = 32
KIND = "admin_session"
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser gets. Times are Unix seconds."""

    token: str = field(repr=False)
    csrf: str = field(repr=False)
    expires_at: float

    @property
    def cookie(self) -> str:
        """The whole `set-cookie`."""
        return f"{COOKIE}={self.token}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={int(ABSOLUTE)}"


NO_COOKIE = f"{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0"
"""Takes the cookie away."""


class Sessions:
    """The sessions of one database. Every method raises DatabaseUnavailable.

    A session that the admin key opened ends when that key is another one.
    """

    def __init__(self, database: Database, admin_key: str, wall: Callable[[], float] = time.time) -> None:
        self._database = database
        self._key = hashlib.sha256(admin_key.encode()).digest()
        self._wall = wall

    async def open(
        self, actor: Actor, record: Record, instead_of: str | None = None, version: int | None = None
    ) -> Session:
        """A new session for who has just proven to be this; the one that the browser had before ends.

        `version` is the user's whose password was compared. Raises AdminOutdated when it is another by now: a password
        that was changed meanwhile opens nothing.
        """
        token, now = secrets.token_urlsafe(TOKEN_BYTES), self._now()
        expires = now + round(ABSOLUTE * _MICRO)
        values = {
            "digest": self._digest(token, of_key=actor.user_id is None),
            "user_id": actor.user_id,
            "role": actor.role.value,
            "created_at": now,
            "seen_at": now,
            "expires_at": expires,
        }
        async with self._database.begin() as connection:
            if version is not None:
                await _refuse_changed(connection, actor.user_id, version)
            if instead_of is not None:
                await self._end(connection, instead_of)
            over = (admin_sessions.c.expires_at <= now) | (admin_sessions.c.seen_at <= now - round(IDLE * _MICRO))
            await connection.execute(delete(admin_sessions).where(over))
            await connection.execute(insert(admin_sessions).values(values))
            await record(connection, Note("login", KIND, actor.user_id or actor.kind))
        return Session(token, csrf_of(token), expires / _MICRO)

    async def find(self, token: str) -> Actor | None:
        """Whose session this is; None for one that is unknown, over, or of a user who is disabled."""
        now = self._now()
        query = (
            select(admin_sessions, admin_users.c.name, admin_users.c.role.label("user_role"), admin_users.c.disabled_at)
            .join_from(admin_sessions, admin_users, admin_users.c.id == admin_sessions.c.user_id, isouter=True)
            .where(admin_sessions.c.digest.in_(self._digests(token)))
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None or row["expires_at"] <= now or row["seen_at"] <= now - round(IDLE * _MICRO):
            return None
        if row["disabled_at"] is not None:
            return None
        if now - row["seen_at"] >= SEEN_EVERY * _MICRO:
            seen = update(admin_sessions).where(admin_sessions.c.digest == row["digest"]).values(seen_at=now)
            with suppress(DatabaseUnavailable):  # a database that can be read is enough to be let in
                async with self._database.begin() as connection:
                    await connection.execute(seen)
        if row["user_id"] is None:
            return Actor("admin", Role(row["role"]), "admin_key", session=True)
        return Actor(row["name"], Role(row["user_role"]), "user", row["user_id"], session=True)

    async def end(self, token: str) -> None:
        """Log out."""
        async with self._database.begin() as connection:
            await self._end(connection, token)

    async def _end(self, connection: AsyncConnection, token: str) -> None:
        await connection.execute(delete(admin_sessions).where(admin_sessions.c.digest.in_(self._digests(token))))

    def _digest(self, token: str, *, of_key: bool) -> bytes:
        if of_key:
            return hmac.digest(self._key, token.encode("utf-8", "replace"), "sha256")
        return hashlib.sha256(token.encode("utf-8", "replace")).digest()

    def _digests(self, token: str) -> tuple[bytes, bytes]:
        return self._digest(token, of_key=True), self._digest(token, of_key=False)

    def _now(self) -> int:
        return round(self._wall() * _MICRO)


async def _refuse_changed(connection: AsyncConnection, user_id: str | None, version: int) -> None:
    """Whoever changes the user waits until this transaction has ended, and then ends its session too."""
    now = select(admin_users.c.version).where(admin_users.c.id == user_id, admin_users.c.disabled_at.is_(None))
    if await connection.scalar(now.with_for_update()) != version:
        raise AdminOutdated("the user was changed meanwhile (log in again)")


def csrf_of(token: str) -> str:
    """What a page of ours sends beside the cookie, which no other page can read."""
    return hmac.digest(token.encode("utf-8", "replace"), b"gateway csrf", "sha256").hex()[:32]
