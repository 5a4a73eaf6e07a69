"""HTTP itself: malformed, endless and slow requests never reach a provider."""

from __future__ import annotations

from contextlib import suppress

import pytest

from gateway.http import server
from tests.support.app import until
from tests.support.rig import Rig, chat_body

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
        assert client.ended() or client.head().status >= 400
    until(rig.gateway.idle, "an idle gateway")
    assert not rig.a.received


@pytest.mark.parametrize(
    "chunk", [b"1b;" + b"x" * 1_000_000 + b"\r\n" + BODY, b"-1\r\n", b"0x1b\r\n" + BODY, b"1b \r\n" + BODY]
)
def test_malformed_chunks_never_reach_a_provider(rig: Rig, chunk: bytes) -> None:
    """A body whose chunks are no chunks is no body."""
    with rig.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", b"", [("transfer-encoding", "chunked")])
        with suppress(ConnectionError):
            client.write(chunk)
        assert client.ended() or client.head().status >= 400
    until(rig.gateway.idle, "an idle gateway")
    assert not rig.a.received


MALFORMED_SERIES = 'gateway_requests_total{route="",model="other",status="400",reason="malformed"}'


def test_a_body_that_is_no_http_is_recorded_as_what_it_is(rig: Rig) -> None:
    """400 `malformed` in the log and the metric, as the client was answered: it did not leave."""
    before = rig.gateway.metric(MALFORMED_SERIES)
    with rig.gateway.client() as client:
        headers = [("transfer-encoding", "chunked"), ("x-request-id", "broken-chunk")]
        client.send("POST", "/v1/chat/completions", b"", headers)
        client.write(b"3\r\nabc\r\n")
        until(lambda: rig.gateway.worker.in_flight, "the request to be served")
        client.write(b"-1\r\n")
        assert client.head().status == 400
    line = rig.gateway.line("broken-chunk")
    assert (line["status"], line["reason"], line["error_type"]) == (400, "malformed", "invalid_parameters")
    assert rig.gateway.metric(MALFORMED_SERIES) == before + 1


def test_a_head_that_is_no_http_is_counted(rig: Rig) -> None:
    """It has no access line, for anybody can send junk; the metric has it, also behind a whole request."""
    before = rig.gateway.metric(MALFORMED_SERIES)
    with rig.gateway.client() as client:
        client.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert client.head().status == 400
    with rig.gateway.client() as client:
        client.write(SMUGGLED + b"NONSENSE\r\n\r\n")
        assert client.reply().status == 200
        assert client.ended()
    assert rig.gateway.metric(MALFORMED_SERIES) == before + 2


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
