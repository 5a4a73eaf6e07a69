"""Reading a request: JSON whole, uploads as far as they must be known."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.errors import BodyTooLarge, InvalidRequest, UnsupportedMedia
from gateway.http.anthropic import decode_message_fields, forwarded, message_needs
from gateway.http.cycle import Cycle
from gateway.http.multipart import Upload, boundary_of
from gateway.http.needs import GENERATIVE, needs_of
from gateway.http.parse import (
    MAX_COUNT,
    Fields,
    check_model_name,
    decode_completion_fields,
    decode_embedding_fields,
    decode_fields,
    decode_rerank_fields,
    decode_wishes,
    documents_of,
    inputs_of,
    model_of,
)
from gateway.http.routes import ANTHROPIC_ENDPOINTS, COUNT_TOKENS, Destination, Endpoint
from gateway.http.timeouts import NAMES, read_timeouts
from gateway.pipeline import Exchange
from gateway.types import NO_NEEDS, Call, Service
from gateway.usage.estimate import input_tokens

FORWARDED = (b"openai-beta", b"idempotency-key")
"""Client headers that providers get; everything else of the client's stays here."""
_JSON_TYPES = (b"application/json", b"text/json")


class Arrival(msgspec.Struct, eq=False):
    """A request whose head is here."""

    call_id: str
    exchange: Exchange
    destination: Destination
    headers: Mapping[bytes, bytes]
    cycle: Cycle


def present_call(arrival: Arrival, limit: int) -> Call | None:
    """The call of a JSON request whose whole body is here already, which is most of them; None for any other. Raises as
    `read_call` does."""
    headers, cycle, endpoint = arrival.headers, arrival.cycle, arrival.destination.endpoint
    if not cycle.whole or endpoint is None or not endpoint.json or headers.get(b"content-type") != b"application/json":
        return None
    if b"content-encoding" in headers:
        return None
    if cycle.received > limit:
        raise too_large(limit)
    return _forwarding(_json(arrival, endpoint, cycle.taken()), headers)


async def read_call(arrival: Arrival, limit: int) -> Call:
    """The call that a request makes. Raises BodyTooLarge, UnsupportedMedia, InvalidJson, InvalidRequest, ClientGone."""
    headers = arrival.headers
    endpoint = arrival.destination.endpoint
    assert endpoint is not None
    if b"content-encoding" in headers and headers[b"content-encoding"].lower() != b"identity":
        raise UnsupportedMedia("Compressed request bodies are not accepted. Send the body without Content-Encoding.")
    declared = _declared(headers, limit)
    reader = Reader(arrival.cycle, limit)
    content_type = headers.get(b"content-type", b"")
    if content_type != b"application/json" and _is_form(endpoint, content_type):
        call = await _form(arrival, endpoint, Upload(reader.pull, boundary_of(content_type), declared))
    elif not endpoint.json:
        raise unsupported(endpoint)
    else:
        call = _json(arrival, endpoint, await reader.whole())
    return _forwarding(call, headers)


def _forwarding(call: Call, headers: Mapping[bytes, bytes]) -> Call:
    if b"openai-beta" in headers or b"idempotency-key" in headers:
        call.forwarded = [(name, headers[name]) for name in FORWARDED if name in headers]
    if call.path in ANTHROPIC_ENDPOINTS:
        call.forwarded = forwarded(headers)
    if not NAMES.isdisjoint(headers):
        read_timeouts(call, headers)
    return call


class Reader:
    """The client's body, piece by piece, bounded."""

    def __init__(self, cycle: Cycle, limit: int) -> None:
        self._cycle = cycle
        self._limit = limit

    async def pull(self) -> bytes:
        """The next piece, `b""` at the end. Raises BodyTooLarge, ClientGone."""
        piece = await self._cycle.piece()
        if self._cycle.received > self._limit:
            raise too_large(self._limit)
        return piece

    async def whole(self) -> bytes:
        """The whole body. Raises as `pull` does."""
        pieces = []
        while piece := await self.pull():
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def too_large(limit: int) -> BodyTooLarge:
    """The error that names the limit."""
    return BodyTooLarge(f"The request body is larger than the {limit} bytes that this gateway accepts.")


