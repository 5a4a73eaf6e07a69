"""A dialect tried out: asked for requests, and given answers that no provider should send. Nothing is connected to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway.errors import GatewayError, OperatorError, UpstreamError
from gateway.ports import DecodedReply, Dialect, ListsModels, RequestHead, TokenDialect, TokenRequest
from gateway.providers.discovery.validation import faults_of
from gateway.types import Call, Deployment, Provider, Service

CANARY = "trial-key-0123456789"
_RUBBISH = (b"", b"null", b"[]", b"{}", b"<html>", b'{"choices":null}', b'{"error":1}', b"\xff\xfe", b"[" * 2000)
_STREAMS = (b"", b"\n\n", b"data: {\n\n", b"data: [DONE]\n\n", b"event: x\ndata: []\n\n", b"\x00" * 40, b"\xff" * 40)
_STATUSES = (400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 529)
_JSON_HEADERS = [(b"content-type", b"application/json")]
_CONNECTION = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_ASKED: Mapping[Service, tuple[str, dict[str, object]]] = {
    Service.CHAT: ("/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    Service.COMPLETIONS: ("/completions", {"prompt": "Hi"}),
    Service.EMBEDDINGS: ("/embeddings", {"input": "Hi"}),
    Service.RESPONSES: ("/responses", {"input": "Hi"}),
    Service.MODERATIONS: ("/moderations", {"input": "Hi"}),
    Service.RERANK: ("/rerank", {"query": "Hi", "documents": ["Hello", "Bye"]}),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried."""

    name: str
    problems: tuple[str, ...] = ()


def trial(dialect: Dialect, options: Mapping[str, Any] | None = None, base_url: str | None = None) -> list[Step]:
    """What came of each step. `options` and `base_url` are those of a provider of this type; without them its own
    settings are made up."""
    wrong = faults_of(dialect)
    if wrong:
        return [Step("shape", tuple(wrong))]
    made_up = {setting.name: "trial" for setting in getattr(dialect, "settings", ())}
    address = base_url or getattr(dialect, "base_url", None) or "https://provider.invalid/v1"
    provider = Provider("trial", dialect.name, address, (CANARY,), made_up if options is None else options)
    deployment = Deployment("trial/model", provider, "model")
    steps = [Step("shape")]
    for service in sorted(dialect.services & _ASKED.keys()):
        steps.append(Step(f"{service.value}: request", tuple(_request(dialect, deployment, service))))
        steps.append(Step(f"{service.value}: rubbish for an answer", tuple(_answers(dialect, deployment, service))))
    if dialect.services & {Service.CHAT, Service.COMPLETIONS, Service.RESPONSES}:
        steps.append(Step("broken streams", tuple(_streams(dialect, deployment))))
    steps.append(Step("errors", tuple(_errors(dialect))))
    if isinstance(dialect, TokenDialect):
        steps.append(Step("tokens", tuple(_tokens(dialect, provider))))
    if isinstance(dialect, ListsModels):
        steps.append(Step("list of models", tuple(_models(dialect, provider))))
    return steps


def _call(service: Service, *, stream: bool = False) -> Call:
    path, fields = _ASKED[service]
    raw = b'{"model":"asked",' + msgspec.json.encode({**fields, **({"stream": True} if stream else {})})[1:]
    return Call("trial", "trial", service, path, "asked", raw, 0.0, stream=stream, model_span=(9, 16))


class _Nothing:
    """The call raised what it may."""


def _tried(what: str, allowed: tuple[type[BaseException], ...], work: Callable[..., Any], *given: Any) -> Any:
    """What `work` gives; `_Nothing` where it raises what callers are ready for, a problem where it raises more."""
    try:
        return work(*given)
    except allowed:
        return _Nothing
    except Exception as error:  # that is what the trial is for
        return _Problem(f"{what} raises {type(error).__name__}: {error}")


class _Problem(str):
    """What is wrong, as an outcome of `_tried`."""

    __slots__ = ()


def _request(dialect: Dialect, deployment: Deployment, service: Service) -> Iterator[str]:
    for stream in (False, True):
        call = _call(service, stream=stream)
        try:
            head = dialect.head(call, deployment, CANARY)
            body = dialect.body(call, deployment)
        except GatewayError as error:
            if not stream:
                yield f"the smallest request is refused: {error}"
            continue
        except Exception as error:  # that is what the trial is for
            yield f"making a request raises {type(error).__name__}: {error}"
            continue
        yield from _head(head)
        if not _is_parts(body):
            yield "`body` must give a list or tuple of bytes"


