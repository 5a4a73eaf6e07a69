"""What the API refuses, and how: status, OpenAI's error shape with all four fields, `param`, headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.rig import Rig, chat_body, rigged

LIMIT = 4096


@pytest.fixture(scope="module")
def shared() -> Iterator[Rig]:
    with rigged(max_body_bytes=LIMIT) as rig:
        yield rig


@pytest.fixture
def rig(shared: Rig) -> Rig:
    return shared.fresh()


def post(rig: Rig, raw: bytes, path: str = "/v1/chat/completions") -> Any:
    """The error that this body gets; nothing of it may reach an upstream."""
    reply = rig.gateway.post(path, raw)
    assert not rig.a.received
    assert not rig.b.received
    assert reply.header("content-type") == "application/json"
    assert reply.header("x-request-id")
    assert reply.header("x-gateway-revision")
    return reply.status, reply.error


# ---- paths and methods


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nothing",
        "/v1",
        "/v1/",
        "/v1/chat/completions/",
        "/v1//chat/completions",
        "/v1/chat/completions/x",
        "/openai/v2/chat/completions",
        "/openai/deployments//chat/completions",
        "/openai/deployments/m/nothing",
        "/providers/a/chat/completions",
        "/providers//v1/chat/completions",
        "/providers/a/v2/chat/completions",
        "/nothing",
        "/",
    ],
)
def test_unknown_paths_are_404_in_the_api_shape(rig: Rig, path: str) -> None:
    """A path that does not exist answers 404 `unknown_url`, wherever it is."""
    reply = rig.gateway.post(path, chat_body("m"))
    assert reply.status == 404
    assert reply.error["code"] == "unknown_url"
    assert reply.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("/v1/files", "this gateway does not serve that part of the API"),
        ("/v1/batches/batch_1/cancel", "this gateway does not serve that part of the API"),
        ("/openai/files", "this gateway does not serve that part of the API"),
        ("/openai/v1/vector_stores", "this gateway does not serve that part of the API"),
        ("/providers/a/v1/realtime/client_secrets", "this gateway does not serve that part of the API"),
        ("/v1/chat/completions/chatcmpl-1", "this gateway does not serve that part of the API"),
        ("/v1/messages/batches", "this gateway does not serve that part of the API"),
        ("/v1/v1/messages", "`/v1` is there twice"),
        ("/v1/chat/completions/", "leave out the slash at its end"),
        ("/v1/file", "check the path against the API reference"),
    ],
)
def test_an_unknown_path_is_told_what_is_wrong_with_it(rig: Rig, path: str, advice: str) -> None:
    """Whoever asks for a part of the API that is not served is not sent to read where it is described."""
    message = rig.gateway.post(path, b"{}").json["error"]["message"]
    assert message.startswith(f"Unknown request URL: {path}; {advice}")


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b'{"model":"m",}', "trailing comma in object (byte 13)"),
        (b'{"model":"m","temperature":NaN}', "invalid character (byte 27)"),
        (b'{"model":"m","messages":[', "it ends too early"),
        (b'{"model":"m","user":"secret\\ud83d, cut in half"}', "surrogate"),
    ],
)
def test_what_is_wrong_with_a_body_is_said_with_its_place(rig: Rig, raw: bytes, why: str) -> None:
    """The byte, and nothing of what stands there."""
    status, error = post(rig, raw)
    assert (status, error["code"]) == (400, "invalid_json")
    assert why in error["message"]
    assert "secret" not in error["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_model_that_nobody_has_is_named(rig: Rig, path: str) -> None:
    """An application has many, and some paths have a default."""
    body = {"model": "no-such/model", "messages": [], "max_tokens": 1}
    assert "model `no-such/model` does not exist" in rig.gateway.post(path, body).json["error"]["message"]
    status, error = post(rig, b'{"input":"x"}', "/v1/moderations")
    assert (status, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "`omni-moderation-latest`" in error["message"]
    assert "\n" not in rig.gateway.get("/v1/models/a%0Ab").json["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/m", "GET"),
        ("PUT", "/providers/a/v1/responses", "POST"),
        ("GET", "/openai/deployments/m/chat/completions", "POST"),
        ("POST", "/metrics", "GET"),
    ],
)
def test_a_wrong_method_names_the_right_one(rig: Rig, method: str, path: str, allow: str) -> None:
    """405 carries `allow` and OpenAI's shape."""
    with rig.gateway.client() as client:
        client.send(method, path, b"")
        reply = client.reply()
    assert reply.status == 405
    assert reply.error["code"] == "method_not_supported"
    assert allow in (reply.header("allow") or "").split(", ")


