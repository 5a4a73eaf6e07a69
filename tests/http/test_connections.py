"""Connections: requests in a row, answers in their order, and what becomes of a connection after each of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product

import pytest

from gateway.http import cycle
from tests.support.app import Client, chat_body, unique, until
from tests.support.rig import COMPLETION, Rig, chunk
from tests.support.steps import json_reply, sse, stall

BODY = b'{"model":"m","messages":[]}'
LENGTH = b"content-length: %d" % len(BODY)
HOST = b"host: 127.0.0.1"


def raw(*lines: bytes, first: bytes = b"POST /v1/chat/completions HTTP/1.1", body: bytes = BODY) -> bytes:
    """A request as bytes."""
    return b"\r\n".join([first, *lines, b"", b""]) + body


GOOD = raw(HOST, LENGTH)


# ---- in a row


def test_pipelined_requests_are_answered_in_their_order(rig: Rig) -> None:
    """Many requests in one write: each gets its own answer, in the order they were asked, however they mix."""
    paths = [b"/v1/models/m", b"/healthz", b"/v1/none", b"/v1/models/tuned"] * 8
    with rig.gateway.client() as client:
        client.write(b"".join(raw(HOST, first=b"GET %b HTTP/1.1" % path, body=b"") for path in paths))
        replies = [client.reply() for _ in paths]
    assert [reply.status for reply in replies] == [200, 200, 404, 200] * 8
    assert [reply.json.get("id") for reply in replies[:4]] == ["m", None, None, "tuned"]


def test_what_is_sent_in_pieces_is_one_request(rig: Rig) -> None:
    """A request whose bytes come one by one, and whose first bytes come with the end of the one before."""
    with rig.gateway.client() as client:
        client.write(GOOD + GOOD[:1])
        assert client.reply().status == 200
        for byte in GOOD[1:]:
            client.write(bytes([byte]))
        assert client.reply().status == 200
    assert [request.body for request in rig.a.received] == [BODY, BODY]


def test_an_answer_before_the_body_keeps_the_connection(rig: Rig) -> None:
    """404 without waiting for the body; the rest of it is dropped, however long, and the next request is served."""
    with rig.gateway.client() as client:
        client.write(raw(HOST, b"content-length: 300000", first=b"POST /v1/none HTTP/1.1", body=b"x"))
        assert client.reply().status == 404
        client.write(b"y" * 299_999 + GOOD)
        assert client.reply().status == 200
    assert len(rig.a.received) == 1


def test_an_answer_in_place_of_100_closes_the_connection(rig: Rig) -> None:
    """Whether the body follows is the client's choice: what came next could be either it or another request."""
    with rig.gateway.client() as client:
        client.write(raw(HOST, LENGTH, b"expect: 100-continue", first=b"POST /v1/none HTTP/1.1", body=b""))
        reply = client.reply()
        assert (reply.status, reply.header("connection")) == (404, "close")
        assert client.ended()
    with rig.gateway.client() as client:
        client.write(raw(HOST, LENGTH, b"expect: 100-continue", body=b""))
        assert client.head().status == 100
        client.write(BODY + GOOD)
        assert [client.reply().status for _ in range(2)] == [200, 200]


def test_an_old_client_gets_no_interim_answer(rig: Rig) -> None:
    """HTTP/1.0 has none: its body is waited for."""
    with rig.gateway.client() as client:
        first = b"POST /v1/chat/completions HTTP/1.0"
        client.write(raw(HOST, LENGTH, b"expect: 100-continue", first=first, body=b""))
        until(lambda: not rig.gateway.idle(), "the call")
        client.write(BODY)
        assert client.reply().status == 200


