"""From what services and the framework raise to problems: one table, and a test that every known exception is in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.audit.log import AuditUnavailable
from gateway.auth.admins import AdminInvalid, AdminNameTaken, AdminOutdated, AdminRefused, NoSuchAdmin
from gateway.auth.refusals import DraftRejected, KeyChanged, KeyNameTaken, KeyNotActive, NoSuchKey
from gateway.errors import OperatorError
from gateway.http.admin.field_names import WORDS, field_of
from gateway.http.admin.problems import (
    Away,
    Broken,
    Changed,
    Clash,
    Detail,
    Forbidden,
    Invalid,
    InvalidJson,
    NotThere,
    Problem,
    answer,
    of_status,
)
from gateway.registry.problems import did_you_mean
from gateway.registry.resources.errors import (
    CannotSeal,
    Conflict,
    KeyReplaced,
    NewReference,
    NotFound,
    Redirected,
    Rejected,
    VersionMismatch,
)
from gateway.storage.errors import StoreUnavailable
from gateway.storage.sql.errors import DatabaseUnavailable, is_bad_row

Handler = Callable[[Request, Exception], Awaitable[Response]]

_log = structlog.stdlib.get_logger("gateway.admin")
_MOST_DETAILS = 20
_SECONDS = "5"

_WORDS = {
    "missing": "is missing (add it)",
    "extra_forbidden": "is unknown here (remove it, or check its spelling)",
    "json_invalid": "is no JSON",
}


def problem_of(error: Exception) -> Problem:
    """The problem that stands for an exception; Broken for one that nobody foresaw."""
    for kind, make in _TABLE:
        if isinstance(error, kind):
            return make(error)
    if is_bad_row(error):
        return Invalid(
            "A value cannot be stored.", suggestions=["Use shorter text without control characters, smaller numbers."]
        )
    return Broken(
        "The gateway failed to handle this request.",
        suggestions=["Try again; the request id names it in the gateway's log."],
    )


def _validation(error: Any) -> Problem:
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return InvalidJson("The body is no JSON.", field="body", suggestions=["Send one JSON value, encoded as UTF-8."])
    details = [Detail(_place(one, error.body), sentence(one)) for one in found[:_MOST_DETAILS]]
    first = details[0]
    rest = len(found) - 1
    more = f" ({rest} more mistake{'s' if rest > 1 else ''})" if rest else ""
    return Invalid(
        f"{first.field or 'The request'}: {first.message}{more}",
        field=first.field,
        details=details,
        suggestions=["/api/admin/openapi.json describes every field."],
    )


def _place(one: Any, body: Any) -> str | None:
    trail: Sequence[str | int] = one["loc"]
    steps = trail[1:] if trail and trail[0] in ("body", "query", "path", "header") else trail
    if trail[:1] == ("body",):
        steps = steps_of(one["type"], steps, body)
    return ".".join(map(str, steps))[:200] or None


def steps_of(kind: str, trail: Sequence[str | int], value: Any) -> list[str | int]:
    """Where the value that was sent has this mistake: without the steps that pydantic adds for the members of a union,
    which callers know nothing of."""
    steps = []
    for number, step in enumerate(trail):
        known = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        if step in known:
            value = value[step]
            steps.append(step)
        elif kind == "missing" and number == len(trail) - 1:
            steps.append(step)
    return steps


def sentence(one: Any) -> str:
    """One of pydantic's error details in words for callers; values are never repeated."""
    return _WORDS.get(one["type"]) or str(one["msg"]).removeprefix("Value error, ")


def _no_key(error: Any) -> Problem:
    return NotThere(
        f"There is no key of this name{did_you_mean(error.name, error.known)}.",
        field="name",
        suggestions=["GET /keys lists those there are; keys of the configuration file are changed there."],
    )


def _taken(error: Any) -> Problem:
    if error.revoked:
        return Clash(
            "A revoked key had this name, and the ledger keeps it.", field="name", suggestions=["Use another."]
        )
    return Clash(
        "There is a key of this name already, and it is another one.",
        field="name",
        suggestions=["Use another name, PATCH the key, or POST /keys/{name}/rotate for a new secret."],
    )


def _not_active(error: Any) -> Problem:
    return Clash(f"The key is {error.state}.", field="name", suggestions=["Create another key."])


def _draft(error: Any) -> Problem:
    details = [Detail(place, message) for place, message in error.complaints[:_MOST_DETAILS]]
    return Invalid(f"{details[0].field}: {details[0].message}", field=details[0].field, details=details)


def _changed(_: Any) -> Problem:
    return changed()


def _no_resource(_: Any) -> Problem:
    return NotThere("There is no such resource.", field="id", suggestions=["List them to see those there are."])


def _conflict(error: Any) -> Problem:
    details = [Detail(one.field or None, f"{one.kind}: {one.name}") for one in error.by[:_MOST_DETAILS]]
    advice = [f"Change those first{', or send `cascade=true`' if error.cascades else ''}."] if details else []
    field = None
    if error.taken is not None:
        field = field_of(error.taken, "name")
        advice = ["Choose another name, or PATCH the one that is there."]
    return Clash(str(error), field=field, details=details, suggestions=advice)


