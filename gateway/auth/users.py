"""The users who administer: made, listed, changed, disabled. Each change notes itself in the audit log."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, text, update

from gateway.auth.admins import (
    Actor,
    AdminInvalid,
    AdminNameTaken,
    AdminOutdated,
    AdminRefused,
    NoSuchAdmin,
    Note,
    Record,
    Role,
)
from gateway.auth.passwords import Passwords
from gateway.storage.sql.admin_tables import admin_sessions, admin_users

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection

    from gateway.storage.sql.database import Database

_MICRO = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
KIND = "admin_user"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who administers. Times are Unix seconds."""

    id: str
    name: str
    role: Role
    disabled: bool
    has_password: bool
    created_at: float
    created_by: str
    updated_at: float
    version: int


@dataclass(frozen=True, slots=True)
class Changed:
    """What is to be another than it is; None stays. `version` is what the caller read."""

    role: Role | None = None
    password: str | None = field(default=None, repr=False)
    disabled: bool | None = None
    version: int | None = None


class Users:
    """The users of one database. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, passwords: Passwords, wall: Callable[[], float] = time.time) -> None:
        self._database = database
        self._passwords = passwords
        self._wall = wall

    async def list_all(self, after: str = "", limit: int | None = None) -> list[User]:
        """By name: all of them, or a page of those after a name."""
        query = select(admin_users).where(admin_users.c.name > after).order_by(admin_users.c.name).limit(limit)
        async with self._database.connect() as connection:
            return [user_of(row) for row in (await connection.execute(query)).mappings()]

    async def count(self) -> int:
        """How many there are."""
        async with self._database.connect() as connection:
            return int((await connection.execute(select(func.count()).select_from(admin_users))).scalar_one())

    async def get(self, name: str) -> User:
        """By name or id. Raises NoSuchAdmin."""
        async with self._database.connect() as connection:
            return user_of(await _row(connection, name))

    async def create(self, actor: Actor, record: Record, name: str, role: Role, password: str | None) -> User:
        """A new user; without a password it can only have tokens. Raises AdminNameTaken, AdminInvalid, AdminRefused."""
        if _NAME.fullmatch(name) is None:
            raise AdminInvalid("name", "a name has letters, digits and . _ @ + -, at most 128 (use another)")
        _refuse_above(actor, role)
        hashed = None if password is None else await self._passwords.hash(password)
        now = self._now()
        values = {
            "id": secrets.token_hex(8),
            "name": name,
            "role": role.value,
            "password_hash": hashed,
            "created_at": now,
            "created_by": actor.name,
            "updated_at": now,
            "version": 1,
        }
        async with self._database.begin() as connection:
            if self._database.is_postgres:  # on SQLite one writes at a time anyway
                await connection.execute(text("LOCK TABLE admin_users IN SHARE ROW EXCLUSIVE MODE"))
            taken = select(admin_users.c.id).where(func.lower(admin_users.c.name) == name.lower())
            if (await connection.execute(taken)).first() is not None:
                raise AdminNameTaken(f"there is a user {name} already (use another name, or change that one)")
            await connection.execute(insert(admin_users).values(values))
            user = user_of(await _row(connection, str(values["id"])))
            await record(connection, Note("create", KIND, user.id, None, shown(user)))
            return user

    async def change(self, actor: Actor, record: Record, name: str, wanted: Changed) -> User:
        """Change what is given; a change ends the user's sessions. Raises NoSuchAdmin, AdminInvalid, AdminRefused,
        AdminOutdated."""
        hashed = None if wanted.password is None else await self._passwords.hash(wanted.password)
        async with self._database.begin() as connection:
            user = user_of(await _row(connection, name, for_update=True))
            values = self._values(actor, user, wanted)
            if hashed is not None:
                values["password_hash"] = hashed
            if not values:
                return user
            values |= {"updated_at": self._now(), "version": user.version + 1}
            await connection.execute(update(admin_users).where(admin_users.c.id == user.id).values(values))
            await connection.execute(delete(admin_sessions).where(admin_sessions.c.user_id == user.id))
            changed = user_of(await _row(connection, user.id))
            after = shown(changed) | ({"new_password": True} if hashed is not None else {})
            await record(connection, Note("update", KIND, user.id, shown(user), after))
            return changed

    def _values(self, actor: Actor, user: User, wanted: Changed) -> dict[str, Any]:
        """The columns to be changed, the password aside."""
        _refuse_above(actor, user.role)
        if wanted.version is not None and wanted.version != user.version:
            raise AdminOutdated("it was changed since you read it (read it again)")
        values: dict[str, Any] = {}
        if wanted.role is not None and wanted.role is not user.role:
            _refuse_above(actor, wanted.role)
            values["role"] = wanted.role.value
        if wanted.disabled is not None and wanted.disabled is not user.disabled:
            values["disabled_at"] = self._now() if wanted.disabled else None
        if values and user.id == actor.user_id:
            raise AdminRefused("nobody disables or promotes themselves (ask another admin)")
        return values

    async def credentials(self, name: str) -> tuple[User | None, str | None]:
        """The user who logs in by this name, and what is stored of the password; None for nobody, and for one who is
        disabled."""
        query = select(admin_users).where(admin_users.c.name == name, admin_users.c.disabled_at.is_(None))
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return (None, None) if row is None else (user_of(row), row["password_hash"])

    def _now(self) -> int:
        return round(self._wall() * _MICRO)


def shown(user: User) -> dict[str, Any]:
    """What the audit log says of a user."""
    return {"name": user.name, "role": user.role.value, "disabled": user.disabled}


def user_of(row: RowMapping) -> User:
    """The user of a row."""
    return User(
        id=row["id"],
        name=row["name"],
        role=Role(row["role"]),
        disabled=row["disabled_at"] is not None,
        has_password=row["password_hash"] is not None,
        created_at=row["created_at"] / _MICRO,
        created_by=row["created_by"],
        updated_at=row["updated_at"] / _MICRO,
        version=row["version"],
    )


def _refuse_above(actor: Actor, role: Role) -> None:
    if not actor.may_be(role):
        raise AdminRefused(f"a caller with the role {actor.role.value} gives nobody the role {role.value}")


async def _row(connection: AsyncConnection, wanted: str, *, for_update: bool = False) -> RowMapping:
    query = select(admin_users).where((admin_users.c.name == wanted) | (admin_users.c.id == wanted))
    query = query.order_by((admin_users.c.id == wanted).desc()).limit(1)  # who is called like another's id is not it
    rows: Sequence[RowMapping] = (
        (await connection.execute(query.with_for_update() if for_update else query)).mappings().all()
    )
    if not rows:
        raise NoSuchAdmin("there is no such user (GET /admins lists those there are)")
    return rows[0]
