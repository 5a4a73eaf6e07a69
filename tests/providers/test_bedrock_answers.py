"""Answers and refusals of Bedrock, beyond the contract: exceptions by name, citations, Amazon's own tools, anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    ProviderAuthFailed,
    UpstreamBadResponse,
    UpstreamContextWindow,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamRequestTimeout,
    UpstreamServerError,
)
from gateway.types import Service, Usage
from tests.support.eventstream import event, exception, message
from tests.support.translated import call_of

from .bedrock import BEDROCK, BEGIN, USAGE, call, decoded, delta, finish, stop, streamed
from .contract import reading

DIALECT = BEDROCK.dialect


def refused(status: int, words: Any, name: str = "", field: str = "message") -> UpstreamError:
    headers = [(b"x-amzn-errortype", f"{name}:http://internal.amazon.com/coral/".encode())] if name else []
    return DIALECT.error(status, headers, json.dumps({field: words}).encode())


@pytest.mark.parametrize(
    ("status", "name", "wanted"),
    [
        (429, "ThrottlingException", UpstreamRateLimited),
        (429, "ModelNotReadyException", UpstreamRateLimited),
        (400, "ServiceQuotaExceededException", UpstreamRateLimited),
        (400, "ValidationException", UpstreamRejected),
        (403, "AccessDeniedException", ProviderAuthFailed),
        (403, "UnrecognizedClientException", ProviderAuthFailed),
        (400, "ExpiredTokenException", ProviderAuthFailed),
        (403, "InvalidSignatureException", ProviderAuthFailed),
        (408, "ModelTimeoutException", UpstreamRequestTimeout),
        (424, "ModelErrorException", UpstreamServerError),
        (500, "InternalServerException", UpstreamServerError),
        (503, "ServiceUnavailableException", UpstreamOverloaded),
        (404, "ResourceNotFoundException", UpstreamRejected),
        (400, "", UpstreamRejected),
    ],
)
def test_exceptions(status: int, name: str, wanted: type[UpstreamError]) -> None:
    """By the name where it tells more than the status."""
    assert type(refused(status, "words", name)) is wanted


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("throttlingException", UpstreamRateLimited),
        ("validationException", UpstreamRejected),
        ("internalServerException", UpstreamServerError),
        ("modelStreamErrorException", UpstreamServerError),
        ("modelTimeoutException", UpstreamRequestTimeout),
        ("serviceUnavailableException", UpstreamOverloaded),
        ("newException", UpstreamServerError),
        ("", UpstreamServerError),
    ],
)
def test_exceptions_in_a_stream(name: str, wanted: type[UpstreamError]) -> None:
    """Each means what it would as an answer."""
    one = BEDROCK.decoder()
    assert one.feed(exception(name, "words")) == b""
    assert type(one.failure) is wanted


def test_errors_without_a_model() -> None:
    """A message of type `error` has no payload, only a code."""
    one = BEDROCK.decoder()
    one.feed(message({":message-type": "error", ":error-code": "ThrottlingException", ":error-message": "x"}, b""))
    assert isinstance(one.failure, UpstreamRateLimited)


@pytest.mark.parametrize(
    "words",
    [
        "Input is too long for requested model.",
        "The model returned the following errors: prompt is too long: 214041 tokens > 200000 maximum",
        "input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000",
        "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
    ],
)
def test_context(words: str) -> None:
    """A prompt that is too long has OpenAI's code for it."""
    error = refused(400, words, "ValidationException")
    assert isinstance(error, UpstreamContextWindow)
    assert error.public_code == "context_length_exceeded"


@pytest.mark.parametrize(("status", "words"), [(400, "The provided model identifier is invalid."), (404, "No such")])
def test_unknown_models(status: int, words: str) -> None:
    """OpenAI's code, under the status that came."""
    error = refused(status, words)
    assert (error.public_status, error.public_code, error.param) == (status, "model_not_found", "model")


def test_words_of_refusals() -> None:
    """Neither ARNs with their accounts nor keys reach a client; either spelling of `message` is read."""
    words = "Profile arn:aws:bedrock:eu-west-1:123456789012:profile/x is not AKIAIOSFODNN7EXAMPLE"
    for field in ("message", "Message"):
        text = refused(400, words, field=field).public_message
        assert "Profile [arn] is not" in text
        assert "AKIA" not in text
    denied = refused(403, "User: arn:aws:iam::123456789012:user/me is not authorized", "AccessDeniedException")
    assert "123456789012" not in denied.public_message