@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1", "/providers/a/v1"])
@pytest.mark.parametrize(
    ("rest", "words"),
    [
        ("resp_1", "Stored responses"),
        ("resp_1/cancel", "Stored responses"),
        ("resp_1/input_items", "Stored responses"),
        ("input_tokens", "`/v1/responses/input_tokens` is not served"),
        ("compact", "`/v1/responses/compact` is not served"),
    ],
)
def test_what_is_below_responses_is_told_apart(rig: Rig, prefix: str, rest: str, words: str) -> None:
    """A stored response is not fetched; what has nothing to do with one is not served, and the answer says so."""
    reply = rig.gateway.post(f"{prefix}/responses/{rest}", {"model": "m", "input": "hi"})
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")
    assert words in reply.error["message"]


@pytest.mark.parametrize("path", ["/v1/responses/other", "/v1/responses/", "/v1/responses/compact/x"])
def test_what_nobody_has_below_responses_is_any_unknown_path(rig: Rig, path: str) -> None:
    """Nothing is said of stored responses there."""
    reply = rig.gateway.post(path, chat_body("m"))
    assert (reply.status, reply.error["code"]) == (404, "unknown_url")
    assert "Stored" not in reply.error["message"]


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/m", "/openai/v1/models", "/providers/a/v1/models", "/v1/models/none"]
)
def test_models_are_there_to_head(rig: Rig, path: str) -> None:
    """HEAD is GET without the body: the same status and headers, and the connection goes on."""
    with rig.gateway.client() as client:
        client.send("GET", path, b"")
        got = client.reply()
        client.send("HEAD", path, b"")
        found = client.head()
        assert found.status == got.status == (404 if path.endswith("none") else 200)
        assert found.header("content-length") == got.header("content-length") == str(len(got.body))
        client.send("GET", path, b"")
        assert client.reply().body == got.body