def _redirected(error: Any) -> Problem:
    advice = "Remove the credentials first and store them anew afterwards, or ask an admin."
    return Clash(str(error), field="base_url", suggestions=[advice])


def _new_reference(error: Any) -> Problem:
    advice = "Store the secret itself as `value` or `fields`, or ask an admin."
    return Clash(str(error), field="references", suggestions=[advice])


def _cannot_seal(error: Any) -> Problem:
    return Clash(str(error), field="value", suggestions=["Set ENCRYPTION_KEY, or send `references`."])


def _key_replaced(error: Any) -> Problem:
    return Away(str(error), suggestions=["Send it to a replica that has the new key."])


def _rejected(error: Any) -> Problem:
    found = [
        (f"{WORDS[one.kind]} {one.name}: " if one.id != error.only else "", field_of(one.kind, one.field), one.message)
        for one in error.problems[:_MOST_DETAILS]
    ]
    details = [Detail(field, f"{whose}{message}") for whose, field, message in found]
    whose, field, message = found[0]
    first, place = details[0], f"{field}: " if field else ""
    return Invalid(
        f"{whose}{place}{message}",
        field=first.field,
        details=details,
        suggestions=["Nothing was changed: the configuration as a whole would not hold."],
    )


def changed() -> Problem:
    """Somebody else was faster."""
    return Changed(
        "It was changed since you read it.",
        field="If-Match",
        suggestions=["Read it again, and send the ETag that comes with it."],
    )


def _database(_: Any) -> Problem:
    return Away(
        "The database does not answer.",
        suggestions=["Try again. What the data plane serves goes on as it is."],
        headers={"retry-after": _SECONDS},
    )


def _store(_: Any) -> Problem:
    return Away("The store does not answer.", suggestions=["Try again."], headers={"retry-after": _SECONDS})


def _operator(error: Any) -> Problem:
    return Away(str(error), suggestions=["Whoever runs this replica has to put that right."])


def _no_admin(error: Any) -> Problem:
    return NotThere(_sentence_of(error))


def _admin_taken(error: Any) -> Problem:
    return Clash(_sentence_of(error), field="name")


def _admin_refused(error: Any) -> Problem:
    return Forbidden(_sentence_of(error))


def _admin_invalid(error: Any) -> Problem:
    return Invalid(f"{error.field}: {error}", field=error.field, details=[Detail(error.field, str(error))])


def _audit(_: Any) -> Problem:
    return Away(
        "The audit log cannot be written, so nothing is changed.",
        suggestions=["See `gateway audit verify`, and that ENCRYPTION_KEY is set where it was."],
        headers={"retry-after": _SECONDS},
    )


def _sentence_of(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


_TABLE: list[tuple[type[Exception], Callable[[Any], Problem]]] = [
    (RequestValidationError, _validation),
    (NoSuchKey, _no_key),
    (KeyNameTaken, _taken),
    (KeyNotActive, _not_active),
    (KeyChanged, _changed),
    (DraftRejected, _draft),
    (NoSuchAdmin, _no_admin),
    (AdminNameTaken, _admin_taken),
    (AdminOutdated, _changed),
    (AdminRefused, _admin_refused),
    (AdminInvalid, _admin_invalid),
    (NotFound, _no_resource),
    (Conflict, _conflict),
    (Redirected, _redirected),
    (NewReference, _new_reference),
    (VersionMismatch, _changed),
    (CannotSeal, _cannot_seal),
    (KeyReplaced, _key_replaced),
    (Rejected, _rejected),
    (AuditUnavailable, _audit),
    (DatabaseUnavailable, _database),
    (StoreUnavailable, _store),
    (OperatorError, _operator),
]


def install(app: FastAPI) -> None:
    """Every exception becomes a problem. Those that nobody foresaw go on to the frame, which logs them."""
    app.add_exception_handler(Problem, _handle)
    app.add_exception_handler(HTTPException, _of_framework)
    for kind, _ in _TABLE:
        app.add_exception_handler(kind, _translated)


async def _handle(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answered(request, error)


async def _of_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = error.headers
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers = {"allow": ", ".join(_methods_at(request))}  # the framework names those of the first route alone
    return _answered(request, of_status(error.status_code, headers))


def _methods_at(request: Request) -> list[str]:
    """All that this path can be asked with: RFC 9110, 15.5.6."""
    routes = [one for one in request.app.router.routes if isinstance(one, Route)]
    at = [one for one in routes if one.path_regex.match(request.scope["path"])]
    return sorted({method for route in at for method in route.methods or ()})


async def _translated(request: Request, error: Exception) -> Response:
    return _answered(request, problem_of(error))


def _answered(request: Request, problem: Problem) -> Response:
    request.state.problem = problem
    return answer(problem, request.state.request_id)