def test_openai_refusals() -> None:
    """Of models that are asked by OpenAI's API, in its shape."""
    body = {"error": {"message": "Too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}
    error = DIALECT.error(400, [], json.dumps(body).encode())
    assert error.public_code == "context_length_exceeded"


def test_citations() -> None:
    """Sources with an address become OpenAI's; the text that they are for is part of the answer."""
    cited = {
        "content": [{"text": "Ruby is from 1993."}],
        "citations": [
            {"source": "https://example.com/ruby", "title": "Ruby"},
            {"source": "handbook", "title": "No address"},
            {"location": {"web": {"domain": "example.org", "url": "https://example.org/a"}}},
        ],
    }
    read = decoded({"text": "Well. "}, {"citationsContent": cited})
    assert read.text == "Well. Ruby is from 1993."
    given = [one["url_citation"] for one in read.extras["annotations"]]
    assert given == [
        {"url": "https://example.com/ruby", "title": "Ruby", "start_index": 6, "end_index": 24},
        {"url": "https://example.org/a", "title": "example.org", "start_index": 6, "end_index": 24},
    ]


def test_citations_in_a_stream() -> None:
    """Each is for the block of text before it."""
    web = {"location": {"web": {"domain": "example.org", "url": "https://example.org/a"}}}
    read = streamed(
        delta(0, text="Well. "), stop(0), delta(1, text="Ru"), delta(1, text="by."), stop(1), delta(2, citation=web),
        stop(2), delta(3, citation={"title": "x", "source": "handbook"}), finish(),
    )  # fmt: skip
    assert read.text == "Well. Ruby."
    (given,) = read.extras["annotations"]
    assert (given["url_citation"]["start_index"], given["url_citation"]["end_index"]) == (6, 11)


def test_tools_of_amazons_own() -> None:
    """What Bedrock asked itself and answered is not the client's to answer."""
    used = {"toolUse": {"toolUseId": "t", "name": "nova_grounding", "type": "server_tool_use", "input": {}}}
    result = {"toolResult": {"toolUseId": "t", "content": [{"text": "x"}], "type": "nova_grounding_result"}}
    read = decoded(used, result, {"text": "a"})
    assert (read.text, read.calls, read.finish) == ("a", [], "stop")
    start = {"toolUse": {"toolUseId": "t", "name": "nova_grounding", "type": "server_tool_use"}}
    read = streamed(
        event("contentBlockStart", contentBlockIndex=0, start=start),
        delta(0, toolUse={"input": "{}"}),
        stop(0),
        event("contentBlockStart", contentBlockIndex=1, start={"toolResult": {"toolUseId": "t"}}),
        delta(1, toolResult=[{"text": "x"}]),
        stop(1),
        delta(2, text="a"),
        finish(),
    )
    assert (read.text, read.calls, read.finish) == ("a", [], "stop")


def test_hidden_reasoning() -> None:
    """What nobody signed is shown and not given back; a sign of life goes out for what is not shown."""
    read = decoded({"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "a"})
    assert (read.reasoning, read.extras) == ("hm", {})
    one = BEDROCK.decoder()
    assert b'"role":"assistant"' in one.feed(BEGIN + delta(reasoningContent={"signature": "s"}))


@pytest.mark.parametrize(
    ("reason", "wanted"),
    [
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("new_reason", "stop"),
    ],
)
def test_stop_reasons(reason: str, wanted: str) -> None:
    """In OpenAI's words."""
    assert decoded({"text": "a"}, stop=reason).finish == wanted
    assert streamed(delta(text="a"), finish(reason)).finish == wanted


def test_unknown_events() -> None:
    """New events, deltas and blocks are left out; a stream without counts is complete all the same."""
    one = BEDROCK.decoder()
    frames = event("newEvent", a=1) + delta(0, newDelta=1) + delta(1, text="a") + finish()
    out = one.feed(BEGIN + frames) + one.end()
    assert one.complete
    assert one.usage is None
    assert reading.streamed(out, "asked", usage=True).text == "a"
    assert decoded({"newBlock": {}}, {"text": "a"}).text == "a"


@pytest.mark.parametrize(
    "body",
    [
        {"embedding": [0.5, -1], "inputTextTokenCount": 3},
        {"embeddings": [{"embeddingType": "TEXT", "embedding": [0.5, -1]}]},
        {"embeddings": [[0.5, -1]], "response_type": "embeddings_floats"},
        {"embeddings": {"float": [[0.5, -1]]}, "response_type": "embeddings_by_type"},
    ],
)
def test_vectors(body: dict[str, Any]) -> None:
    """Of each vendor's shape; what was counted stands in a header."""
    call, to = call_of(Service.EMBEDDINGS, input="a"), BEDROCK.deployment()
    for headers, tokens in (((b"x-amzn-bedrock-input-token-count", b"3"), 3), ((b"x-other", b"3"), 0)):
        reply = DIALECT.decode(call, to, [headers], json.dumps(body).encode())
        assert json.loads(reply.body)["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, -1]}]
        assert (reply.usage.input_tokens if reply.usage else 0) == tokens


@pytest.mark.parametrize("service", [Service.EMBEDDINGS, Service.RERANK])
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"<html>", b'{"embeddings": {}}', b'{"embeddings": [], "results": 1}']
)
def test_odd_answers_of_invoked_models(service: Service, body: bytes) -> None:
    """An error of the provider's."""
    with pytest.raises(UpstreamBadResponse):
        DIALECT.decode(call_of(service, input="a", query="q", documents=["a"]), BEDROCK.deployment(), [], body)


def test_rankings() -> None:
    """The best first, as many as were wanted."""
    call = call_of(Service.RERANK, query="q", documents=["a", "b", "c"], top_n=2, return_documents=True)
    scores = [{"index": at, "relevance_score": score} for at, score in enumerate((0.1, 0.9, 0.5))]
    told = BEDROCK.answered(call, {"results": scores})
    assert [(one["index"], one["document"]) for one in told["results"]] == [(1, {"text": "b"}), (2, {"text": "c"})]


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=3,
)
KINDS = st.sampled_from(
    ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "new"]
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=4) | JSON,
        "toolUse": st.fixed_dictionaries({"input": st.text(max_size=4)}) | JSON,
        "reasoningContent": JSON
        | st.fixed_dictionaries({}, optional={"text": st.text(max_size=3), "signature": JSON, "redactedContent": JSON}),
        "citation": JSON,
    },
)
STARTS = st.fixed_dictionaries(
    {"toolUse": st.fixed_dictionaries({"name": st.text(max_size=3), "toolUseId": JSON}) | JSON}
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "contentBlockIndex": st.integers(0, 3) | JSON,
        "delta": DELTAS | JSON,
        "start": STARTS | JSON,
        "stopReason": st.sampled_from(["end_turn", "tool_use", "malformed_tool_use", "x"]) | JSON,
        "usage": st.fixed_dictionaries({}, optional={"inputTokens": JSON, "outputTokens": st.integers()}) | JSON,
    },
)
EVENTS = st.builds(lambda kind, fields: event(kind, **fields), KINDS, FIELDS) | st.builds(
    exception, st.sampled_from(["throttlingException", "x", ""])
)


