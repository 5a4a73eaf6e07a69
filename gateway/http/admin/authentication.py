"""Authentication for the admin API: from a request to who sends it, or to why it is refused."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.audit.entries import entry_for
from gateway.auth import admitting
from gateway.auth.admins import Actor, Note, Open, Policy, Record, Role
from gateway.auth.buckets import Buckets, seconds
from gateway.auth.keys import credential_of
from gateway.auth.login import LoginThrottle
from gateway.auth.passwords import Passwords
from gateway.auth.sessions import Sessions
from gateway.auth.tokens import PREFIX, Tokens
from gateway.auth.users import Users
from gateway.http.admin.problems import Forbidden, Named, Problem, TooMany, Unauthenticated
from gateway.http.private import LISTENER, LOOPBACK, PEER

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection
    from starlette.requests import Request

    from gateway.audit.log import AuditLog
    from gateway.storage.sql.database import Database

BURST_SECONDS = 5
FAILURES, FAILURES_PER_SECOND = 30, 1.0
"""Wrong credentials of one address, before it is told to wait."""
ANYBODY = Actor("anybody", Role.VIEWER, "anybody")
"""Whoever calls what is open to everybody."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Who and what may come in."""

    admin_key: str = field(repr=False)
    hosts: frozenset[str] = frozenset()
    """Names under which a gateway on loopback may be called, besides this machine's."""
    rate: float = 100.0
    """Requests that one caller may send in a second; 0: as many as it likes."""


class Authenticator:
    """Knows the admin key, tokens and sessions, and who was wrong too often.

    A virtual key opens nothing here, as the admin key opens nothing at `/v1`.
    """

    def __init__(
        self,
        entry: Entry,
        database: Database,
        audit: AuditLog,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.passwords = Passwords()
        self.users = Users(database, self.passwords, wall)
        self.tokens = Tokens(database, wall)
        self.sessions = Sessions(database, entry.admin_key, wall)
        self.logins = LoginThrottle(clock)
        self.audit = audit
        self._entry = entry
        self._failures = Buckets(FAILURES, FAILURES_PER_SECOND, clock)
        self._rate = Buckets(max(1.0, entry.rate * BURST_SECONDS), entry.rate or 1.0, clock)

    async def admit(self, request: Request, policy: Policy) -> Actor:
        """Who calls. Raises Problem for those who may not, and DatabaseUnavailable."""
        headers: Mapping[bytes, bytes] = dict(request.scope["headers"])
        self._refuse_host(headers)
        if policy is Open.PUBLIC:
            if not admitting.is_same_origin(headers, "GET"):
                raise _foreign()
            return ANYBODY
        actor = await self._caller(request, headers)
        self._refuse_haste(actor)
        if not actor.role.covers(Role(policy)):
            raise Forbidden(
                f"This needs the role {policy.value}; the caller has the role {actor.role.value}.",
                suggestions=["Ask an admin to do it, or for a credential with that role."],
            )
        return actor

    async def known(self, credential: bytes) -> Actor | None:
        """Whose credential this is: the admin key's, or a token's. Raises DatabaseUnavailable."""
        if hmac.compare_digest(credential, self._entry.admin_key.encode()):
            return Actor("admin", Role.ADMIN, "admin_key")
        return await self.tokens.find(credential) if credential.startswith(PREFIX.encode()) else None

    def fingerprint(self, content: bytes) -> str:
        """What tells this content from another one, and nothing of it to who does not have the admin key."""
        return hmac.digest(self._entry.admin_key.encode(), b"idempotency\0" + content, "sha256").hex()

    def recorder(self, request: Request, actor: Actor) -> Record:
        """Writes what this caller does into the audit log."""
        address, request_id = address_of(request), request.scope.get("state", {}).get("request_id", "")

        async def record(connection: AsyncConnection, note: Note) -> None:
            await self.audit.append(connection, entry_for(actor, note, address=address, request_id=request_id))

        return record

    async def _caller(self, request: Request, headers: Mapping[bytes, bytes]) -> Actor:
        found = admitting.carried(headers, credential_of(headers))
        if found.credential is not None:
            actor = await self.known(found.credential)
        elif found.session is not None:
            actor = await self.sessions.find(found.session)
            if actor is not None:
                _refuse_foreign(headers, request.method, found.session)
        else:
            raise _unknown("The admin API needs a credential.")
        if actor is None:
            wait = self._failures.take(address_of(request))
            raise _hasty(wait) if wait else _unknown("The admin API does not know this credential.")
        return actor

    def _refuse_host(self, headers: Mapping[bytes, bytes]) -> None:
        """Raises Problem for a Host that wants to be misread, and on loopback for one that is not this machine's."""
        if not admitting.host_is_sane(headers):
            raise Named(400, "bad_host", "The Host header is no name or address.", field="host")
        if headers.get(LISTENER) == LOOPBACK and not admitting.host_is_allowed(headers, self._entry.hosts):
            raise Named(
                403,
                "forbidden_host",
                "A gateway on a loopback address answers requests to localhost alone.",
                field="host",
                suggestions=["Behind a proxy, name its host in GATEWAY_ADMIN_HOSTS."],
            )

    def _refuse_haste(self, actor: Actor) -> None:
        """Raises TooMany."""
        if self._entry.rate > 0 and (wait := self._rate.take(f"{actor.kind} {actor.user_id or actor.name}")):
            raise _hasty(wait)


def address_of(request: Request) -> str:
    """Where the request came from, as the worker says; without a worker as our connection says."""
    for name, value in request.scope["headers"]:
        if name == PEER:
            return bytes(value).decode("latin-1")[:64]
    return request.client.host if request.client is not None else ""


def _refuse_foreign(headers: Mapping[bytes, bytes], method: str, session: str) -> None:
    """Raises Forbidden for a request that a page elsewhere made the browser send."""
    if not admitting.is_same_origin(headers, method) or not admitting.has_csrf_token(headers, session, method):
        raise _foreign()


def _foreign() -> Problem:
    return Named(
        403,
        "cross_site",
        "A session is used by pages of this gateway alone.",
        suggestions=["Send the session's `csrf_token` as `x-csrf-token`, or use a token in place of the cookie."],
    )


def _unknown(message: str) -> Unauthenticated:
    return Unauthenticated(
        message,
        suggestions=["Send the admin key or a token as `Authorization: Bearer …`. Virtual keys open /v1 alone."],
        headers={"www-authenticate": "Bearer"},
    )


def _hasty(wait: float) -> TooMany:
    return TooMany(
        "Too many requests.",
        suggestions=["Wait as long as `retry-after` says."],
        headers={"retry-after": str(seconds(wait))},
    )