def test_a_body_without_end_is_not_read_for_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind an early answer so much is dropped; whoever announces more, or sends more, is closed on."""
    monkeypatch.setattr(cycle, "MOST_DROPPED", 300_000)
    with rig.gateway.client() as client:
        client.write(raw(HOST, b"content-length: 999999999", first=b"POST /v1/none HTTP/1.1", body=b"x"))
        reply = client.reply()
        assert (reply.status, reply.header("connection")) == (404, "close")
        assert client.ended()
    with rig.gateway.client() as client:
        client.write(raw(HOST, b"transfer-encoding: chunked", first=b"POST /v1/none HTTP/1.1", body=b""))
        assert client.reply().status == 404
        with pytest.raises(ConnectionError):
            client.write((b"2710\r\n" + b"y" * 10_000 + b"\r\n") * 10_000)


def test_what_came_whole_before_nonsense_is_answered(rig: Rig) -> None:
    """The good request gets its answer, nothing else is written, and the connection is closed."""
    with rig.gateway.client() as client:
        client.write(GOOD + b"NONSENSE\r\n\r\n" + GOOD)
        assert client.reply().status == 200
        assert client.ended()
    assert len(rig.a.received) == 1


def test_nothing_is_served_behind_a_request_that_closes(rig: Rig) -> None:
    """`connection: close` is answered with the same word, and with the end of the connection."""
    with rig.gateway.client() as client:
        client.write(raw(HOST, LENGTH, b"connection: close") + GOOD)
        reply = client.reply()
        assert (reply.status, reply.header("connection")) == (200, "close")
        assert client.ended()
    assert len(rig.a.received) == 1


def test_an_upgrade_is_not_taken(rig: Rig) -> None:
    """A client that would rather speak something else is served in HTTP/1.1, body and all, and so is what follows."""
    with rig.gateway.client() as client:
        client.write(raw(HOST, LENGTH, b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c") + GOOD)
        assert [client.reply().status for _ in range(2)] == [200, 200]
    assert [request.body for request in rig.a.received] == [BODY, BODY]


def test_upgrades_come_by_the_thousand(rig: Rig) -> None:
    """As many requests for another protocol as one read holds: each is answered, and the connection stays."""
    lines = (HOST, b"connection: Upgrade", b"upgrade: h2c")
    with rig.gateway.client() as client:
        client.write(raw(*lines, first=b"GET /healthz HTTP/1.1", body=b"") * 1500 + GOOD)
        assert {client.reply().status for _ in range(1501)} == {200}
        client.write(GOOD)
        assert client.reply().status == 200


@contextmanager
def kept_alive(rig: Rig, seconds: float) -> Iterator[None]:
    """Connections that are made meanwhile may rest for so long."""
    config = rig.gateway.server.config
    before, config.timeout_keep_alive = config.timeout_keep_alive, seconds  # type: ignore[assignment]
    try:
        yield
    finally:
        config.timeout_keep_alive = before


def test_an_idle_connection_ends(rig: Rig) -> None:
    """One that rests longer than the keep-alive time after an answer is closed."""
    with kept_alive(rig, 0.2), rig.gateway.client() as client:
        client.write(GOOD)
        assert client.reply().status == 200
        assert client.ended()


LARGE = 8_000_000


@pytest.mark.slow
def test_a_long_answer_on_a_slow_line_arrives_whole(rig: Rig) -> None:
    """It takes longer than a connection may rest; the client reads all the while."""
    rig.a.default = json_reply({**COMPLETION, "padding": "x" * LARGE})
    with kept_alive(rig, 2.0), Client(rig.gateway.port, receive_buffer=4096) as client:
        began = time.monotonic()
        client.write(GOOD)
        reply = client.head()
        while time.monotonic() - began < 7.0:
            client._more()
            time.sleep(0.05)  # the slow line
        assert client.rest(reply).complete
        assert len(reply.body) > LARGE


@pytest.mark.parametrize("lines", [(), (b"connection: close",)], ids=["kept", "closed"])
def test_an_answer_that_nobody_reads_ends_with_its_connection(rig: Rig, lines: tuple[bytes, ...]) -> None:
    """It is not kept for as long as the client likes, whether another request was to follow or not."""
    rig.a.default = json_reply({**COMPLETION, "padding": "x" * LARGE})
    before = set(rig.gateway.server.server_state.connections)
    with kept_alive(rig, 0.2), Client(rig.gateway.port, receive_buffer=4096) as client:
        client.write(raw(HOST, LENGTH, *lines))
        until(lambda: rig.a.received, "the request")
        until(lambda: not rig.gateway.server.server_state.connections - before, "the end of the connection")
        assert not client.reply().complete


def test_a_client_that_does_not_read_is_not_answered_on_and_on(rig: Rig) -> None:
    """Requests in a row whose answers nobody reads wait, in order; once the client reads it gets every one of them."""
    rig.a.default = json_reply({**COMPLETION, "padding": "x" * 1_500_000})
    with Client(rig.gateway.port, receive_buffer=4096) as client:
        for _ in range(12):
            client.write(GOOD)
        until(lambda: rig.gateway.idle() and rig.a.received, "the first answers")
        served = len(rig.a.received)
        replies = [client.reply() for _ in range(12)]
    assert 0 < served < 12
    assert [len(reply.body) > 1_500_000 and reply.complete for reply in replies] == [True] * 12


# ---- shapes of answers


def test_a_head_has_no_body(rig: Rig) -> None:
    """HEAD is answered with the length of what GET would bring; the next answer follows at once."""
    with rig.gateway.client() as client:
        client.write(raw(HOST, first=b"HEAD /healthz HTTP/1.1", body=b""))
        head = client.head()
        client.write(raw(HOST, first=b"GET /healthz HTTP/1.1", body=b""))
        assert (head.status, head.header("content-length")) == (200, str(len(client.reply().body)))


def test_a_stream_for_an_old_client_ends_with_its_connection(rig: Rig) -> None:
    """HTTP/1.0 knows no chunks: the events come bare."""
    rig.a.then(sse([chunk("hi"), chunk(finish="stop")]))
    body = b'{"model":"m","messages":[],"stream":true}'
    with rig.gateway.client() as client:
        head = raw(HOST, b"content-length: %d" % len(body), first=b"POST /v1/chat/completions HTTP/1.0", body=body)
        client.write(head)
        reply = client.head()
        assert (reply.status, reply.header("transfer-encoding"), reply.header("connection")) == (200, None, "close")
        assert read_to_the_end(client).endswith(b"data: [DONE]\n\n")


def test_a_client_that_leaves_ends_its_request_at_once(rig: Rig) -> None:
    """Before the first byte of the answer as well as in the midst of a stream: the provider's connection ends too."""
    for steps in ([stall()], [*sse([chunk("hi")], done=False)[:2], stall()]):
        rig.fresh()
        rig.a.then(steps)
        left = rig.a.disconnections
        with rig.gateway.client() as client:
            client.post("/v1/chat/completions", chat_body("m", stream=True))
            until(lambda: len(rig.a.received) == 1, "the request at the provider")
        until(rig.gateway.idle, "the end of the request")
        until(lambda left=left: rig.a.disconnections > left, "the end of the provider's connection")  # type: ignore[misc]


