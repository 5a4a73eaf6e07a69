"""The scripted provider's Azure surface: OpenAI's answers at Azure's paths, v1 and dated, with its filters' words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.providers.scripted.azure.filters import filtered
from gateway.providers.scripted.openai import SURFACE as OPENAI
from gateway.providers.scripted.scenario import Asked, Handler, Json, Rejected, Reply, Surface

if TYPE_CHECKING:
    from gateway.types import Headers

_DEPLOYMENT = "/openai/deployments/{model}"
_ABSENT = ("/moderations", "/rerank", "/images/variations")
_PLAIN = ("/responses", "/models", "/models/{model}")
"""Paths that have no deployment in them, in the dated API too."""


def _authorised(handler: Handler) -> Handler:
    def serve(asked: Asked) -> Reply:
        request = asked.request
        if not request.header(b"api-key") and not request.header(b"authorization").startswith("Bearer "):
            raise Rejected(401, "Access denied due to invalid subscription key or wrong API endpoint.", code="401")
        if "model" in asked.params and asked.request.method == "POST":
            # The path names the deployment, whatever the body says.
            asked = replace(asked, body={**asked.body, "model": asked.params["model"]})
        return handler(asked)

    return serve


def _error(error: Rejected) -> Json:
    if error.code == "content_filter":
        inner = {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
        }
        shape = {"message": error.message, "type": None, "param": "prompt", "code": error.code, "status": 400}
        return {"error": {**shape, "innererror": inner}}
    if error.status == 404 and error.code == "model_not_found":
        return {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource is not here."}}
    if error.status in (401, 429):
        return {"error": {"code": str(error.status), "message": error.message}}
    return OPENAI.error(error)


def _headers(request_id: str) -> Headers:
    return (
        (b"apim-request-id", request_id.encode("latin-1")),
        (b"x-ms-region", b"Mock"),
        (b"x-ratelimit-limit-requests", b"120"),
        (b"x-ratelimit-remaining-requests", b"119"),
        (b"x-ratelimit-reset-requests", b"500"),
    )


def _paths(path: str) -> tuple[str, ...]:
    return (f"/openai/v1{path}", f"/openai{path}" if path in _PLAIN else _DEPLOYMENT + path)


SURFACE = Surface(
    "azure",
    tuple(
        (method, place, service, _authorised(filtered(handler) if path == "/chat/completions" else handler))
        for method, path, service, handler in OPENAI.routes
        if path not in _ABSENT
        for place in _paths(path)
    ),
    _error,
    headers=_headers,
)
