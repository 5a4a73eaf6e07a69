"""From a provider's refusal to our error tree: statuses, errors inside a 200, waiting times, what clients may read."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import errors
from gateway.errors import UpstreamError, UpstreamRejected
from gateway.providers.wire.errors import (
    MAX_MESSAGE,
    clean,
    error_fields,
    error_from_event,
    error_from_reply,
    retry_after,
)

STATUSES = [
    (301, errors.UpstreamRedirected, 502, "bad_upstream_response"),
    (307, errors.UpstreamRedirected, 502, "bad_upstream_response"),
    (401, errors.ProviderAuthFailed, 502, "provider_auth"),
    (402, errors.ProviderAuthFailed, 502, "provider_auth"),
    (403, errors.ProviderAuthFailed, 502, "provider_auth"),
    (408, errors.UpstreamRequestTimeout, 504, "upstream_timeout"),
    (409, errors.UpstreamConflict, 409, "upstream_conflict"),
    (424, errors.UpstreamServerError, 502, "upstream_error"),
    (429, errors.UpstreamRateLimited, 429, "upstream_rate_limited"),
    (500, errors.UpstreamServerError, 502, "upstream_error"),
    (502, errors.UpstreamServerError, 502, "upstream_error"),
    (503, errors.UpstreamOverloaded, 503, "upstream_overloaded"),
    (504, errors.UpstreamTimeout, 504, "upstream_timeout"),
    (529, errors.UpstreamOverloaded, 503, "upstream_overloaded"),
    (599, errors.UpstreamServerError, 502, "upstream_error"),
]
BODIES = [b"", b"<html>", b"{", b"\xff", b"[]", b"null", b"5", b'{"error":null}', b'{"error":{"message":"m"}}', b'"x"']


def test_lists_of_faults() -> None:
    """What FastAPI's servers say of a request names the first field that is wrong."""
    fault = {"type": "extra_forbidden", "loc": ["body", "foo"], "msg": "Extra inputs are not permitted", "input": 1}
    error = error_from_reply(422, [], json.dumps({"object": "error", "detail": [fault]}).encode())
    assert (error.public_status, error.param) == (422, "foo")
    assert error.public_message == "foo: Extra inputs are not permitted"
    odd: Any
    for odd in ([], [1], [{}], [{"msg": 7}], [{"msg": "x", "loc": 5}], {"a": 1}):
        assert error_from_reply(422, [], json.dumps({"detail": odd}).encode()).public_status == 422


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum prompt length is 131072 but the request contains 200000 tokens.",
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
    ],
)
def test_other_words_for_long_prompts(text: str) -> None:
    """xAI's and Alibaba's."""
    body = json.dumps({"error": {"message": text, "code": "x"}}).encode()
    assert error_from_reply(400, [], body).public_code == "context_length_exceeded"


@pytest.mark.parametrize(("status", "kind", "public", "code"), STATUSES)
@pytest.mark.parametrize("body", BODIES)
def test_statuses(status: int, kind: type[UpstreamError], public: int, code: str, body: bytes) -> None:
    """A status means the same whatever body comes with it, and that body's text stays here."""
    error = error_from_reply(status, [], body)
    assert type(error) is kind
    assert (error.public_status, error.public_code) == (public, code)
    assert error.public_message == kind.message


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_rejections_keep_status_and_text(status: int) -> None:
    """A refusal of the request reaches the client with its status, text, type, code and param; no failover."""
    fields = {
        "message": "Too long.",
        "type": "invalid_request_error",
        "code": "too_long",
        "param": "messages[0].content",
    }
    error = error_from_reply(status, [], json.dumps({"error": fields}).encode())
    assert isinstance(error, UpstreamRejected)
    found = (error.public_status, error.public_message, error.public_type, error.public_code, error.param)
    assert found == (status, "Too long.", "invalid_request_error", "too_long", "messages[0].content")
    assert not error.failover
    assert not error.counts_against_health


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "why"}},
        {"error": "why"},
        [{"error": {"message": "why"}}],
        {"object": "error", "message": "why", "type": "x", "code": 3},
        {"message": "why"},
        {"detail": "why"},
        {"error": None, "message": "why"},
        {"code": "x", "error": "why"},
    ],
)
def test_wrappings(body: Any) -> None:
    """Every usual wrapping of a message is understood."""
    assert error_fields(json.dumps(body).encode())["message"] == "why"


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "The total length of all messages is too long.",
        "Input exceeds the context window of this model",
    ],
)
def test_context_overflow(text: str) -> None:
    """A prompt that does not fit has one code, whatever the provider calls it."""
    body = json.dumps({"error": {"message": text, "code": "invalid_request_error"}}).encode()
    error = error_from_reply(400, [], body)
    assert type(error) is errors.UpstreamContextWindow
    assert (error.public_code, error.fallback_on) == ("context_length_exceeded", "context_window")


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (400, {"message": "m", "code": "content_filter"}),
        (400, {"message": "m", "code": "content_policy_violation", "type": "image_generation_user_error"}),
        (400, {"message": "m", "type": "content_filter"}),
        (400, {"message": "m", "code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}),
        (400, {"message": "The prompt triggered Azure OpenAI's content management policy."}),
        (400, {"message": "Your request was rejected as a result of our safety system."}),
        (403, {"message": 'This model requires moderation and your input was flagged for "violence".', "code": 403}),
        (422, {"message": "Output blocked by content filtering policy", "code": None}),
    ],
)
def test_content_filters(status: int, fields: dict[str, Any]) -> None:
    """A refusal by a filter has its own kind, and blames neither our credential nor the provider's health."""
    error = error_from_reply(status, [], json.dumps({"error": fields}).encode())
    assert type(error) is errors.UpstreamContentFiltered
    assert (error.fallback_on, error.outcome, error.reason) == ("content_filter",) * 3
    assert error.public_status in (400, 422)
    assert error.public_code
    assert not error.counts_against_health