def _declared(headers: Mapping[bytes, bytes], limit: int) -> int | None:
    length = headers.get(b"content-length")
    if length is None:
        return None
    if not length.isdigit():
        raise InvalidRequest("The content-length is not a number.")
    if int(length) > limit:
        raise too_large(limit)
    return int(length)


def _is_form(endpoint: Endpoint, content_type: bytes) -> bool:
    """Which of the two body kinds this is. Raises UnsupportedMedia."""
    kind = content_type.split(b";", 1)[0].strip().lower()
    if kind == b"multipart/form-data":
        if endpoint.form:
            return True
    elif endpoint.json and (not kind or kind in _JSON_TYPES or kind.endswith(b"+json")):
        return False
    raise unsupported(endpoint)


def unsupported(endpoint: Endpoint) -> UnsupportedMedia:
    """The error that names what the path takes."""
    wanted = " or ".join(
        name for name, taken in (("application/json", endpoint.json), ("multipart/form-data", endpoint.form)) if taken
    )
    return UnsupportedMedia(f"This path takes a body of type {wanted}.")


def _json(arrival: Arrival, endpoint: Endpoint, raw: bytes) -> Call:
    destination, exchange = arrival.destination, arrival.exchange
    inputs, encoding, choices, needs = 1, None, None, NO_NEEDS
    fields: Fields
    if endpoint.service is Service.EMBEDDINGS:
        embedding = decode_embedding_fields(raw)
        inputs, encoding = inputs_of(bytes(embedding.input)), embedding.encoding_format
        if encoding not in (None, "float", "base64"):
            raise InvalidRequest("`encoding_format` must be `float` or `base64`.", param="encoding_format")
        fields = embedding
    elif endpoint.service is Service.RERANK:
        ranking = decode_rerank_fields(raw)
        inputs, fields = documents_of(bytes(ranking.documents)), ranking
    elif endpoint.service is Service.COMPLETIONS:
        completion = decode_completion_fields(raw)
        fields, choices = completion, completion.answers
    elif endpoint.path in ANTHROPIC_ENDPOINTS:
        asked = decode_message_fields(raw, endpoint.path)
        fields, choices = asked, 1
        needs = message_needs(asked) if exchange.planner.infers else NO_NEEDS
    elif exchange.planner.infers and endpoint.service in GENERATIVE:
        wishes = decode_wishes(raw)
        fields, needs = wishes, needs_of(wishes)
    else:
        fields = decode_fields(raw)
    model, span = model_of(raw, fields, destination.model or endpoint.default_model)
    return Call(
        id=arrival.call_id,
        request_id=exchange.request_id,
        service=endpoint.service,
        path=endpoint.path,
        model=destination.model or model,
        raw=raw,
        started=exchange.started,
        stream=bool(fields.stream) and endpoint.path != COUNT_TOKENS,
        include_usage=bool(fields.stream_options and fields.stream_options.include_usage),
        has_stream_options=fields.stream_options is not msgspec.UNSET,
        max_tokens=fields.cap(endpoint.service),
        choices=choices or fields.n or 1,
        user=fields.end_user,
        input_tokens=input_tokens(raw),
        encoding_format=encoding,
        inputs=inputs,
        model_span=span,
        pinned=destination.pinned,
        headers=arrival.headers,
        needs=needs,
    )


def _count(text: str) -> int:
    """A form's `n`; what is no number is for the provider to refuse."""
    return max(1, min(int(text), MAX_COUNT)) if text.isascii() and text.isdigit() and len(text) < 12 else 1


async def _form(arrival: Arrival, endpoint: Endpoint, upload: Upload) -> Call:
    destination, exchange = arrival.destination, arrival.exchange
    await upload.read_fields()
    fields = upload.scanner.fields
    model = destination.model or fields.get("model") or endpoint.default_model
    if model is None:
        raise InvalidRequest("You must provide a `model` field.", param="model")
    check_model_name(model)
    return Call(
        id=arrival.call_id,
        request_id=exchange.request_id,
        service=endpoint.service,
        path=endpoint.path,
        model=model,
        raw=b"",
        started=exchange.started,
        stream=fields.get("stream", "").lower() == "true",
        choices=_count(fields.get("n", "")),
        user=fields.get("user") or None,
        upload=upload,
        content_type=arrival.headers[b"content-type"],
        pinned=destination.pinned,
        headers=arrival.headers,
    )
