"""The contract of every dialect that has chat: found by discovery, so a new one is tested by existing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import (
    ProviderAuthFailed,
    UnsupportedParameter,
    UpstreamBadEvent,
    UpstreamBadResponse,
    UpstreamConflict,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamRequestTimeout,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamTruncated,
)
from gateway.ports import Dialect, StreamDecoder
from gateway.providers import discover
from gateway.providers.wire.frames import MAX_EVENT
from gateway.providers.wire.openai import OpenAIDialect
from gateway.types import Call, Deployment, Provider, Service, Usage

from . import reading
from .cases import ANSWERS, FINISH, REQUESTS
from .natives import Native, answering, native_of
from .said import Heard, Read, Said

DIALECTS = {name: one for name, one in discover().items() if Service.CHAT in one.services}
ANSWERING = answering(DIALECTS)
DECODERS = [n for n, one in sorted(DIALECTS.items()) if n == "openai" or type(one).stream is not OpenAIDialect.stream]
"""Those with a decoder of their own, and OpenAI's for all others."""
ASKED = "the/asked-model"
STATUSES: dict[int, type[UpstreamError]] = {
    400: UpstreamRejected,
    401: ProviderAuthFailed,
    402: ProviderAuthFailed,
    403: ProviderAuthFailed,
    404: UpstreamRejected,
    408: UpstreamRequestTimeout,
    409: UpstreamConflict,
    413: UpstreamRejected,
    422: UpstreamRejected,
    424: UpstreamServerError,
    429: UpstreamRateLimited,
    500: UpstreamServerError,
    502: UpstreamServerError,
    503: UpstreamOverloaded,
    504: UpstreamTimeout,
    529: UpstreamOverloaded,
}


@pytest.fixture(params=sorted(DIALECTS))
def dialect(request: pytest.FixtureRequest) -> Dialect:
    return DIALECTS[request.param]


@pytest.fixture
def native(dialect: Dialect) -> Native:
    return native_of(dialect)


def deployment_of(dialect: Dialect, native: Native, **settings: Any) -> Deployment:
    provider = Provider("p", dialect.name, native.base_url, ("secret",), native.options, **settings)
    return Deployment(f"p/{native.model}", provider, native.model)


def call_of(fields: dict[str, Any], *, stream: bool = False, usage: bool = True) -> Call:
    body = {"model": ASKED, **fields, **({"stream": True} if stream else {})}
    raw = json.dumps(body, ensure_ascii=False).encode()
    span = raw.index(b'"' + ASKED.encode())
    return Call(
        "c1",
        "r1",
        Service.CHAT,
        "/chat/completions",
        ASKED,
        raw,
        0.0,
        stream=stream,
        include_usage=usage,
        max_tokens=fields.get("max_completion_tokens") or fields.get("max_tokens"),
        choices=fields.get("n") or 1,
        model_span=(span, span + len(ASKED) + 2),
    )


def heard_by(dialect: Dialect, native: Native, call: Call, deployment: Deployment) -> Heard:
    parts = dialect.body(call, deployment)
    assert isinstance(parts, list | tuple)
    return native.heard(dialect.head(call, deployment, "secret"), b"".join(parts))


# ---- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", REQUESTS)
def test_requests(dialect: Dialect, native: Native, case: str) -> None:
    """The provider hears what the client asked, or the client reads which field this provider cannot take."""
    fields, wanted = REQUESTS[case]
    call, deployment = call_of(fields), deployment_of(dialect, native)
    if case in native.refuses:
        with pytest.raises(UnsupportedParameter) as refused:
            dialect.body(call, deployment)
        assert refused.value.param == native.refuses[case]
        assert refused.value.status == 400
        return
    heard = heard_by(dialect, native, call, deployment)
    assert heard.model == native.model
    assert {name: getattr(heard, name) for name in wanted} == wanted


def test_dropped_parameters(dialect: Dialect, native: Native) -> None:
    """With `unsupported: drop` a parameter that this provider cannot take is left out, and the rest is heard."""
    for case, param in native.refuses.items():
        fields, _ = REQUESTS[case]
        if param in fields:
            heard = heard_by(dialect, native, call_of(fields), deployment_of(dialect, native, unsupported="drop"))
            assert [turn.text for turn in heard.turns] == ["hi"]


