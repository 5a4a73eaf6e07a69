"""Refusals of the admin API, and their one shape:
`{"error": {"code", "message", "field", "details", "suggestions"}, "timestamp", "requestId"}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, ClassVar

import orjson
from starlette.responses import Response


@dataclass(frozen=True, slots=True)
class Detail:
    """One of several mistakes: where it is and what to do."""

    field: str | None
    message: str


class Problem(Exception):
    """A refusal. Its texts are ours: never an upstream's, a driver's or a value that the caller sent as a secret."""

    status: ClassVar[int] = 400
    code: ClassVar[str] = "invalid_request"

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        details: Sequence[Detail] = (),
        suggestions: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.details = tuple(details)
        self.suggestions = tuple(suggestions)
        self.headers = dict(headers or {})


class InvalidJson(Problem):
    """The body is no JSON."""

    code = "invalid_json"


class Unauthenticated(Problem):
    """Nobody we know."""

    status = 401
    code = "unauthenticated"


class Forbidden(Problem):
    """Somebody we know, who may not do this."""

    status = 403
    code = "forbidden"


class NotThere(Problem):
    """No such resource."""

    status = 404
    code = "not_found"


class WrongMethod(Problem):
    """The path is there, the method is not."""

    status = 405
    code = "method_not_allowed"


class Clash(Problem):
    """It stands against what is there."""

    status = 409
    code = "conflict"


class Changed(Problem):
    """`If-Match` names another version than the one that is there."""

    status = 412
    code = "version_mismatch"


class TooLarge(Problem):
    """The body is larger than the admin API takes."""

    status = 413
    code = "request_too_large"


class WrongMedia(Problem):
    """The body is no `application/json`."""

    status = 415
    code = "unsupported_media_type"


class Invalid(Problem):
    """Fields are missing, unknown or wrong."""

    status = 422
    code = "validation_failed"


class TooMany(Problem):
    """More requests than the admin API takes of one caller."""

    status = 429
    code = "rate_limited"


class Broken(Problem):
    """A fault of ours; the log has it under the request's id."""

    status = 500
    code = "internal_error"


class Away(Problem):
    """Something that this needs does not answer."""

    status = 503
    code = "unavailable"


class Named(Problem):
    """A refusal whose code and status are given."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(message, **more)
        self.given = status, code


def status_of(problem: Problem) -> int:
    """Its HTTP status."""
    return problem.given[0] if isinstance(problem, Named) else type(problem).status


def body_of(problem: Problem, request_id: str) -> dict[str, Any]:
    """What the caller reads."""
    return {
        "error": {
            "code": problem.given[1] if isinstance(problem, Named) else type(problem).code,
            "message": problem.message,
            "field": problem.field,
            "details": [{"field": one.field, "message": one.message} for one in problem.details],
            "suggestions": list(problem.suggestions),
        },
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestId": request_id,
    }


def answer(problem: Problem, request_id: str) -> Response:
    """The whole answer."""
    return Response(
        orjson.dumps(body_of(problem, request_id)),
        status_of(problem),
        headers=problem.headers,
        media_type="application/json",
    )


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Problem:
    """The problem for a status that the framework itself came to."""
    if status == HTTPStatus.NOT_FOUND:
        return NotThere(
            "Nothing is at this path.",
            suggestions=["See /api/admin/openapi.json for every path, and check identifiers for typing errors."],
        )
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (headers or {}).get("Allow") or (headers or {}).get("allow") or ""
        return WrongMethod(
            "This method is not there at this path.",
            suggestions=[f"Use {allowed}."] if allowed else [],
            headers={"allow": allowed} if allowed else None,
        )
    if status == HTTPStatus.BAD_REQUEST:
        return InvalidJson("The body could not be read.", suggestions=["Send one JSON value, encoded as UTF-8."])
    if 400 <= status < 500:
        return Named(status, "invalid_request", "The request cannot be served as it is.")
    return Broken("The gateway failed to handle this request.")