@given(st.lists(EVENTS | st.binary(max_size=20), max_size=8), st.lists(st.integers(1, 60), max_size=6))
def test_any_stream(frames: list[bytes], sizes: list[int]) -> None:
    """Events of any shape never raise, never hang, and claim no end that was not told."""
    body = b"".join(frames) + finish() + USAGE
    one = BEDROCK.decoder()
    out, at = b"", 0
    for size in sizes:
        out += one.feed(body[at : at + size])
        at += size
    out += one.feed(body[at:]) + one.end()
    assert one.complete != (one.failure is not None)
    assert (b"data: [DONE]" in out) == one.complete


@given(JSON, st.integers(400, 599))
def test_any_refusal(body: Any, status: int) -> None:
    """An error body of any shape is an error of ours."""
    assert isinstance(DIALECT.error(status, [], json.dumps(body).encode()), UpstreamError)


def test_a_call_that_never_began() -> None:
    """Arguments of a block that is no call for the client are left out."""
    assert streamed(delta(7, toolUse={"input": "{}"}), call(8, "f", "{}"), finish("tool_use")).calls[0][1] == "f"


def test_caches_of_an_hour() -> None:
    """They are part of what was written, told apart for their price; whole and in a stream."""
    kept = [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}]
    counts = {"inputTokens": 2, "outputTokens": 5, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 30}
    usage = {**counts, "cacheDetails": kept}
    body = {"output": {"message": {"content": [{"text": "a"}]}}, "stopReason": "end_turn", "usage": usage}
    wanted = Usage(42, 5, 10, 30, cache_write_1h_tokens=20)
    assert BEDROCK.decode(call_of(), body).usage == wanted
    decoder = BEDROCK.decoder()
    decoder.feed(BEGIN + delta(text="a") + finish() + event("metadata", usage=usage))
    assert (decoder.usage, decoder.complete) == (wanted, True)
