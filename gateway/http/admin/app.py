"""The admin API as one application, mounted at `/api/admin` and at `/api`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from gateway import __version__
from gateway.http.admin import (
    admins,
    audit,
    contract,
    credentials,
    explain,
    failures,
    health,
    incidents,
    keys,
    limits,
    models,
    providers,
    refusing,
    registry,
    revisions,
    rules,
    session,
    teams,
    templates,
    testing,
    tokens,
    usage,
)
from gateway.http.admin.frame import Frame
from gateway.http.admin.routing import check_policies

if TYPE_CHECKING:
    from gateway.http.admin.services import Services

_NOUNS = (
    *(keys, usage, failures, health, incidents, explain, testing, models, credentials, rules, teams, limits),
    *(templates, revisions, registry, providers, session, admins, tokens, audit, contract),
)
"""In this order their routes are looked through: words that stand where others have a name come first."""


def create_admin(services: Services) -> FastAPI:
    """The application. Raises RuntimeError for a route that declares no policy."""
    app = FastAPI(
        title="LLM gateway: administration",
        version=__version__,
        summary="Providers, models, credentials, keys, limits, usage, health and audit, at run time.",
        description=contract.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        servers=[{"url": "/api/admin"}, {"url": "/api"}],
        openapi_tags=contract.TAGS,
    )
    app.state.services = services
    for noun in _NOUNS:
        app.router.routes.extend(noun.routes.router.routes)
    refusing.install(app)
    check_policies(app)
    app.add_middleware(Frame)
    contract.polish(app)
    return app


def openapi() -> dict[str, Any]:
    """The contract, without anything behind it."""
    services: Any = None
    return create_admin(services).openapi()