def test_a_403_without_a_filters_words_is_our_credentials() -> None:
    """Only what speaks of content is the client's."""
    body = json.dumps({"error": {"message": "Country not supported.", "code": "unsupported_country"}}).encode()
    assert type(error_from_reply(403, [], body)) is errors.ProviderAuthFailed


def test_insufficient_quota_is_the_operators() -> None:
    """429 `insufficient_quota` is our account's trouble, in code or type, not a rate limit of the client."""
    for name in ("code", "type"):
        body = json.dumps({"error": {"message": "m", name: "insufficient_quota"}}).encode()
        assert type(error_from_reply(429, [], body)) is errors.ProviderAuthFailed


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429}, errors.UpstreamRateLimited),
        ({"code": "429"}, errors.UpstreamRateLimited),
        ({"code": 401}, errors.ProviderAuthFailed),
        ({"status": 503}, errors.UpstreamOverloaded),
        ({"status_code": 504}, errors.UpstreamTimeout),
        ({"code": 400, "message": "bad"}, errors.UpstreamRejected),
        ({"type": "rate_limit_error"}, errors.UpstreamRateLimited),
        ({"code": "rate_limit_exceeded"}, errors.UpstreamRateLimited),
        ({"type": "overloaded_error"}, errors.UpstreamOverloaded),
        ({"type": "authentication_error"}, errors.ProviderAuthFailed),
        ({"code": "invalid_api_key", "type": "invalid_request_error"}, errors.ProviderAuthFailed),
        ({"type": "permission_error"}, errors.ProviderAuthFailed),
        ({"type": "billing_error"}, errors.ProviderAuthFailed),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, errors.ProviderAuthFailed),
        ({"code": "context_length_exceeded"}, errors.UpstreamContextWindow),
        ({"code": "content_filter"}, errors.UpstreamContentFiltered),
        ({"type": "invalid_request_error"}, errors.UpstreamRejected),
        ({"code": "model_not_found"}, errors.UpstreamRejected),
        ({"code": "moderation_blocked", "type": "image_generation_user_error"}, errors.UpstreamContentFiltered),
        ({"code": "data_inspection_failed", "message": "m"}, errors.UpstreamContentFiltered),
        ({"code": "bio_policy", "message": "m"}, errors.UpstreamContentFiltered),
        ({"code": "image_too_large", "message": "m"}, errors.UpstreamRejected),
        ({"code": "failed_to_download_image", "message": "m"}, errors.UpstreamRejected),
        ({"code": "server_error", "type": "image_generation_server_error"}, errors.UpstreamServerError),
        ({"type": "server_error"}, errors.UpstreamServerError),
        ({"code": True}, errors.UpstreamServerError),
        ({"code": 1302}, errors.UpstreamServerError),
        ("boom", errors.UpstreamServerError),
        ([1], errors.UpstreamServerError),
    ],
)
def test_errors_inside_a_200(error: Any, kind: type[UpstreamError]) -> None:
    """An error inside a 200 is classified by the status in it, else by its words, else as the provider's fault."""
    assert type(error_from_event(error)) is kind


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.sampled_from(["message", "code", "type", "status", "param", "status_code"]), JSON_VALUES)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(300, 600), FIELDS, st.binary(max_size=20))
def test_any_error_is_an_upstream_error(status: int, fields: dict[str, Any], junk: bytes) -> None:
    """Whatever a provider sends as an error, the result is one of ours with text, and nothing raises."""
    for error in (
        error_from_reply(status, [(b"retry-after", junk)], json.dumps({"error": fields}).encode()),
        error_from_reply(status, [], junk),
        error_from_event(fields),
    ):
        assert isinstance(error, UpstreamError)
        assert error.public_message
        assert 400 <= error.public_status < 600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.25", 0.25), ("0", 0.0), (" 2 ", 2.0), ("-5", 0.0), ("86400", 120.0), ("1e3", 120.0)]
    + [
        (junk, None)
        for junk in ("", "soon", "nan", "inf", "-inf", "37s", "1 2", "\xff", "0x10", "Sun, 99 Nov 1994 08:49:37 GMT")
    ]
    + [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 +99999999999999", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    """Seconds, fractions and dates are read, bounded by 0 and 120; everything else tells nothing."""
    assert retry_after([(b"retry-after", value.encode("latin-1"))]) == seconds


def test_retry_after_dates_and_milliseconds() -> None:
    """A date counts from now in GMT whatever the local zone; `retry-after-ms` wins over the coarser header."""
    found = retry_after([(b"retry-after", formatdate(time.time() + 60, usegmt=True).encode())])
    assert found is not None
    assert 55 < found <= 60
    assert retry_after([(b"retry-after", b"2"), (b"retry-after-ms", b"1500")]) == 1.5
    assert retry_after([(b"retry-after", b"2"), (b"retry-after-ms", b"junk")]) == 2.0


def test_waits_reach_the_error() -> None:
    """429 and 503 carry the provider's wait; a bare 429 means five seconds."""
    wait = [(b"retry-after", b"7")]
    assert error_from_reply(429, wait, b"").retry_after == 7
    bare, told = error_from_reply(429, [], b""), error_from_reply(429, wait, b"")
    assert isinstance(bare, errors.UpstreamRateLimited)
    assert isinstance(told, errors.UpstreamRateLimited)
    assert (bare.retry_after, bare.bare, told.bare) == (5, True, False)
    assert error_from_reply(503, wait, b"").retry_after == 7
    assert error_from_reply(503, [], b"").retry_after == 1


SECRETS = st.sampled_from(
    [
        "sk-proj-abcdefghijklmnop",
        "sk-ant-api03-abcdefghijkl",
        "gsk_abcdefghijklmnop",
        "xai-abcdefghijklmnop",
        "hf_abcdefghijklmnop",
        "pplx-abcdefghijklmnop",
        "csk-abcdefghijklmnop",
        "AIzaSyAbcdefghijklmnop",
        "AKIAABCDEFGHIJKLMNOP",
        "ya29.abcdefghijklmnopqrst",
        "Bearer abcdefghijklmnop",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0",
    ]
)
LINKS = st.sampled_from(["https://internal.example/v1?key=1", "HTTP://10.0.0.1:8080/x", "wss://host/path"])
WORDS = st.text(alphabet=st.characters(codec="utf-8"), max_size=12)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(WORDS, SECRETS, LINKS), max_size=8), st.sampled_from([" ", "\n", "'", '"', "\x00", "("]))
def test_nothing_secret_passes(parts: list[str], gap: str) -> None:
    """Keys, tokens, URLs and control characters never pass, and the text is bounded, also through a whole reply."""
    text = gap.join(parts)
    body = json.dumps({"error": {"message": text, "code": text, "type": text, "param": text}}).encode()
    error = error_from_reply(400, [], body)
    for shown in (clean(text), error.public_message, error.public_code, error.param, error.public_type):
        if shown is None:
            continue
        assert len(shown) <= MAX_MESSAGE
        assert shown.isprintable()
        assert "abcdefghijkl" not in shown
        assert "ABCDEFGHIJKL" not in shown
        assert "eyJhbGci" not in shown
        assert "internal.example" not in shown
        assert "10.0.0.1" not in shown


def test_long_text_is_cut_after_it_is_cleaned() -> None:
    """A key at the place where the text is cut leaves no half behind."""
    for at in range(MAX_MESSAGE - 30, MAX_MESSAGE):
        assert "abcdef" not in clean("x" * (at - 1) + " sk-proj-abcdefghijklmnop")
