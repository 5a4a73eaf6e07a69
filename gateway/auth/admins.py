"""Who may use the admin API: callers, their roles, and what each may do. Pure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection


class Role(StrEnum):
    """What somebody may do; each may do what those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether this role is enough."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Open(StrEnum):
    """The policies that ask for no credential."""

    PUBLIC = "public"
    """Everybody may call the route, which decides by itself what it does for whom."""


Policy = Role | Open
"""What a route asks for: a role, or nothing."""


def least(one: Role, other: Role) -> Role:
    """The role that both cover."""
    return one if other.covers(one) else other


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller of the admin API."""

    name: str
    role: Role
    kind: str
    """`admin_key`, `user` or `token`."""
    user_id: str | None = None
    """The user behind it; None for the admin key and for tokens of machines."""
    token_id: str | None = None
    """The token that it came with: names of tokens are not unique."""
    session: bool = False
    """It came with a cookie: a browser may have been made to send it."""

    def may_be(self, role: Role) -> bool:
        """Whether it may hand this role on."""
        return self.role.covers(role)


class Note(NamedTuple):
    """What the audit log is to say of a change."""

    action: str
    kind: str
    id: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None


Record = Callable[["AsyncConnection", Note], Awaitable[None]]
"""Writes a note into the audit log, in the transaction of its change."""


class AdminProblem(Exception):
    """Why something about users, tokens or sessions cannot be done; the text says what to do."""


class NoSuchAdmin(AdminProblem):
    """There is no such user, token or session, or it is not for this caller to see."""


class AdminNameTaken(AdminProblem):
    """There is a user of this name."""


class AdminOutdated(AdminProblem):
    """It was changed since the caller read it."""


class AdminRefused(AdminProblem):
    """This caller may not do this, whatever its role: it would rise above itself, or shut itself out."""


class AdminInvalid(AdminProblem):
    """What was asked for is no name, password, role or time. `field` says which."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