def test_streams_are_asked_for(dialect: Dialect, native: Native) -> None:
    """A streaming call asks for a stream, another one does not."""
    for stream in (True, False):
        call = call_of(REQUESTS["text"][0], stream=stream)
        assert heard_by(dialect, native, call, deployment_of(dialect, native)).stream is stream


def test_defaults_of_a_deployment(dialect: Dialect, native: Native) -> None:
    """A deployment's parameters are for callers who set none."""
    base = deployment_of(dialect, native)
    deployment = Deployment(base.id, base.provider, base.model, parameters={"max_tokens": 55, "stop": "END"})
    assert heard_by(dialect, native, call_of(REQUESTS["text"][0]), deployment).limit == 55
    assert heard_by(dialect, native, call_of(REQUESTS["text"][0]), deployment).stop == ("END",)
    assert heard_by(dialect, native, call_of({**REQUESTS["text"][0], "max_tokens": 9}), deployment).limit == 9


def test_cut_off(dialect: Dialect, native: Native) -> None:
    """A call that is cut off asks for no more than its cap."""
    call = call_of(REQUESTS["text"][0])
    call.output_cap = 77
    assert heard_by(dialect, native, call, deployment_of(dialect, native)).limit == 77


# ---- answers ---------------------------------------------------------------------------------------------------------


def check(read: Read, said: Said, usage: Usage | None) -> None:
    counts = said.counts
    assert read.text == said.text
    assert read.reasoning == said.reasoning
    assert [(id_, name) for id_, name, _ in read.calls] == [(call.id, call.name) for call in said.calls]
    assert [json.loads(arguments) for _, _, arguments in read.calls] == [call.arguments for call in said.calls]
    assert read.finish == FINISH[said.finish]
    assert usage is not None
    told = (usage.input_tokens, usage.output_tokens, usage.cached_input_tokens, usage.cache_write_tokens)
    assert told == (counts.input, counts.output, counts.cached, counts.written)
    assert read.usage is not None
    assert read.usage["prompt_tokens"] == counts.input
    assert read.usage["completion_tokens"] == counts.output
    assert read.usage["total_tokens"] == counts.input + counts.output
    before, after = (read.usage.get(f"{side}_tokens_details") or {} for side in ("prompt", "completion"))
    assert before.get("cached_tokens", 0) == counts.cached
    assert after.get("reasoning_tokens", 0) == usage.reasoning_tokens == counts.reasoning


@pytest.mark.parametrize(("dialect", "case"), ANSWERING, indirect=["dialect"])
def test_replies(dialect: Dialect, native: Native, case: str) -> None:
    """The client reads what the model said: text, calls, finish reason and every count."""
    said = ANSWERS[case]
    content_type, body = native.reply(said)
    reply = dialect.decode(
        call_of(REQUESTS["text"][0]), deployment_of(dialect, native), [(b"content-type", content_type)], body
    )
    assert reply.content_type.startswith(b"application/json")
    check(reading.whole(reply.body, ASKED), said, reply.usage)


def fed(decoder: StreamDecoder, pieces: list[bytes]) -> bytes:
    return b"".join(decoder.feed(piece) for piece in pieces) + decoder.end()


def decoder_of(dialect: Dialect, native: Native, *, usage: bool = True) -> StreamDecoder:
    return dialect.stream(call_of(REQUESTS["text"][0], stream=True, usage=usage), deployment_of(dialect, native))


@pytest.mark.parametrize(("dialect", "case"), ANSWERING, indirect=["dialect"])
def test_streams(dialect: Dialect, native: Native, case: str) -> None:
    """The client reads the same of a stream, in one piece or byte by byte; every promise of a chunk stream is kept."""
    said = ANSWERS[case]
    content_type, frames = native.stream(said)
    assert content_type.startswith(dialect.stream_type)
    body = b"".join(frames)
    for pieces in ([body], frames, [body[at : at + 1] for at in range(len(body))]):
        decoder = decoder_of(dialect, native)
        out = fed(decoder, pieces)
        assert decoder.failure is None
        assert decoder.complete
        check(reading.streamed(out, ASKED, usage=True), said, decoder.usage)
        assert decoder.relayed_bytes == len(out)


def test_usage_is_not_shown_unasked(dialect: Dialect, native: Native) -> None:
    """A client who did not ask for usage gets no usage chunk; the gateway has the counts all the same."""
    decoder = decoder_of(dialect, native, usage=False)
    out = fed(decoder, native.stream(ANSWERS["cached"])[1])
    assert reading.streamed(out, ASKED, usage=False).usage is None
    assert decoder.usage is not None
    assert decoder.usage.cached_input_tokens == 64