@pytest.mark.parametrize("kilobytes", [1, 70, 100, 120])
def test_a_client_that_leaves_is_noticed_however_long_its_body_was(rig: Rig, kilobytes: int) -> None:
    """Bodies that come at once and are more than what is held unread: read, nothing is in the way of the end."""
    rig.a.then([stall()])
    left, request_id = rig.a.disconnections, unique("left")
    with rig.gateway.client() as client:
        body = chat_body("m", filler="x" * kilobytes * 1000)
        client.post("/v1/chat/completions", body, [("x-request-id", request_id)])
        until(lambda: len(rig.a.received) == 1, "the request at the provider")
    until(lambda: rig.a.disconnections > left, "the end of the provider's connection")
    assert rig.gateway.line(request_id)["status"] == 499


def read_to_the_end(client: Client) -> bytes:
    """Everything until the server closes."""
    data = client._read
    while more := client.socket.recv(65536):
        data += more
    return data


# ---- what is no request


NAMED_TWICE = {
    "host": (HOST, HOST),
    "content-length": (LENGTH, LENGTH),
    "authorization": (b"authorization: Bearer a", b"authorization: Bearer b"),
    "x-api-key": (b"x-api-key: a", b"X-Api-Key: b"),
    "api-key": (b"api-key: a", b"api-key: b"),
}


