"""Signature Version 4, against AWS's own published test suite and against signatures that its SDK made."""

from __future__ import annotations

import calendar
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ports import SigningDialect
from gateway.providers.amazon.sigv4 import Keys, Scope, Target, canonical_request, signed
from gateway.types import Headers
from tests.support.translated import call_of

from .bedrock import BEDROCK, OSS, USER

NOW = calendar.timegm((2015, 8, 30, 12, 36, 0))
PLAIN = Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SUITE_TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7"
    "mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d"
    "+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
HAIKU = "/model/anthropic.claude-3-haiku-20240307-v1%3A0/converse"
PROFILE = (
    "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2F"
    "us.anthropic.claude-sonnet-4-20250514-v1%3A0/converse-stream"
)
TALK = b'{"messages":[]}'


def signature(headers: Headers) -> str:
    return dict(headers)[b"authorization"].decode().rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "token", "service", "wanted"),
    [
        # get-vanilla, post-vanilla, get-vanilla-query-order-key-case and post-sts-header-before of the published suite
        ("GET", "/", "", b"", None, "service", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("POST", "/", "", b"", None, "service", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "GET",
            "/",
            "Param2=value2&Param1=value1",
            b"",
            None,
            "service",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        (
            "POST",
            "/",
            "",
            b"",
            SUITE_TOKEN,
            "service",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
        # made by botocore 1.44: encoded names of models, session tokens, the other service, a query
        ("POST", HAIKU, "", TALK, None, "bedrock", "8d005157d7956ea3242a348664123f3204d7e79ed268dddfd2c348eb3564deed"),
        (
            "POST",
            PROFILE,
            "",
            TALK,
            "TOKEN+/==",
            "bedrock",
            "a1b112cdf4375c1f2ca3546cecd0ecf229aa2914f4fd983f0741b2b63c417623",
        ),
        (
            "POST",
            "/openai/v1/chat/completions",
            "",
            b"{}",
            None,
            "bedrock-mantle",
            "e557debe6130a1a51e2d4056eeb75aa4efe654d01ae4e025882a0cfdf8740486",
        ),
        (
            "GET",
            "/foundation-models",
            "byOutputModality=TEXT&byInferenceType=ON_DEMAND",
            b"",
            "T",
            "bedrock",
            "28750194fa23600a12fcd03d174eb55679bfb930f7a952c5430e522330fc506b",
        ),
    ],
)
def test_vectors(method: str, path: str, query: str, body: bytes, token: str | None, service: str, wanted: str) -> None:
    """The signature is the one that AWS computes."""
    keys = Keys(PLAIN.access_key_id, PLAIN.secret_access_key, token)
    target = Target(method, path, query, (("host", "example.amazonaws.com"),))
    assert signature(signed(target, [body], keys, Scope("us-east-1", service), NOW)) == wanted


def test_headers() -> None:
    """Who signed, for which day, region and service, and what was signed; the token travels beside it."""
    keys = Keys("AKID", "secret", "token")
    target = Target("POST", "/", "", (("host", "h"), ("x-amz-own", "a  b")))
    given = dict(signed(target, [b"x"], keys, Scope("eu-west-1", "bedrock"), NOW))
    assert given[b"x-amz-date"] == b"20150830T123600Z"
    assert given[b"x-amz-security-token"] == b"token"
    text = given[b"authorization"].decode()
    assert text.startswith("AWS4-HMAC-SHA256 Credential=AKID/20150830/eu-west-1/bedrock/aws4_request, ")
    assert "SignedHeaders=host;x-amz-date;x-amz-own;x-amz-security-token, " in text


def test_paths_are_encoded_once_more() -> None:
    """What is sent encoded is encoded again in what is signed; blanks inside of a header are one."""
    target = Target("POST", "/model/a%3Ab/converse", "", ())
    text = canonical_request(target, [("host", "h"), ("x", " a   b ")], "host;x", "digest")
    assert text == "POST\n/model/a%253Ab/converse\n\nhost:h\nx:a b\n\nhost;x\ndigest"


@given(st.binary(max_size=200), st.integers(0, 200))
def test_parts_of_a_body(body: bytes, at: int) -> None:
    """A body in parts is signed as the whole."""
    target, scope = Target("POST", "/"), Scope("r", "s")
    whole = signed(target, [body], PLAIN, scope, NOW)
    assert signed(target, [body[:at], body[at:]], PLAIN, scope, NOW) == whole


def test_secrets_are_not_shown() -> None:
    """Keys in a message of an error would be keys in a log."""
    assert "wJalr" not in repr(PLAIN)
    assert "token" not in repr(Keys("a", "b", "token"))


def test_what_bedrock_signs() -> None:
    """A provider with an access key signs host, own headers and body; one with an API key does not sign at all."""
    own = {"region": "eu-west-1", "access_key_id": "AKID", "secret_access_key": "secret"}
    to = BEDROCK.deployment(options=own, headers=(("x-amz-own", "1"), ("x-other", "2")))
    call = call_of(messages=[USER])
    dialect = BEDROCK.dialect
    assert isinstance(dialect, SigningDialect)
    parts = [json.dumps(BEDROCK.sent(call)).encode()]
    text = dict(dialect.sign(dialect.head(call, to, None), parts, to.provider, NOW))[b"authorization"]
    assert b"/eu-west-1/bedrock/aws4_request, SignedHeaders=host;x-amz-date;x-amz-own, " in text
    keyed = BEDROCK.deployment(options=own, api_keys=("key",))
    assert not dialect.sign(dialect.head(call, keyed, "key"), parts, keyed.provider, NOW)
    assert dict(dialect.head(call, keyed, "key").headers)[b"authorization"] == b"Bearer key"


def test_the_other_service() -> None:
    """OpenAI's models at `bedrock-mantle` are signed for that service."""
    mantle = "https://bedrock-mantle.eu-west-1.api.aws/openai/v1"
    own = {"region": "eu-west-1", "access_key_id": "AKID", "secret_access_key": "s", "openai_base_url": mantle}
    to, call = BEDROCK.deployment(OSS, options=own), call_of(messages=[USER])
    head = BEDROCK.dialect.head(call, to, None)
    assert head.target == b"/openai/v1/chat/completions"
    assert isinstance(BEDROCK.dialect, SigningDialect)
    text = dict(BEDROCK.dialect.sign(head, [b""], to.provider, NOW))[b"authorization"]
    assert b"/eu-west-1/bedrock-mantle/aws4_request" in text
