"""The contract itself: what OpenAPI says beyond what routes and shapes declare."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.auth.admins import Open, Role
from gateway.auth.sessions import COOKIE
from gateway.http.admin.routing import ROLE, Routes

DESCRIPTION = """The same resources as the configuration file has, managed while the gateway runs.

Every answer has `x-request-id`. Lists come in pages: send `next_cursor` of one as `cursor` for the next. A
parameter in the query that an operation does not have is refused (422), as an unknown field of a body is. What has an
`ETag` is changed safely with `If-Match`. Creating the same thing twice gives the one that is there (200); another one
under its name is refused (409). A POST with an `Idempotency-Key` that is sent again within a day gets the first answer.

What the configuration file declares is shown with `"is_system": true` and is changed in the file alone."""
TAGS = [
    {"name": "providers", "description": "Where models are served."},
    {"name": "models", "description": "What providers serve."},
    {"name": "credentials", "description": "What opens providers: written, never read."},
    {"name": "templates", "description": "Providers to be made with few words."},
    {"name": "revisions", "description": "Changes of the configuration, and who serves which."},
    {"name": "limits", "description": "Teams, limits and quotas."},
    {"name": "keys", "description": "Virtual keys: what clients of the gateway send."},
    {"name": "usage", "description": "What was used and what it cost, from the ledger."},
    {"name": "health", "description": "How providers and deployments are doing, and incidents."},
    {"name": "routing", "description": "Where calls go, and why."},
    {"name": "access", "description": "Who administers: sessions, users, tokens."},
    {"name": "audit", "description": "Who changed what."},
    {"name": "contract", "description": "This document."},
]
CARRIERS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The admin key, or a token."},
    "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "The same."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "A session's cookie; what changes something needs `x-csrf-token` too.",
    },
}

routes = Routes("contract")


@routes.get("/openapi.json", policy=Role.VIEWER, summary="This contract", response_class=Response)
async def contract(request: Request) -> Response:
    """The OpenAPI document of this API."""
    return Response(orjson.dumps(request.app.openapi()), media_type="application/json")


def polish(app: FastAPI) -> None:
    """Have the application's contract say how callers prove who they are, and nothing that is not so."""
    generate = app.openapi

    def polished() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            document.setdefault("components", {})["securitySchemes"] = CARRIERS
            document["security"] = [{name: []} for name in CARRIERS]
            for operations in document["paths"].values():
                for operation in operations.values():
                    _say_who(operation)
            _share_refusals(document)
            _say_once(document)
            _forget_framework(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = polished  # type: ignore[method-assign]


def _say_who(operation: dict[str, Any]) -> None:
    """Which role an operation needs, in words and for programs."""
    needed = f"Needs the role `{operation[ROLE]}`."
    if operation[ROLE] == Open.PUBLIC:
        operation["security"], needed = [], "Needs no credential."
    operation["description"] = f"{operation.get('description', '')}\n\n{needed}"


def _say_once(document: dict[str, Any]) -> None:
    """Every POST of a known caller can be repeated safely."""
    for operations in document["paths"].values():
        operation = operations.get("post")
        if operation is not None and operation[ROLE] != Open.PUBLIC:
            operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/IdempotencyKey"})
    document["components"]["parameters"] = {
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "Sent again with the same request within 24 hours, the first answer comes back.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]{1,200}$"},
        }
    }


def _share_refusals(document: dict[str, Any]) -> None:
    """Refusals are the same everywhere: each is described once."""
    shared: dict[str, Any] = {}
    for operations in document["paths"].values():
        for operation in operations.values():
            for status in [status for status in operation["responses"] if int(status) >= 400]:
                shared[status] = operation["responses"][status]
                operation["responses"][status] = {"$ref": f"#/components/responses/{status}"}
    document["components"]["responses"] = dict(sorted(shared.items()))


def _forget_framework(document: dict[str, Any]) -> None:
    """Without the shapes of refusals that the framework would send."""
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"].get("schemas", {}).pop(name, None)