def stable(out: bytes) -> list[Any]:
    """The events without their date, which may pass from one second to the next."""
    found = reading.events(out)
    return [{**event, "created": 0} if isinstance(event, dict) else event for event in found]


@pytest.mark.parametrize("dialect", DECODERS, indirect=True)
def test_split_anywhere(dialect: Dialect, native: Native) -> None:
    """A stream cut in two at any byte gives the same events."""
    said = Said("ü🎈", reasoning="", calls=ANSWERS["parallel_calls"].calls[:2], finish="calls")
    body = b"".join(native.stream(said)[1])
    wanted = stable(fed(decoder_of(dialect, native), [body]))
    for at in range(1, len(body)):
        assert stable(fed(decoder_of(dialect, native), [body[:at], body[at:]])) == wanted, at


def test_truncated(dialect: Dialect, native: Native) -> None:
    """A stream that ends before its last event is a failure, wherever it ends, and never looks like a normal end."""
    frames = native.stream(ANSWERS["text"])[1]
    finished = False
    for count in range(len(frames)):
        decoder = decoder_of(dialect, native)
        out = fed(decoder, frames[:count])
        finished = finished or decoder.complete
        if not decoder.complete:
            assert isinstance(decoder.failure, UpstreamTruncated | UpstreamBadResponse)
            assert b"[DONE]" not in out
            assert not finished
        else:
            assert count > len(frames) // 2


def test_broken_stream(dialect: Dialect, native: Native) -> None:
    """An error event ends the stream with that error: what came before it is relayed, nothing pretends an end."""
    frames = native.stream(ANSWERS["text"])[1]
    decoder = decoder_of(dialect, native)
    out = fed(decoder, [*frames[: len(frames) // 2], native.broken(), *frames])
    assert isinstance(decoder.failure, UpstreamOverloaded)
    assert not decoder.complete
    assert b"[DONE]" not in out
    assert b'"finish_reason":"' not in out


def test_failing_at_once(dialect: Dialect, native: Native) -> None:
    """An error as the first event leaves nothing to commit to: another deployment may be tried."""
    decoder = decoder_of(dialect, native)
    assert decoder.feed(native.broken()) == b""
    assert isinstance(decoder.failure, UpstreamOverloaded)


def test_endless_event(dialect: Dialect, native: Native) -> None:
    """An event without an end is given up at a bound."""
    decoder = decoder_of(dialect, native)
    for _ in range(MAX_EVENT // (1 << 20) + 2):
        decoder.feed(b"data: " + b"x" * (1 << 20))
    assert isinstance(decoder.failure, UpstreamBadEvent | UpstreamTooLarge)


@pytest.mark.parametrize("status", STATUSES)
def test_refusals(dialect: Dialect, native: Native, status: int) -> None:
    """Each status becomes its error; the provider's words reach the client only where the request is at fault."""
    message = "Something about field x, see https://provider.invalid/docs with key sk-secret123456."
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"7")]
    error = dialect.error(status, headers, native.refusal(status, message))
    assert type(error) is STATUSES[status]
    assert "provider.invalid" not in error.public_message
    assert "sk-secret" not in error.public_message
    if status in (429, 503, 529):
        assert error.retry_after == 7
    if STATUSES[status] is UpstreamRejected:
        assert error.public_status == status
        assert "Something about field x" in error.public_message


def test_context_overflow(dialect: Dialect, native: Native) -> None:
    """A prompt that is too long has OpenAI's code for it, whatever the provider's words."""
    body = native.refusal(400, "prompt is too long: 250000 tokens > 200000 maximum")
    assert dialect.error(400, [], body).public_code == "context_length_exceeded"


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"<html>", b'"x"', b"\xff\xfe", b"[" * 5000])
def test_odd_bodies(dialect: Dialect, native: Native, body: bytes) -> None:
    """A body that is no answer is an error of the provider's, whole or in a stream; an error body may be anything."""
    call, deployment = call_of(REQUESTS["text"][0]), deployment_of(dialect, native)
    with pytest.raises(UpstreamBadResponse):
        dialect.decode(call, deployment, [(b"content-type", b"application/json")], body)
    assert isinstance(dialect.error(500, [], body), UpstreamServerError)
    decoder = decoder_of(dialect, native)
    assert fed(decoder, [b"data: " + body + b"\n\n"]) == b""
    assert decoder.failure is not None
