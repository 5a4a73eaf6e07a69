"""A POST with an `Idempotency-Key` is done once: who sends it again within a day gets the first answer."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from starlette.responses import Response

from gateway.http.admin.problems import Clash, Invalid
from gateway.storage.sql.admin_tables import admin_requests
from gateway.storage.sql.errors import DatabaseUnavailable
from gateway.vault import VaultError

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.auth.admins import Actor
    from gateway.http.admin.services import Services

HEADER = "idempotency-key"
KEPT_SECONDS = 24 * 3600
STUCK_SECONDS = 120
"""After these a first request that never came to an end is taken for dead."""
REPLAYED = "idempotency-replayed"
_SANE = re.compile(r"[!-~]{1,200}")
_MICRO = 1_000_000
_KEPT_HEADERS = ("content-type", "etag", "location")
_SECRETS = (b'"secret":"', b'"token":"', b'"csrf_token":"')
"""How what is shown once stands in an answer."""
_log = structlog.stdlib.get_logger("gateway.admin")

Work = Callable[[], Awaitable[Response]]


async def once(services: Services, actor: Actor, request: Request, work: Work) -> Response:
    """The answer to this request: the first one's, if there was one. What was refused may be tried again. What was
    done is answered, also when that cannot be remembered.

    Raises Invalid for a key that came with another request, Clash while the first one is being served, and what `work`
    raises.
    """
    given = request.headers[HEADER]
    if _SANE.fullmatch(given) is None:
        raise Invalid("Idempotency-Key: 1 to 200 printable ASCII characters", field="Idempotency-Key")
    ledger = _Requests(services, _name(actor, given))
    answer = await ledger.claim(services.authenticator.fingerprint(_content(request, await request.body())))
    if answer is not None:
        return answer
    try:
        response = await work()
    except BaseException:  # it was not done: the same request may be tried again
        with _forgiven():
            await ledger.release()
        raise
    with _forgiven():
        if 200 <= response.status_code < 300 and isinstance(response.body, bytes):
            await ledger.keep(response)
        else:
            await ledger.release()
    return response


def _name(actor: Actor, given: str) -> str:
    """One caller's key: of the same words, another caller's is another one."""
    words = (actor.kind, actor.user_id or "", actor.token_id or "", actor.name, given)
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def _content(request: Request, body: bytes) -> bytes:
    """Everything that decides what is done: what is asked of whom, on which condition, and with what."""
    head = (request.method, request.url.path, request.url.query, request.headers.get("if-match", ""))
    return b"\0".join((*(word.encode() for word in head), body))


@contextmanager
def _forgiven() -> Iterator[None]:
    """What is done is done: a database that went away since then is logged. The claim is free again after
    STUCK_SECONDS."""
    try:
        yield
    except DatabaseUnavailable as error:
        _log.warning("idempotency_not_kept", reason=str(error))


class _Requests:
    """One caller's requests with one key. Every method raises DatabaseUnavailable.

    A claim has an owner: one that was taken for dead and is served yet changes nothing of its successor's.
    """

    def __init__(self, services: Services, name: str) -> None:
        self._rooms = services
        self._name = name
        self._is_it = admin_requests.c.name == name
        self._claim = secrets.token_hex(16)
        self._is_ours = self._is_it & (admin_requests.c.claim == self._claim) & admin_requests.c.status.is_(None)

    async def claim(self, content: str) -> Response | None:
        """None: it is ours to do. Else the first answer."""
        now = round(time.time() * _MICRO)
        fresh = {"name": self._name, "fingerprint": content, "created_at": now, "claim": self._claim}
        try:
            async with self._rooms.database.begin() as connection:
                over = admin_requests.c.created_at < now - KEPT_SECONDS * _MICRO
                stuck = self._is_it & admin_requests.c.status.is_(None)
                stuck &= admin_requests.c.created_at < now - STUCK_SECONDS * _MICRO
                await connection.execute(delete(admin_requests).where(over | stuck))
                await connection.execute(insert(admin_requests).values(fresh))
        except IntegrityError:
            return await self._first(content)
        return None

    async def _first(self, content: str) -> Response:
        async with self._rooms.database.connect() as connection:
            row = (await connection.execute(select(admin_requests).where(self._is_it))).one_or_none()
        if row is None or row.status is None:
            raise Clash(
                "The first request with this key is still being served.",
                field="Idempotency-Key",
                suggestions=["Wait a moment, and send it again."],
            )
        if row.fingerprint != content:
            raise Invalid(
                "Idempotency-Key: this key came with another request.",
                field="Idempotency-Key",
                suggestions=["Use a new key for each request, and the same one to repeat it."],
            )
        body = self._opened(row.body)
        if body is None:
            raise Clash(
                "This was done already, and its answer held a secret that is not kept.",
                field="Idempotency-Key",
                suggestions=["Look at what was made, and rotate its secret; ENCRYPTION_KEY lets answers be kept."],
            )
        return Response(body, row.status, headers={**(row.headers or {}), REPLAYED: "true"})

    async def keep(self, response: Response) -> None:
        """Remember this answer."""
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        values = {"status": response.status_code, "headers": headers, "body": self._sealed(bytes(response.body))}
        async with self._rooms.database.begin() as connection:
            await connection.execute(update(admin_requests).where(self._is_ours).values(values))

    async def release(self) -> None:
        """It was refused, or failed: it may be tried again."""
        async with self._rooms.database.begin() as connection:
            await connection.execute(delete(admin_requests).where(self._is_ours))

    @property
    def _context(self) -> str:
        return f"admin_requests/{self._name}"

    def _sealed(self, body: bytes) -> str | None:
        vault, text = self._rooms.vault, base64.b64encode(body).decode()
        if vault.has_key:
            return vault.seal(text, context=self._context)
        return None if any(mark in body for mark in _SECRETS) else f"plain:{text}"

    def _opened(self, kept: str | None) -> bytes | None:
        if kept is None:
            return None
        plain: Any = kept.removeprefix("plain:")
        if not kept.startswith("plain:"):
            try:
                plain = self._rooms.vault.unseal(kept, context=self._context)
            except VaultError:
                return None
        return base64.b64decode(plain)