@pytest.mark.parametrize("twice", NAMED_TWICE.values(), ids=NAMED_TWICE)
def test_headers_that_name_one_thing_stand_once(rig: Rig, twice: tuple[bytes, bytes]) -> None:
    """Two of them, and two readers could each believe another."""
    with rig.gateway.client() as client:
        client.write(raw(*{HOST, LENGTH, *twice}, twice[1]))
        assert client.reply().status == 400
        assert client.ended()
    assert not rig.a.received


def test_endless_framing_is_refused(rig: Rig) -> None:
    """Trailers and chunk extensions cannot pile up."""
    for endless in (b"0\r\nx: " + b"y" * 600_000, b"0\r\n" + b"x: y\r\n" * 100_000, b"1;" + b"z" * 600_000):
        with rig.gateway.client() as client, suppress(ConnectionError):
            client.write(raw(HOST, b"transfer-encoding: chunked", body=b""))
            for start in range(0, len(endless), 8192):
                client.write(endless[start : start + 8192])
            assert client.head().status == 400
    until(rig.gateway.idle, "an idle gateway")
    assert not rig.a.received


LINES = [
    b"POST /v1/chat/completions HTTP/1.1",
    b"POST http://127.0.0.1/v1/chat/completions HTTP/1.1",
    b"POST /v1/chat/completions?x=y HTTP/1.1",
    b"POST /v1/chat/completions HTTP/1.0",
]
FAULTS = [
    (LENGTH, b"transfer-encoding: chunked"),
    (b"transfer-encoding: chunked", LENGTH),
    (LENGTH, b"content-length: 28"),
    (b"content-length: 27, 27",),
    (b"content-length: -27",),
    (b"content-length: +27",),
    (b"content-length: 0x1b",),
    (b"content-length: 27 27",),
    (b"content-length : 27",),
    (b"content-length\t: 27",),
    (b"content-length: 99999999999999999999999",),
    (b"content-length: ",),
    (b"transfer-encoding: gzip",),
    (b"transfer-encoding: chunked, gzip",),
    (b"transfer-encoding: xchunked",),
    (b"transfer-encoding: \x0bchunked",),
    (b"transfer-encoding: chunked\x0b",),
    (b"transfer-encoding:\r\n chunked", LENGTH),
    (b"transfer-encoding : chunked", LENGTH),
    (b"transfer_encoding\0: chunked", LENGTH),
    (LENGTH, b" folded: y"),
    (LENGTH, b"\tfolded: y"),
    (LENGTH, b"broken"),
    (LENGTH, b": no name"),
    (LENGTH, b"sp ace: z"),
    (LENGTH, b"n\0ul: z"),
    (LENGTH, b"x: a\0b"),
    (LENGTH, b"x: a\rb"),
    (LENGTH, b"x\ry: z"),
    (LENGTH, HOST),
    (LENGTH, b"x(y): z"),
    (LENGTH, b"x@y: z"),
    (LENGTH, b"x[y]: z"),
    (LENGTH, b"\x80x: z"),
]
FIRST_LINES = [
    b"POST /v1/chat/completions",
    b"POST  /v1/chat/completions HTTP/1.1",
    b"POST /v1/chat/completions  HTTP/1.1",
    b"POST /v1/chat/completions HTTP/1.1 ",
    b" POST /v1/chat/completions HTTP/1.1",
    b"POST\t/v1/chat/completions\tHTTP/1.1",
    b"POST /v1/chat/completions HTTP/0.9",
    b"POST /v1/chat/completions HTTP/2.0",
    b"POST /v1/chat/completions HTTP/1.2",
    b"POST /v1/chat/completions HTTP/1.10",
    b"POST /v1/chat/completions http/1.1",
    b"POST /v1/chat/completions HTTPS/1.1",
    b"POST /v1/chat/completions RTSP/1.0",
    b"P\0ST /v1/chat/completions HTTP/1.1",
    b"post /v1/chat/completions HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"POST * HTTP/1.1",
    b"POST v1/chat/completions HTTP/1.1",
    b"CONNECT 127.0.0.1:80 HTTP/1.1",
    b"SOURCE /v1/chat/completions ICE/1.0",
    b"POST /v1/chat/compl\0etions HTTP/1.1",
    b"POST /v1/chat/compl etions HTTP/1.1",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]
