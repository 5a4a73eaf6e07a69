"""OpenAI's API as a wire: requests pass as they came but for model name, defaults and `stream_options`.

Every provider type whose API is OpenAI's is an instance of `OpenAIDialect` with other words for its credentials and
paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import msgspec

from gateway.errors import InvalidRequest, UpstreamBadResponse, UpstreamError
from gateway.ports import DecodedReply, Endpoint, RequestHead, StreamDecoder
from gateway.providers.wire.embeddings import in_format
from gateway.providers.wire.errors import error_from_event, error_from_reply
from gateway.providers.wire.jsonscan import insert_members, members, model_spans
from gateway.providers.wire.sse import ChunkStream, NamedEventStream
from gateway.providers.wire.usage import WireUsage
from gateway.types import Body, Call, Deployment, Headers, Provider, Service

USER_AGENT = b"llm-gateway"
_CHUNKED_SERVICES = (Service.CHAT, Service.COMPLETIONS)
_INCLUDE_USAGE = b'"stream_options":{"include_usage":true}'

HeaderPairs = list[tuple[bytes, bytes]]
Credentials = Callable[[Provider, str | None], HeaderPairs]


class _Reply(msgspec.Struct, gc=False):
    model: str | None = None
    usage: WireUsage | None = None
    error: object = None


_REPLY = msgspec.json.Decoder(_Reply)


def bearer(provider: Provider, api_key: str | None) -> HeaderPairs:
    """`Authorization: Bearer`, when there is a key."""
    return [(b"authorization", b"Bearer " + api_key.encode())] if api_key else []


def endpoint_of(provider: Provider) -> tuple[Endpoint, str]:
    """Where `base_url` points, and its path without a trailing slash."""
    url = urlsplit(provider.base_url)
    tls = url.scheme == "https"
    endpoint = Endpoint(
        host=url.hostname or "",
        port=url.port or (443 if tls else 80),
        tls=tls,
        ca_file=provider.ca_file,
        max_connections=provider.concurrency_limit or 1024,
    )
    return endpoint, url.path.rstrip("/")


def host_header(endpoint: Endpoint) -> bytes:
    """`Host`, with the port only where it is not the scheme's own."""
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    default = 443 if endpoint.tls else 80
    return (host if endpoint.port == default else f"{host}:{endpoint.port}").encode(
        "idna" if not host.isascii() else "ascii"
    )


class OpenAIDialect:
    """A provider type that speaks OpenAI's API. Implements `gateway.ports.Dialect`."""

    def __init__(
        self,
        name: str,
        *,
        credentials: Credentials = bearer,
        services: frozenset[Service] = frozenset(Service),
        stream_usage: bool = True,
    ) -> None:
        self.name = name
        self.services = services
        self._credentials = credentials
        self._stream_usage = stream_usage

    def head(self, path: str, deployment: Deployment, api_key: str | None) -> RequestHead:
        """The repeating part of calls to `path`."""
        provider = deployment.provider
        endpoint, prefix = endpoint_of(provider)
        headers: HeaderPairs = [
            (b"host", host_header(endpoint)),
            (b"user-agent", USER_AGENT),
            (b"accept-encoding", b"identity"),
            *self._credentials(provider, api_key),
        ]
        own = {name.lower().encode(): value.encode() for name, value in provider.headers}
        kept = tuple((n, v) for n, v in headers if n not in own) + tuple(own.items())
        return RequestHead(endpoint, b"POST", (prefix + path).encode(), kept)

    def body(self, call: Call, deployment: Deployment) -> Sequence[bytes] | Body:
        """The client's bytes with the provider's model name, the deployment's defaults and usage asked for."""
        if call.upload is not None:
            return call.upload.renamed(deployment.model)
        parts = _with_model(call, deployment.model)
        added = self._additions(call, deployment)
        if added:
            parts = [*insert_members(parts[0], b",".join(added)), *parts[1:]]
        return parts

    def _additions(self, call: Call, deployment: Deployment) -> list[bytes]:
        added: list[bytes] = []
        wants_usage = call.stream and self._stream_usage and call.service in _CHUNKED_SERVICES
        if wants_usage and not call.has_stream_options:
            added.append(_INCLUDE_USAGE)
        if deployment.parameters:
            present = {member.key for member in members(call.raw)}
            added += [
                msgspec.json.encode(key) + b":" + msgspec.json.encode(value)
                for key, value in deployment.parameters.items()
                if key not in present
            ]
        return added

    def decode(self, call: Call, deployment: Deployment, headers: Headers, body: bytes) -> DecodedReply:
        """The reply with the model's name as the client wrote it, its usage read."""
        content_type = dict(headers).get(b"content-type", b"application/json")
        if b"json" not in content_type:
            if call.service is Service.TRANSCRIPTION and body and not content_type.startswith(b"text/html"):
                return DecodedReply(body, content_type)
            raise UpstreamBadResponse
        if body.lstrip()[:1] != b"{":
            raise UpstreamBadResponse
        try:
            reply = _REPLY.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise UpstreamBadResponse from None
        if reply.error:
            raise error_from_event(reply.error)
        if call.service is Service.EMBEDDINGS:
            body = in_format(body, call.encoding_format or "float")
        if reply.model is not None and reply.model != call.model:
            body = _renamed(body, call.model)
        return DecodedReply(body, content_type, reply.usage.counted() if reply.usage else None)

    def stream(self, call: Call, deployment: Deployment) -> StreamDecoder:
        """A decoder for one streamed answer."""
        if call.service in _CHUNKED_SERVICES:
            return ChunkStream(call.model, hide_usage=not call.include_usage)
        return NamedEventStream(call.model)

    def error(self, status: int, headers: Headers, body: bytes) -> UpstreamError:
        """What a non-2xx answer means."""
        return error_from_reply(status, headers, body)


def _with_model(call: Call, model: str) -> list[bytes]:
    """The body in parts with the provider's model name, and with `include_usage` switched on where options stand
    without it."""
    raw = call.raw
    edits: list[tuple[int, int, bytes]] = []
    if call.model_span is None:
        # The path named the model (or it is the API's default), the body did not.
        return list(insert_members(raw, b'"model":' + msgspec.json.encode(model)))
    start, end = call.model_span
    wanted = msgspec.json.encode(model)
    if raw[start:end] != wanted:
        edits.append((start, end, wanted))
    if call.has_stream_options and not call.include_usage and call.stream:
        options = [m for m in members(raw) if m.key == "stream_options"][-1]
        edits.append((options.start, options.end, _options_with_usage(raw[options.start : options.end])))
    if not edits:
        return [raw]
    parts: list[bytes] = []
    at = 0
    for start, end, text in sorted(edits):
        parts += (raw[at:start], text)
        at = end
    parts.append(raw[at:])
    return parts


def _options_with_usage(text: bytes) -> bytes:
    options = msgspec.json.decode(text)
    if not isinstance(options, dict):
        raise InvalidRequest("`stream_options` must be an object.", param="stream_options")
    return msgspec.json.encode({**options, "include_usage": True})


def _renamed(body: bytes, model: str) -> bytes:
    for start, end in reversed(model_spans(body)):
        body = body[:start] + msgspec.json.encode(model) + body[end:]
    return body
