"""Who comes in by which route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends
from starlette.requests import Request

from gateway.auth.admins import Actor, Policy, Record

if TYPE_CHECKING:
    from gateway.http.admin.services import Services


async def admit(request: Request, policy: Policy) -> None:
    """Let the caller in and remember who it is. Raises Problem."""
    services: Services = request.app.state.services
    request.state.actor = await services.authenticator.admit(request, policy)


def _caller(request: Request) -> Actor:
    actor: Actor = request.state.actor
    return actor


def _recorder(request: Request) -> Record:
    services: Services = request.app.state.services
    return services.authenticator.recorder(request, request.state.actor)


Caller = Annotated[Actor, Depends(_caller)]
"""Who was let in, for endpoints."""
Recorder = Annotated[Record, Depends(_recorder)]
"""Writes what the caller does into the audit log, for endpoints that change something."""
