"""From the options of `gateway explain` to the call that they describe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from gateway.errors import ClientError, OperatorError
from gateway.http.needs import GENERATIVE, needs_of
from gateway.http.parse import decode_wishes, inputs_of, model_of
from gateway.http.routes import ENDPOINTS
from gateway.types import Call, Service
from gateway.usage.estimate import input_tokens

NEEDS = ("tools", "vision", "audio", "json_schema")


def call_of(options: dict[str, Any]) -> Call:
    """The call. Raises OperatorError for what no request can be."""
    service = _service(options["service"])
    body = options["body"]
    call = _from_options(options, service) if body is None else _from_body(body, options, service)
    call.headers = dict(map(_header, options["header"] or []))
    call.pinned = options["provider"]
    return call


def _service(word: str) -> Service:
    try:
        return Service(word)
    except ValueError:
        raise OperatorError(f"--service: {word!r} is unknown (use {', '.join(Service)})") from None


def _from_options(options: dict[str, Any], service: Service) -> Call:
    model = options["model"]
    if not model:
        raise OperatorError("Name a model: `gateway explain gpt-4o`, or a request with --body.")
    tokens = options["tokens"]
    # A prompt of that many tokens, by the estimate that a real one is measured with.
    raw = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "x" * 4 * (tokens or 0)}]})
    call = _call(service, model, raw)
    call.input_tokens = input_tokens(raw) if tokens is None else tokens
    call.stream, call.user, call.max_tokens = options["stream"], options["user"], options["max_tokens"]
    call.needs = frozenset(need for need in NEEDS if options[need])
    return call


def _from_body(path: Path, options: dict[str, Any], service: Service) -> Call:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise OperatorError(f"--body: {path} cannot be read: {error.strerror} (check its name)") from None
    try:
        fields = decode_wishes(raw)
        model, _ = model_of(raw, fields, options["model"])
    except ClientError as refusal:
        raise OperatorError(f"--body: a client would get {refusal.public_status}: {refusal.public_message}") from None
    call = _call(service, options["model"] or model, raw)
    call.input_tokens, call.stream = input_tokens(raw), bool(fields.stream) or options["stream"]
    call.max_tokens, call.choices = fields.cap(service), fields.n or 1
    call.user = options["user"] or fields.end_user
    call.inputs = inputs_of(bytes(fields.input)) if service is Service.EMBEDDINGS and fields.input else 1
    call.needs = needs_of(fields) if service in GENERATIVE else frozenset()
    return call


def _call(service: Service, model: str, raw: bytes) -> Call:
    path = next(path for path, endpoint in ENDPOINTS.items() if endpoint.service is service)
    return Call(id="explain", request_id="explain", service=service, path=path, model=model, raw=raw, started=0.0)


def _header(text: str) -> tuple[bytes, bytes]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise OperatorError("--header: write name=value, such as x-tier=gold")
    return name.strip().lower().encode(), value.strip().encode("latin-1", "replace")
