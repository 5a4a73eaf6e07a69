"""What the API refuses, and how: status, OpenAI's error shape with all four fields, `param`, headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from gateway.http import server
from tests.support.app import until
from tests.support.rig import Rig, chat_body, keys_config, rigged, secret

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


# ---- keys


def test_keys_are_required_once_one_is_configured() -> None:
    """Without a right key it is 401 before the body is read; each of three headers can carry one."""
    token = secret()
    with rigged(keys_config(f"name: k, secret: {token}")) as rig:
        gateway = rig.gateway
        for headers in (
            [],
            [("authorization", "Bearer wrong")],
            [("authorization", "Bearer")],
            [("authorization", token)],
            [("authorization", f"Basic {token}")],
            [("x-api-key", token[:-1])],
            [("authorization", f"Bearer {token}x")],
            [("authorization", "Bearer ' OR '1'='1")],
        ):
            with gateway.client() as client:
                client.send("POST", "/v1/chat/completions", b"", headers, length=100)
                reply = client.reply()
            assert reply.status == 401, headers
            assert reply.error["code"] == "invalid_api_key"
            assert token not in reply.body.decode()
        for headers in (
            [("authorization", f"Bearer {token}")],
            [("authorization", f"bearer  {token} ")],
            [("x-api-key", token)],
            [("api-key", token)],
        ):
            assert gateway.chat("m", headers).status == 200, headers
        assert gateway.get("/v1/models").status == 401
        assert gateway.get("/v1/models", [("api-key", token)]).status == 200
        assert gateway.get("/healthz").status == 200


def test_a_configured_key_is_enough_for_any_host() -> None:
    """With keys the gateway is no longer bound to loopback names."""
    token = secret()
    with rigged(keys_config(f"name: k, secret: {token}")) as rig:
        foreign = [("host", "gateway.example"), ("origin", "https://app.example")]
        headers = [("authorization", f"Bearer {token}"), *foreign]
        assert rig.gateway.chat("m", headers).status == 200


@pytest.mark.parametrize("host", ["h/?", "h/#", "h/#@x", "evil.example", "h/v1/models"])
def test_no_host_header_gets_past_a_key(host: str) -> None:
    """The path that was routed decides about the key, never a URL rebuilt from Host."""
    with rigged(keys_config(f"name: k, secret: {secret()}")) as rig:
        for path in ("/v1/chat/completions", "/openai/v1/chat/completions", "/providers/a/v1/chat/completions"):
            assert rig.gateway.post(path, chat_body("m"), [("host", host)]).status in (400, 401)
        assert not rig.a.received


def test_a_key_may_use_only_its_models() -> None:
    """403 `model_access_denied` for others, in every place a model can be named; the list shows only its own."""
    token = secret()
    with rigged(keys_config(f'name: k, secret: {token}, models: ["alias", "a/up*"]')) as rig:
        key = [("authorization", f"Bearer {token}")]
        assert rig.gateway.chat("alias", key).status == 200
        assert rig.gateway.chat("a/upstream-private-a", key).status == 200
        refused = [
            rig.gateway.chat("m", key),
            rig.gateway.chat("a/m", key),
            rig.gateway.chat("upstream-private-a", key),
            rig.gateway.chat("unheard", key),
            rig.gateway.post("/openai/deployments/m/chat/completions", chat_body("alias"), key),
            rig.gateway.post("/providers/a/v1/chat/completions", chat_body("m"), key),
        ]
        for reply in refused:
            assert reply.status == 403
            assert reply.error["code"] == "model_access_denied"
            assert reply.header("x-should-retry") == "false"
        assert [model["id"] for model in rig.gateway.get("/v1/models", key).json["data"]] == ["alias"]
        assert rig.gateway.get("/v1/models/m", key).status == 404


# ---- open mode


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.8.8.8"])
def test_open_mode_serves_loopback_names(rig: Rig, host: str) -> None:
    """Without keys any loopback name or address in Host is served, with or without some key."""
    assert rig.gateway.chat("m", [("host", host)]).status == 200
    assert rig.gateway.chat("m", [("host", host), ("authorization", "Bearer anything")]).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:80",
        "10.0.0.1",
        "h/?",
        "h/#",
        "h/#@x",
        "127.0.0.1/x",
        "evil@127.0.0.1",
        "127.0.0.1@evil",
        "2130706433",
        "0x7f000001",
        "",
        "0.0.0.0",
    ],
)
def test_open_mode_refuses_foreign_hosts(rig: Rig, host: str) -> None:
    """DNS rebinding and malformed hosts get 403 `forbidden_host`."""
    reply = rig.gateway.chat("m", [("host", host)])
    assert reply.status == 403
    assert reply.error["code"] == "forbidden_host"
    assert not rig.a.received


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", 200),
        ("http://127.0.0.1", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://localhost.evil.example", 403),
        ("http://user@127.0.0.1", 403),
    ],
)
def test_open_mode_refuses_foreign_origins(rig: Rig, origin: str, status: int) -> None:
    """A page of another site cannot use the gateway of whoever opens it."""
    assert rig.gateway.chat("m", [("origin", origin)]).status == status
    assert rig.gateway.get("/v1/models", [("origin", origin)]).status == status


# ---- malformed HTTP


BODY = b'{"model":"m","messages":[]}'
SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 27\r\n\r\n" + BODY
MALFORMED = {
    "both framings": [b"content-length: 27", b"transfer-encoding: chunked"],
    "two lengths": [b"content-length: 27", b"content-length: 28"],
    "length list": [b"content-length: 27, 27"],
    "negative length": [b"content-length: -27"],
    "plus length": [b"content-length: +27"],
    "hexadecimal length": [b"content-length: 0x1b"],
    "length with a space": [b"content-length : 27"],
    "huge length": [b"content-length: 99999999999999999999999"],
    "unknown coding": [b"transfer-encoding: gzip"],
    "chunked is not last": [b"transfer-encoding: chunked, gzip"],
    "odd coding": [b"transfer-encoding: xchunked"],
    "folded header": [b"content-length: 27", b" x: y"],
    "no colon": [b"content-length: 27", b"broken"],
    "empty name": [b"content-length: 27", b": x"],
    "space in a name": [b"content-length: 27", b"x y: z"],
    "null in a value": [b"content-length: 27", b"x: a\0b"],
    "bare cr in a value": [b"content-length: 27", b"x: a\rb"],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_never_reach_a_provider(rig: Rig, name: str) -> None:
    """What proxies could frame differently is refused or dropped, with whatever is hidden behind it."""
    head = b"\r\n".join([b"POST /v1/chat/completions HTTP/1.1", b"host: 127.0.0.1", *MALFORMED[name], b"", b""])
    with rig.gateway.client() as client:
        client.write(head + BODY + SMUGGLED)
        client.socket.shutdown(1)
        assert client.ended() or client.head().status >= 400
    until(rig.gateway.idle, "an idle gateway")
    assert not rig.a.received


@pytest.mark.parametrize(
    "chunk", [b"1b;" + b"x" * 100_000 + b"\r\n" + BODY, b"-1\r\n", b"0x1b\r\n" + BODY, b"1b \r\n" + BODY]
)
def test_malformed_chunks_never_reach_a_provider(rig: Rig, chunk: bytes) -> None:
    """A body whose chunks are no chunks is no body."""
    with rig.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", b"", [("transfer-encoding", "chunked")])
        with suppress(ConnectionError):
            client.write(chunk)
            client.socket.shutdown(1)
    until(rig.gateway.idle, "an idle gateway")
    assert not rig.a.received


def test_http_1_0_is_answered_and_closed(rig: Rig) -> None:
    """An old client without keep-alive gets its answer and the end of the connection."""
    with rig.gateway.client() as client:
        head = b"POST /v1/chat/completions HTTP/1.0\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n"
        client.write(head % len(BODY) + BODY)
        assert client.reply().status == 200
        assert client.ended()


def test_a_client_that_expects_100_is_told_to_go_on_only_when_its_body_is_wanted(rig: Rig) -> None:
    """`Expect: 100-continue`: 404 at once for an unknown path, `100 Continue` where the body is read."""
    expecting = [("expect", "100-continue"), ("content-type", "application/json")]
    with rig.gateway.client() as client:
        client.send("POST", "/v1/none", b"", expecting, length=len(BODY))
        assert client.head().status == 404
    with rig.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", b"", expecting, length=len(BODY))
        assert client.head().status == 100
        client.write(BODY)
        assert client.reply().status == 200


def test_text_that_is_no_utf_8_is_no_json(rig: Rig) -> None:
    """Nowhere in the body, not only in the fields that are read."""
    status, error = post(rig, b'{"model":"m","messages":[{"role":"user","content":"\xff\xfe"}]}')
    assert (status, error["code"]) == (400, "invalid_json")


def test_endless_headers_are_refused(rig: Rig) -> None:
    """A head of more than 64 KiB is given up long before it could fill the memory."""
    with rig.gateway.client() as client:
        sent = 0
        with suppress(ConnectionError):
            client.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx-long: ")
            for _ in range(1000):
                client.write(b"y" * 65536)
                sent += 65536
        assert sent < 16 << 20
    assert rig.gateway.chat("m", [("x-long", "y" * 30_000)]).status == 200


def test_a_head_has_to_come_soon(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that sends nothing, or its headers byte by byte, is closed; a served one may rest and go on."""
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with rig.gateway.client() as silent, rig.gateway.client() as slow, rig.gateway.client() as served:
        slow.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: 1")
        served.post("/v1/chat/completions", chat_body("m"))
        assert served.reply().status == 200
        assert silent.ended()
        assert slow.ended()
        served.post("/v1/chat/completions", chat_body("m"))
        assert served.reply().status == 200
        served.write(b"POST /v1/chat")
        assert served.ended()