# ---- bodies


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"nonsense",
        b'{"model":"m",}',
        b"[]",
        b'[{"model":"m"}]',
        b'"m"',
        b"null",
        b"1",
        b"true",
        b'{"model":"m"} trailing',
        b'{"model":"m"}{"model":"m"}',
        b"\xef\xbb\xbf" + b'{"model":"m"}',
        b'{"model":"\xff"}',
        b"{'model':'m'}",
        b'{"model":"m","x":NaN}',
        b'{"model":"m","x":"\x01"}',
    ],
)
def test_what_is_no_json_object_is_400_invalid_json(rig: Rig, raw: bytes) -> None:
    """Anything but one JSON object is refused before a provider hears of it."""
    status, error = post(rig, raw)
    assert status == 400
    assert error["code"] == "invalid_json"
    assert error["param"] is None


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"messages":[]}',
        b'{"model":null}',
        b'{"model":1}',
        b'{"model":["m"]}',
        b'{"model":{"model":"m"}}',
        b'{"model":true}',
        b'{"model":""}',
        b'{"model":"a\\u0000b"}',
        b'{"model":"a\\nb"}',
        b'{"model":"' + b"m" * 257 + b'"}',
        b'{"MODEL":"m"}',
        b'{"messages":[{"model":"m"}]}',
        b'{"model":"m","model":"m"}',
        b'{"model":"m","Model":"other"}',
        b'{"MODEL":"other","model":"m"}',
        b'{"model":"m","\\u006dodel":"other"}',
        b'{"\\u006Dodel":"other","model":"m"}',
        b'{"model":"m","m\\u004fDEL":1}',
        b'{"model":"m","messages":[{"model":"x"}],"model":"other"}',
    ],
)
def test_the_model_must_be_there_once_as_a_string(rig: Rig, raw: bytes) -> None:
    """Missing, empty, not a string, spelled twice in any case or escape: 400 with `param: model`."""
    status, error = post(rig, raw)
    assert status == 400
    assert error["param"] == "model"
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 2**31}, "max_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_completion_tokens": [1]}, "max_completion_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"max_completion_tokens": 5, "max_tokens": -1}, "max_tokens"),
        ({"max_output_tokens": 2**31}, "max_output_tokens"),
        ({"n": 10**12}, "n"),
        ({"n": -1}, "n"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": "x"}}, "stream_options.include_usage"),
        ({"user": 5}, "user"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(rig: Rig, fields: dict[str, Any], param: str) -> None:
    """The few fields that are read are checked, and `param` says which one is wrong."""
    status, error = post(rig, json.dumps(chat_body("m", **fields)).encode())
    assert status == 400
    assert error["param"] == param


def test_an_unknown_encoding_of_vectors_is_refused(rig: Rig) -> None:
    """`encoding_format` is float or base64."""
    status, error = post(rig, b'{"model":"m","input":"x","encoding_format":"hex"}', "/v1/embeddings")
    assert (status, error["param"]) == (400, "encoding_format")


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused_and_128_levels_are_not(rig: Rig, opening: bytes) -> None:
    """129 levels over the whole body are a 400; 128 pass; brackets inside strings do not count."""
    closing = b"]" if opening == b"[" else b"}"

    def nested(levels: int) -> bytes:
        return b'{"model":"m","x":' + opening * levels + b"0" + closing * levels + b"}"

    status, error = post(rig, nested(128))
    assert status == 400
    assert "128" in error["message"]
    assert rig.gateway.post("/v1/chat/completions", nested(127)).status == 200
    in_text = b'{"model":"m","x":"' + b"[" * 300 + b'\\""}'
    assert rig.gateway.post("/v1/chat/completions", in_text).status == 200


# ---- size


def test_a_declared_size_over_the_limit_is_refused_before_it_is_sent(rig: Rig) -> None:
    """413 comes while the client has sent nothing of its body, and the connection is not kept."""
    with rig.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", b"", [("content-type", "application/json")], length=LIMIT + 1)
        reply = client.reply()
    assert reply.status == 413
    assert reply.header("connection") == "close"
    assert reply.error["code"] == "request_too_large"
    assert str(LIMIT) in reply.error["message"]


def test_a_chunked_body_over_the_limit_is_refused_while_it_arrives(rig: Rig) -> None:
    """413 comes with the chunk that exceeds the limit; the end of the body is not waited for."""
    with rig.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", b"", [("transfer-encoding", "chunked")])
        client.write(b"%x\r\n%b\r\n" % (LIMIT, b" " * LIMIT))
        client.write(b"1\r\n \r\n")
        reply = client.reply()
    assert reply.status == 413
    assert reply.error["code"] == "request_too_large"


def test_a_body_of_exactly_the_limit_is_served(rig: Rig) -> None:
    """The limit itself is allowed."""
    raw = b'{"model":"m","x":"' + b"x" * (LIMIT - 20) + b'"}'
    assert len(raw) == LIMIT
    assert rig.gateway.post("/v1/chat/completions", raw).status == 200


# ---- types and encodings


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", "text/plain"),
        ("/v1/chat/completions", "multipart/form-data; boundary=x"),
        ("/v1/chat/completions", "application/x-www-form-urlencoded"),
        ("/v1/audio/transcriptions", "application/json"),
        ("/v1/images/variations", "application/json"),
    ],
)
def test_other_content_types_are_415(rig: Rig, path: str, kind: str) -> None:
    """A path says which body it takes."""
    reply = rig.gateway.post(path, b'{"model":"m"}', [("content-type", kind)])
    assert reply.status == 415
    assert reply.error["code"] == "unsupported_media_type"
    assert not rig.a.received


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"])
def test_every_spelling_of_json_is_taken(rig: Rig, kind: str) -> None:
    """Parameters, case and structured suffixes do not matter."""
    assert rig.gateway.post("/v1/chat/completions", chat_body("m"), [("content-type", kind)]).status == 200


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "zstd"])
def test_compressed_requests_are_415(rig: Rig, coding: str) -> None:
    """A request's Content-Encoding is refused, so that no bomb is ever unpacked."""
    reply = rig.gateway.post("/v1/chat/completions", chat_body("m"), [("content-encoding", coding)])
    assert reply.status == 415
    assert not rig.a.received