def _is_parts(body: Any) -> bool:
    return isinstance(body, list | tuple) and all(isinstance(part, bytes) for part in body)


def _head(head: Any) -> Iterator[str]:
    if not isinstance(head, RequestHead):
        yield "`head` must give a gateway.ports.RequestHead"
        return
    names = [name for name, _ in head.headers]
    if b"host" not in names:
        yield "`head` has no `host` header"
    if any(name != name.lower() for name in names) or len(set(names)) < len(names):
        yield "names of headers must be lower-case, each once"
    if _CONNECTION & set(names):
        yield "`head` must leave content-length, transfer-encoding and connection to the engine"
    if CANARY.encode() in head.target:
        yield "the credential is in the URL, where proxies and logs see it"


def _answers(dialect: Dialect, deployment: Deployment, service: Service) -> Iterator[str]:
    call = _call(service)
    for body in _RUBBISH:
        what = f"`decode` of {body[:12]!r}"
        for headers in ([(b"content-type", b"application/json")], []):
            found = _tried(what, (UpstreamError,), dialect.decode, call, deployment, headers, body)
            if isinstance(found, _Problem):
                yield found
            elif found is not _Nothing and not isinstance(found, DecodedReply):
                yield f"{what} gives no gateway.ports.DecodedReply"


def _streams(dialect: Dialect, deployment: Deployment) -> Iterator[str]:
    service = next(one for one in (Service.CHAT, Service.COMPLETIONS, Service.RESPONSES) if one in dialect.services)
    for data in _STREAMS:
        found = _tried(f"a stream of {data[:20]!r}", (), _played, dialect, deployment, service, data)
        if isinstance(found, _Problem):
            yield found
    decoder = dialect.stream(_call(service, stream=True), deployment)
    decoder.end()
    if not isinstance(decoder.failure, UpstreamError):
        yield "a stream that ends before it began is no `failure`"


def _played(dialect: Dialect, deployment: Deployment, service: Service, data: bytes) -> None:
    decoder = dialect.stream(_call(service, stream=True), deployment)
    for at in range(len(data)):
        if decoder.failure is None:
            decoder.feed(data[at : at + 1])
    decoder.end()
    _ = decoder.usage, decoder.complete, decoder.events


def _errors(dialect: Dialect) -> Iterator[str]:
    bodies = (*_RUBBISH, msgspec.json.encode({"error": {"message": f"bad key {CANARY}", "type": "x", "code": None}}))
    for status in _STATUSES:
        for body in bodies:
            found = _tried(f"`error` of status {status}", (), dialect.error, status, _JSON_HEADERS, body)
            if isinstance(found, _Problem):
                yield found
            elif not isinstance(found, UpstreamError):
                yield f"`error` of status {status} gives no UpstreamError"
            elif status in (401, 403) and CANARY in found.public_message:
                yield f"`error` of status {status} repeats the provider's words, and so perhaps the key"


def _tokens(dialect: TokenDialect, provider: Provider) -> Iterator[str]:
    now = time.time()
    found = _tried("`token_request`", (UpstreamError, OperatorError), dialect.token_request, provider, now)
    if isinstance(found, _Problem):
        yield found
    elif found not in (None, _Nothing) and not isinstance(found, TokenRequest):
        yield "`token_request` must give a gateway.ports.TokenRequest, or None"
    for status, body in ((200, b"{}"), (200, b"x"), (401, b"{}"), (500, b"")):
        what = f"`read_token` of {status} {body!r}"
        read = _tried(what, (UpstreamError,), dialect.read_token, status, body, now)
        if isinstance(read, _Problem):
            yield read
        elif read is not _Nothing:
            yield f"{what} must raise an UpstreamError"


def _models(dialect: ListsModels, provider: Provider) -> Iterator[str]:
    tries = [_tried("`models_head`", (), dialect.models_head, provider, CANARY)]
    tries += [
        _tried(f"`decode_models` of {body[:12]!r}", (UpstreamError,), dialect.decode_models, body) for body in _RUBBISH
    ]
    yield from (one for one in tries if isinstance(one, _Problem))
