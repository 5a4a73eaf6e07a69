"""Sessions of the console: a login, who one is, one's own password, a logout."""

from __future__ import annotations

import structlog
from fastapi import Request, Response

from gateway.auth.admins import Actor, AdminOutdated, Open, Role
from gateway.auth.admitting import session_of
from gateway.auth.buckets import seconds
from gateway.auth.sessions import NO_COOKIE, csrf_of
from gateway.auth.users import Changed
from gateway.http.admin.access import Caller, Recorder
from gateway.http.admin.access_shapes import Login, NewPassword, SessionShown
from gateway.http.admin.authentication import Authenticator, address_of
from gateway.http.admin.moments import iso
from gateway.http.admin.problems import Forbidden, Invalid, TooMany, Unauthenticated
from gateway.http.admin.routing import Routes
from gateway.http.admin.services import ServicesDep

routes = Routes("access")
_log = structlog.stdlib.get_logger("gateway.admin")


@routes.post("/session", policy=Open.PUBLIC, summary="Log in")
async def log_in(login: Login, request: Request, services: ServicesDep, response: Response) -> SessionShown:
    """Open a session for a browser: the cookie is in the answer's `set-cookie`. The one that it had before ends."""
    authenticator = services.authenticator
    actor, version = await _proven(authenticator, login, address_of(request))
    earlier = session_of(dict(request.scope["headers"]))
    try:
        session = await authenticator.sessions.open(actor, authenticator.recorder(request, actor), earlier, version)
    except AdminOutdated:
        raise _wrong() from None
    response.headers["set-cookie"] = session.cookie
    return SessionShown(
        name=actor.name,
        role=actor.role,
        kind=actor.kind,
        csrf_token=session.csrf,
        expires_at=iso(session.expires_at),
    )


@routes.get("/session", policy=Role.VIEWER, summary="Who am I")
async def show_session(caller: Caller, request: Request) -> SessionShown:
    """The caller, whatever it came with; with a session, the session's `csrf_token`."""
    token = session_of(dict(request.scope["headers"])) if caller.session else None
    return SessionShown(
        name=caller.name,
        role=caller.role,
        kind=caller.kind,
        csrf_token=None if token is None else csrf_of(token),
        expires_at=None,
    )


@routes.delete("/session", policy=Role.VIEWER, status_code=204, summary="Log out")
async def log_out(caller: Caller, request: Request, services: ServicesDep) -> Response:
    """End the session that the cookie names."""
    token = session_of(dict(request.scope["headers"])) if caller.session else None
    if token is not None:
        await services.authenticator.sessions.end(token)
    return Response(status_code=204, headers={"set-cookie": NO_COOKIE})


@routes.put("/session/password", policy=Role.VIEWER, status_code=204, summary="Change one's own password")
async def change_password(
    wanted: NewPassword, caller: Caller, request: Request, services: ServicesDep, record: Recorder
) -> Response:
    """Every session of the user ends; log in again. Needs a session, or a token of a user."""
    authenticator = services.authenticator
    if caller.user_id is None:
        raise Forbidden("The admin key and tokens of machines have no password.")
    user = await authenticator.users.get(caller.user_id)
    _take(authenticator, user.name, address_of(request))
    known, stored = await authenticator.users.credentials(user.name)
    if known is None or not await authenticator.passwords.matches(stored, wanted.current.get_secret_value()):
        raise Forbidden("The current password is another one.")
    authenticator.logins.knew(user.name, address_of(request))
    change = Changed(password=wanted.password.get_secret_value(), version=known.version)
    await authenticator.users.change(caller, record, user.id, change)
    return Response(status_code=204, headers={"set-cookie": NO_COOKIE})


async def _proven(authenticator: Authenticator, login: Login, address: str) -> tuple[Actor, int | None]:
    """Who has just logged in, and the version of the user whose password was compared. Raises Problem; whether there
    is such a user is not told."""
    if login.credential is not None and login.name is None and login.password is None:
        return await _by_credential(authenticator, login.credential.get_secret_value(), address), None
    if login.credential is not None or login.name is None or login.password is None:
        raise Invalid("Send `name` and `password`, or `credential`.", field="name")
    _take(authenticator, login.name, address)
    user, stored = await authenticator.users.credentials(login.name)
    right = await authenticator.passwords.matches(stored, login.password.get_secret_value())
    if user is None or not right:
        _log.warning("admin_login_failed", address=address)
        raise _wrong()
    authenticator.logins.knew(login.name, address)
    return Actor(user.name, user.role, "user", user.id), user.version


def _wrong() -> Unauthenticated:
    return Unauthenticated("Name or password is wrong.")


async def _by_credential(authenticator: Authenticator, credential: str, address: str) -> Actor:
    """A session of the admin key; tokens are for programs, which send them themselves."""
    _take(authenticator, "", address)
    actor = await authenticator.known(credential.encode())
    if actor is None or actor.kind != "admin_key":
        _log.warning("admin_login_failed", address=address)
        raise Unauthenticated("This is not the admin key.")
    authenticator.logins.knew("", address)
    return actor


def _take(authenticator: Authenticator, account: str, address: str) -> None:
    """Raises TooMany."""
    if wait := authenticator.logins.take(account, address):
        raise TooMany(
            "Too many logins were tried.",
            suggestions=["Wait as long as `retry-after` says."],
            headers={"retry-after": str(seconds(wait))},
        )