CHUNKS = [
    b"1b\n" + BODY + b"\r\n0\r\n\r\n",
    b"1b\r\n" + BODY + b"0\r\n\r\n",
    b"1b\r\n" + BODY + b"XX0\r\n\r\n",
    b"1B \r\n" + BODY + b"\r\n0\r\n\r\n",
    b"+1b\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"-1b\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"0x1b\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"1_b\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"\r\n1b\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"g\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"fffffffffffffffff\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"1a\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"1c\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"1b\r\n" + BODY + b"\r\n0\r\nbroken\r\n\r\n",
    b"1b;\0\r\n" + BODY + b"\r\n0\r\n\r\n",
]


def malformed() -> list[bytes]:
    """More than three hundred requests that are none, or that two readers could frame differently."""
    found = [raw(HOST, *fault, first=line) for line, fault in product(LINES, FAULTS)]
    found += [raw(*fault, HOST, first=line) for line, fault in product(LINES, FAULTS)]
    found += [raw(HOST, LENGTH, first=line) for line in FIRST_LINES]
    found += [
        raw(HOST, b"transfer-encoding: chunked", first=line, body=body) for line, body in product(LINES[:3], CHUNKS)
    ]
    found += [raw(LENGTH), raw(LENGTH, b"hos\0t: x"), raw(LENGTH, b"host : 127.0.0.1")]
    found += [GOOD.replace(b"\r\n", ending, 1) for ending in (b"\r", b"\n\r", b"\r\r\n", b"\0\r\n")]
    return [text for text in found if text.partition(b"\r\n")[0] not in LENIENT]


_SPACES = "words may be parted by more than one space (RFC 9112, section 3)"
LENIENT = {
    b"POST  /v1/chat/completions HTTP/1.1": (_SPACES, [200, 200]),
    b"POST /v1/chat/completions  HTTP/1.1": (_SPACES, [200, 200]),
    b"POST /v1/chat/completions RTSP/1.0": ("the parser knows the protocol by its other name too", [200]),
    b"POST * HTTP/1.1": ("it is well-formed, and nothing is served there", [404, 200]),
}
"""First lines that are read all the same: why, and what they and the good request behind them are answered."""


def test_three_hundred_malformed_requests_reach_nobody(rig: Rig) -> None:
    """Each is refused or dropped, with the good request that hides behind it: no provider sees a byte of either."""
    requests = malformed()
    assert len(requests) >= 300
    leaked = []
    for text in requests:
        with rig.gateway.client() as client:
            # Not half-closed: a caller who leaves is dropped whatever it sent.
            client.write(text + GOOD)
            refused = client.ended() or (client.reply().status >= 400 and client.ended())
        if not refused or rig.a.received:
            leaked.append(text)
            rig.a.received.clear()
    until(rig.gateway.idle, "an idle gateway")
    assert not leaked
    assert not rig.a.received


@pytest.mark.parametrize("first", LENIENT)
def test_what_is_read_leniently_is_framed_strictly(rig: Rig, first: bytes) -> None:
    """One request ends where its length says: the next begins there, or the connection ends."""
    _, statuses = LENIENT[first]
    with rig.fresh().gateway.client() as client:
        client.write(raw(HOST, LENGTH, first=first) + GOOD)
        assert [client.reply().status for _ in statuses] == statuses
        if len(statuses) == 1:
            assert client.ended()
    assert [request.body for request in rig.a.received] == [BODY] * statuses.count(200)