# ---- models


@pytest.mark.parametrize("model", ["unheard", "a/unheard", "nobody/m", "a/", "/m", "resting/asleep", "asleep"])
def test_a_model_that_nobody_serves_is_404(rig: Rig, model: str) -> None:
    """404 `model_not_found` with `param: model`, before anything is sent."""
    status, error = post(rig, json.dumps(chat_body(model)).encode())
    assert status == 404
    assert (error["code"], error["param"]) == ("model_not_found", "model")


@pytest.mark.parametrize("given", ["abc-1.2:3_X", "0"])
def test_a_sane_request_id_is_echoed(rig: Rig, given: str) -> None:
    """`x-request-id` of the client comes back, on errors too."""
    assert rig.gateway.chat("m", [("x-request-id", given)]).header("x-request-id") == given
    assert rig.gateway.chat("unheard", [("x-request-id", given)]).header("x-request-id") == given


@pytest.mark.parametrize("given", ["-x", "a b", "x" * 129, "é", "a,b", "<script>"])
def test_an_odd_request_id_is_replaced(rig: Rig, given: str) -> None:
    """What could confuse a log or a header is not echoed."""
    found = rig.gateway.chat("m", [("x-request-id", given)]).header("x-request-id")
    assert found is not None
    assert found != given
    assert found.startswith("req-")


def test_refusals_are_logged_with_their_reason(rig: Rig) -> None:
    """Every refusal is one line of the access log, its `reason` the error's label."""
    reply = rig.gateway.post("/v1/chat/completions", b"{")
    line = rig.gateway.line(reply.header("x-request-id") or "")
    assert (line["status"], line["reason"], line["attempts"]) == (400, "invalid_json", 0)


# ---- overload


def test_more_than_may_be_in_flight_is_shed() -> None:
    """503 `overloaded` comes at once, says when to come back, and the place is free again afterwards."""
    from tests.support.steps import json_reply, sleep  # noqa: PLC0415

    with rigged(max_in_flight=1) as rig, rig.gateway.client() as first:
        rig.a.then([sleep(30)])
        first.post("/v1/chat/completions", chat_body("m"))
        rig.a.wait_until(lambda: len(rig.a.received) == 1)
        shed = rig.gateway.chat("m")
        assert shed.status == 503
        assert shed.error["code"] == "overloaded"
        assert (shed.header("retry-after"), shed.header("x-should-retry")) == ("1", "true")
        first.socket.close()
        rig.a.default = json_reply({"id": 1})
        rig.fresh()
        assert rig.gateway.chat("m").status == 200


def test_text_that_is_no_utf_8_is_no_json(rig: Rig) -> None:
    """Nowhere in the body, not only in the fields that are read."""
    status, error = post(rig, b'{"model":"m","messages":[{"role":"user","content":"\xff\xfe"}]}')
    assert (status, error["code"]) == (400, "invalid_json")
