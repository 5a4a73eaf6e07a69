"""A call that nobody made: what a request would be that has these properties, to explain what would become of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from gateway.errors import ClientError
from gateway.http.needs import GENERATIVE, needs_of
from gateway.http.parse import decode_wishes, inputs_of, model_of
from gateway.http.routes import ENDPOINTS
from gateway.types import Call, Service
from gateway.usage.estimate import input_tokens

NEEDS = ("tools", "vision", "audio", "json_schema")


@dataclass(frozen=True, slots=True)
class Imagined:
    """The properties. With a `body` the rest only fills in what it does not say."""

    service: str = "chat"
    model: str | None = None
    stream: bool = False
    user: str | None = None
    provider: str | None = None
    tokens: int | None = None
    """Of the input."""
    max_tokens: int | None = None
    needs: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class Unimaginable(ValueError):
    """No request can be so; `field` names what is wrong."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.field = name


def imagine(asked: Imagined) -> Call:
    """The call. Raises Unimaginable."""
    service = _service(asked.service)
    call = _from_properties(asked, service) if asked.body is None else _from_body(asked.body, asked, service)
    call.headers = {name.strip().lower().encode(): _latin(value) for name, value in asked.headers.items()}
    call.pinned = asked.provider
    return call


def _latin(value: str) -> bytes:
    return value.strip().encode("latin-1", "replace")


def _service(word: str) -> Service:
    try:
        return Service(word)
    except ValueError:
        raise Unimaginable("service", f"{word!r} is unknown (use {', '.join(Service)})") from None


def _from_properties(asked: Imagined, service: Service) -> Call:
    model, tokens = asked.model, asked.tokens
    if not model:
        raise Unimaginable("model", "name a model, or give a request's body")
    if tokens is not None and tokens < 0:
        raise Unimaginable("tokens", "no input has fewer than 0 tokens (name how many it has)")
    if asked.max_tokens is not None and asked.max_tokens < 1:
        raise Unimaginable("max_tokens", "an answer has at least 1 token (raise it, or leave it out)")
    # A prompt of that many tokens, by the estimate that a real one is measured with.
    raw = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "x" * 4 * (tokens or 0)}]})
    call = _call(service, model, raw)
    call.input_tokens = input_tokens(raw) if tokens is None else tokens
    call.stream, call.user, call.max_tokens = asked.stream, asked.user, asked.max_tokens
    call.needs = asked.needs
    return call


def _from_body(raw: bytes, asked: Imagined, service: Service) -> Call:
    try:
        fields = decode_wishes(raw)
        model, _ = model_of(raw, fields, asked.model)
    except ClientError as refusal:
        raise Unimaginable("body", f"a client would get {refusal.public_status}: {refusal.public_message}") from None
    call = _call(service, asked.model or model, raw)
    call.input_tokens, call.stream = input_tokens(raw), bool(fields.stream) or asked.stream
    call.max_tokens, call.choices = fields.cap(service), fields.n or 1
    call.user = asked.user or fields.end_user
    call.inputs = inputs_of(bytes(fields.input)) if service is Service.EMBEDDINGS and fields.input else 1
    call.needs = needs_of(fields) if service in GENERATIVE else frozenset()
    return call


def _call(service: Service, model: str, raw: bytes) -> Call:
    path = next(path for path, endpoint in ENDPOINTS.items() if endpoint.service is service)
    return Call(id="explain", request_id="explain", service=service, path=path, model=model, raw=raw, started=0.0)
