"""The entry point: a request in, a scenario out. Deterministic, no I/O, no clock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

import orjson

from gateway.providers.scripted.amazon import SURFACE as AMAZON
from gateway.providers.scripted.anthropic import SURFACE as ANTHROPIC
from gateway.providers.scripted.azure import SURFACE as AZURE
from gateway.providers.scripted.cohere import SURFACE as COHERE
from gateway.providers.scripted.faults import distort, error_reply, refusal, stage
from gateway.providers.scripted.google import SURFACE as GOOGLE
from gateway.providers.scripted.multipart import parse_form
from gateway.providers.scripted.openai import SURFACE as OPENAI
from gateway.providers.scripted.scenario import (
    Asked,
    Charge,
    Handler,
    Json,
    Rejected,
    Reply,
    Request,
    Scenario,
    Surface,
)
from gateway.providers.scripted.script import Script, script_of
from gateway.providers.scripted.watsonx import SURFACE as WATSONX

if TYPE_CHECKING:
    from gateway.types import Headers

SURFACES: tuple[Surface, ...] = (OPENAI, ANTHROPIC, GOOGLE, COHERE, AZURE, AMAZON, WATSONX)
"""Every API the provider speaks; the first route that matches serves."""


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>.+)", pattern))


_VERSIONS = ("/v1", "/v1beta", "/v1beta1")
_ODD = (TypeError, AttributeError, LookupError, ValueError, ArithmeticError, RecursionError)
_ROUTES = [
    (method, _compiled(path), service, handler, surface)
    for surface in SURFACES
    for method, path, service, handler in surface.routes
]


def request_of(method: str, target: str, headers: Headers, body: bytes) -> Request:
    """A request as the surfaces want it: without a query, without the version segment, percent-decoded."""
    path = unquote(target.partition("?")[0])
    bare = next((path[len(prefix) :] for prefix in _VERSIONS if path.startswith(prefix + "/")), path)
    return Request(method, bare, headers, body)


def respond(request: Request) -> Scenario:
    """What the provider does with this request; whatever is wrong with it becomes an error in the surface's shape."""
    surface, charge, script = SURFACES[0], Charge(), Script()
    try:
        service, handler, surface, params = _route(request)
        body = _body(request)
        # A model that is only looked up does nothing.
        model = body.get("model") or body.get("model_id") or (params.get("model") if request.method == "POST" else None)
        charge = Charge(service, model if isinstance(model, str) else "")
        script = script_of(charge.model, request.header(b"x-mock-script"))
        refused = refusal(script)
        if refused is not None:
            raise refused
        reply = distort(_handled(handler, Asked(request, service, body, script, params)), script, surface)
    except Rejected as error:
        reply = error_reply(error, surface, script, charge)
    return stage(reply, script, surface.headers(request.header(b"x-request-id") or f"req_{request.digest}"))


def _handled(handler: Handler, asked: Asked) -> Reply:
    try:
        return handler(asked)
    except _ODD as error:
        # Handlers check the fields that matter; a value of a strange type anywhere else ends here.
        raise Rejected(400, "A field of the request has a value that cannot be used.") from error


def _route(request: Request) -> tuple[str, Handler, Surface, dict[str, str]]:
    known = False
    for method, pattern, service, handler, surface in _ROUTES:
        match = pattern.fullmatch(request.path)
        known = known or match is not None
        if match and method == request.method:
            return service, handler, surface, match.groupdict()
    if known:
        raise Rejected(405, f"{request.method} is not allowed on this path.", code="method_not_supported")
    raise Rejected(404, f"Unknown request URL: {request.method} {request.path}.", code="unknown_url")


def _body(request: Request) -> Json:
    """The decoded JSON body, or the fields of a form."""
    if request.method == "GET":
        return {}
    if request.header(b"content-type").startswith("multipart/"):
        return dict(parse_form(request.header(b"content-type"), request.body).fields)
    if request.header(b"content-type").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(request.body.decode("latin-1")))
    try:
        value = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Rejected(400, "The body could not be parsed as JSON.", code="invalid_json") from error
    if not isinstance(value, dict):
        raise Rejected(400, "The body must be a JSON object.", code="invalid_json")
    return value
