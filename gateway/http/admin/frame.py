"""Around every request of the admin API: its id, its path, the size and kind of its body, and the last resort."""

from __future__ import annotations

import re
import secrets
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from starlette.requests import ClientDisconnect, Request

from gateway.http.admin.authentication import address_of
from gateway.http.admin.problems import (
    InvalidJson,
    Problem,
    TooLarge,
    WrongMedia,
    answer,
    status_of,
)
from gateway.http.admin.refusing import problem_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIXES = ("/api/admin", "/api")
"""Where the API is mounted, the longest first."""
MAX_BODY = 1024 * 1024
_SANE_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")
_BODIES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_JSON = re.compile(rb"application/(?:[a-z0-9.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_FIXED = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_WATCHED = frozenset({401, 403, 429})
"""Statuses that tell of somebody who should not be here."""
_log = structlog.stdlib.get_logger("gateway.admin")


class Frame:
    """The outermost ASGI layer: whatever happens inside, the answer has our shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        outlet = _Outlet(send, request_id)
        try:
            scope["path"] = inner_path(scope["path"])
            _refuse(scope, headers)
            body = _Bounded(receive)
            await self._app(scope, body, outlet)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except Problem as problem:
            scope["state"]["problem"] = problem
            await outlet.instead(answer(problem, request_id), scope, receive)
        except Exception as error:  # the last resort of the API: told in the log under the request's id
            _log.exception("admin_request_failed", request_id=request_id, method=scope["method"])
            await outlet.instead(answer(problem_of(error), request_id), scope, receive)
        refusal = scope["state"].get("problem")
        if refusal is not None:
            _tell(refusal, scope)


def _tell(problem: Problem, scope: Scope) -> None:
    """The line to which the answer's `requestId` leads. Nothing of the body, nothing of the query."""
    state, status = scope["state"], status_of(problem)
    actor = state.get("actor")
    serious = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _WATCHED
    (_log.warning if serious else _log.info)(
        "admin_request_refused",
        request_id=state["request_id"],
        method=scope["method"],
        path=scope["path"],
        status=status,
        code=problem.code,
        actor=None if actor is None else actor.name,
        address=address_of(Request(scope)),
    )


class _Outlet:
    """Sends, with our headers, and knows whether an answer has begun."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._own = [(b"x-request-id", request_id.encode()), *_FIXED]
        self._begun = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            message = {**message, "headers": [*message["headers"], *self._own]}
        await self._send(message)

    async def instead(self, response: Any, scope: Scope, receive: Receive) -> None:
        """This answer, unless another has begun: then breaking off is all that is left."""
        if self._begun:
            raise ConnectionAbortedError("an answer broke off")
        await response(scope, receive, self)


class _Bounded:
    """A body of at most MAX_BODY bytes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._seen = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > MAX_BODY:
                raise _too_large()
        return message


def inner_path(path: str) -> str:
    """The path below the place where the API is mounted."""
    for prefix in PREFIXES:
        if path == prefix or path.startswith(f"{prefix}/"):
            return path[len(prefix) :] or "/"
    return path


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id")
    return given.decode() if given is not None and _SANE_ID.fullmatch(given) else f"adm-{secrets.token_hex(12)}"


def _refuse(scope: Scope, headers: dict[bytes, bytes]) -> None:
    """Raises Problem for what no route has to look at."""
    if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
        raise InvalidJson("A NUL character is no part of any name or text.")
    length = headers.get(b"content-length", b"0")
    if length.isdigit() and int(length) > MAX_BODY:
        raise _too_large()
    has_body = length not in (b"0", b"") or b"transfer-encoding" in headers
    if has_body and scope["method"] in _BODIES and _JSON.fullmatch(headers.get(b"content-type", b"")) is None:
        raise WrongMedia(
            "The body has to be JSON.",
            field="content-type",
            suggestions=["Send it with `content-type: application/json`."],
        )


def _too_large() -> TooLarge:
    return TooLarge(f"The body is larger than {MAX_BODY} bytes.", suggestions=["Send less at once."])
