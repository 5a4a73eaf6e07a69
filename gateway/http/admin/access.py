"""The door of the admin API: who comes in by which route."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Annotated, Protocol

from fastapi import Depends
from starlette.requests import Request

from gateway.auth.admins import Actor, Role
from gateway.auth.keys import credential_of
from gateway.http.admin.problems import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from gateway.http.admin.services import Services


class Door(Protocol):
    """Who knows callers."""

    async def admit(self, request: Request, policy: Role) -> Actor:
        """Who calls. Raises Problem for those who may not."""
        ...


class AdminKeyDoor:
    """Opens to the admin key alone."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    async def admit(self, request: Request, policy: Role) -> Actor:
        """The holder of the admin key. Raises Unauthenticated, Forbidden."""
        given = credential_of(dict(request.scope["headers"]))
        if given is None or not hmac.compare_digest(given, self._key):
            raise Unauthenticated(
                "The admin API needs a credential that it knows.",
                suggestions=["Send the admin key as `Authorization: Bearer …`."],
                headers={"www-authenticate": "Bearer"},
            )
        actor = Actor("admin", Role.ADMIN, "admin_key")
        if not actor.role.covers(policy):
            raise Forbidden("This caller may not do this.")
        return actor


async def admit(request: Request, policy: Role) -> None:
    """Let the caller in and remember who it is. Raises Problem."""
    services: Services = request.app.state.services
    request.state.actor = await services.door.admit(request, policy)


def _caller(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


Caller = Annotated[Actor, Depends(_caller)]
"""Who was let in, for endpoints."""
