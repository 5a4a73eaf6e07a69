"""The error tree: what every class shows to clients, and that nothing else gets out."""

from __future__ import annotations

import inspect
import logging
import math
import pickle
from typing import Any

import pytest

from gateway import errors
from gateway.errors import (
    ClientGone,
    GatewayError,
    MethodNotAllowed,
    OperatorError,
    Refused,
    UpstreamError,
    UpstreamRejected,
)
from gateway.errors.taxonomy import TYPES as TAXONOMY
from gateway.errors.taxonomy import standard_type
from gateway.http.errors import DONE, error_body, error_frame, error_headers
from gateway.registry.schema.routes import Failure
from gateway.types import Service
from tests.support.app import events_of

CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, GatewayError) and found.__module__.startswith(errors.__name__)
]
TYPES = {
    "server_error",
    "invalid_request_error",
    "permission_error",
    "rate_limit_error",
    "insufficient_quota",
}
FALLBACKS = set(Failure.__args__)  # type: ignore[attr-defined]  # a Literal's words


def made(kind: type[GatewayError], **fields: Any) -> GatewayError:
    """An instance, whatever its class insists on."""
    return kind(allow="POST", **fields) if kind is MethodNotAllowed else kind(**fields)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
class TestEveryError:
    def test_it_has_a_whole_public_face(self, kind: type[GatewayError]) -> None:
        """Each class answers with a status, a sentence, a known type, and a bounded label."""
        error = made(kind)
        assert 400 <= error.public_status < 600
        assert error.public_type in TYPES
        assert error.public_message
        assert error.public_message[-1] in ".`"
        assert error.public_code is None or error.public_code.replace("_", "").isalpha()
        assert error.reason.replace("_", "").isalnum()
        assert error.log_level in (logging.INFO, logging.WARNING, logging.ERROR)
        assert error.__doc__

    def test_it_has_a_standard_word(self, kind: type[GatewayError]) -> None:
        """Each class has a word of the standard vocabulary, the general one only where no other fits."""
        error = made(kind)
        general = {
            "internal_error",
            "upstream_error",
            "upstream_unreachable",
            "upstream_disconnected",
            "upstream_conflict",
        }
        for label in (error.reason, getattr(error, "outcome", error.reason)):
            assert standard_type(label) in TAXONOMY
        assert (standard_type(error.reason) == "api_error") == (error.reason in general)

    def test_its_body_has_the_four_fields(self, kind: type[GatewayError]) -> None:
        """All four fields of OpenAI's shape are there, null or not."""
        import orjson  # noqa: PLC0415

        body = orjson.loads(error_body(made(kind)))
        assert list(body) == ["error"]
        assert list(body["error"]) == ["message", "type", "param", "code"]

    def test_its_frame_ends_the_stream(self, kind: type[GatewayError]) -> None:
        """In a stream it is one event that SDKs raise on, then `[DONE]`."""
        for service in Service:
            frame = error_frame(made(kind), service, 7)
            assert frame.endswith(b"\n\n" + DONE)
            event, done = events_of(frame)
            assert done == "[DONE]"
            assert event["error"]["message"]
            assert event.get("sequence_number") == (7 if service is Service.RESPONSES else None)

    def test_its_type_fits_its_status(self, kind: type[GatewayError]) -> None:
        """5xx are server errors, 429 are limits, 401 blames only the client's own key."""
        error = made(kind)
        if error.public_status >= 500:
            assert error.public_type == "server_error"
        if error.public_status == 429:
            assert error.public_type in ("rate_limit_error", "insufficient_quota")
        if error.public_status == 401:
            assert error.public_code == "invalid_api_key"
        if isinstance(error, UpstreamError):
            assert error.public_status != 401
            assert error.fallback_on in FALLBACKS
            assert error.outcome

    def test_sdks_are_told_whether_to_retry(self, kind: type[GatewayError]) -> None:
        """Every refusal that an SDK would retry by itself says `x-should-retry`."""
        error = made(kind)
        headers = dict(error_headers(error))
        if error.public_status >= 429 and kind is not ClientGone:
            assert headers[b"x-should-retry"] in (b"true", b"false")
        if 400 <= error.public_status < 500 and error.public_status not in (408, 409, 429, 499):
            assert headers[b"x-should-retry"] == b"false"

    @pytest.mark.parametrize("wait", [0.0, 0.001, 0.4, 1.0, 119.2, 1e9, math.inf, math.nan])
    def test_any_wait_makes_a_sane_header(self, kind: type[GatewayError], wait: float) -> None:
        """`retry-after` is a whole number from 1 to 120 whatever a provider asked for."""
        error = made(kind)
        error.retry_after = wait
        headers = dict(error_headers(error))
        if error.public_status in (429, 503):
            assert 1 <= int(headers[b"retry-after"]) <= 120
            assert 1 <= int(headers[b"retry-after-ms"]) <= 120_000
        else:
            assert b"retry-after" not in headers


def test_one_code_has_one_status() -> None:
    """A code never means two different statuses."""
    by_code: dict[str, set[int]] = {}
    for kind in CLASSES:
        error = made(kind)
        if error.public_code is not None and kind is not Refused:
            by_code.setdefault(error.public_code, set()).add(error.public_status)
    assert {code: found for code, found in by_code.items() if len(found) > 1} == {}


def test_foreign_text_reaches_clients_only_through_a_rejection() -> None:
    """Of the upstream's errors only `UpstreamRejected` takes status, type and code from outside."""
    rejected = UpstreamRejected("text", upstream_status=422, upstream_type="odd_error", upstream_code="odd", param="p")
    assert (rejected.public_status, rejected.public_type, rejected.public_code) == (422, "odd_error", "odd")
    for kind in CLASSES:
        if issubclass(kind, UpstreamError) and not issubclass(kind, UpstreamRejected):
            assert "upstream_status" not in inspect.signature(kind).parameters


def test_operator_errors_are_apart() -> None:
    """What the operator must change is never sent to a client."""
    assert not issubclass(OperatorError, GatewayError)
    assert pickle.loads(pickle.dumps(OperatorError("text"))).args == ("text",)
