"""After the commit: streams in any framing, broken streams, slow readers and clients that leave."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.providers.wire.frames import MAX_EVENT
from gateway.upstream import relay
from tests.support.app import Reply, until
from tests.support.rig import USAGE_CHUNK, Rig, chat_body, chunk, keys_config, rigged, secret
from tests.support.steps import (
    Send,
    Step,
    chunked,
    close,
    cut,
    json_reply,
    raw_head,
    reset,
    send,
    sleep,
    sse,
    stall,
)

TOKEN = secret()
LIMITED = [("authorization", f"Bearer {TOKEN}")]
SMALL = secret()
HEAD = [("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]
START: list[Step] = [send(raw_head(200, HEAD)), send(chunked(b"data: %b\n\n" % json.dumps(chunk("one")).encode()))]
"""A stream that has begun: the gateway has committed once the client reads it."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Rig]:
    keys = keys_config(
        f"name: relay-limited-{TOKEN[-40:-17]}, secret: {TOKEN}, limits: {{tokens: 100000/day, concurrency: 2}}",
        f"name: relay-open-{TOKEN[-40:-17]}, secret: {SMALL}",
    )
    with rigged(keys) as rig:
        yield rig


@pytest.fixture
def rig(shared: Rig) -> Rig:
    return shared.fresh()


OPEN = [("x-api-key", SMALL)]


def streamed(rig: Rig, steps: list[Step], model: str = "a/m", **fields: Any) -> Reply:
    """A streamed chat completion answered so."""
    rig.a.then(steps)
    return rig.gateway.chat(model, OPEN, stream=True, **fields)


def contents(events: list[Any]) -> list[Any]:
    """The text of each chunk."""
    return [event["choices"][0]["delta"].get("content") for event in events if event != "[DONE]" and "choices" in event]


# ---- broken off after the first event


AFTER_COMMIT: dict[str, tuple[list[Step], str, str]] = {
    "cut": ([close()], "upstream_disconnected", "truncated"),
    "reset": ([reset()], "upstream_disconnected", "truncated"),
    "cut in an event": ([send(chunked(b'data: {"id":')), close()], "upstream_disconnected", "truncated"),
    "cut in a chunk": ([send(b'ff\r\ndata: {"id"'), close()], "upstream_disconnected", "truncated"),
    "malformed event": ([send(chunked(b"data: {oops}\n\n")), stall()], "bad_upstream_response", "bad_sse"),
    "malformed event at once": (
        [send(chunked(b"data: x\n\ndata: {}\n\n")), stall()],
        "bad_upstream_response",
        "bad_sse",
    ),
    "oversized event": (
        [send(chunked(b"data: {" + b" " * MAX_EVENT)), send(chunked(b" " * 10)), stall()],
        "bad_upstream_response",
        "bad_sse",
    ),
    "error event": (
        [send(chunked(b'data: {"error":{"message":"x","type":"server_error"}}\n\n')), stall()],
        "upstream_error",
        "5xx",
    ),
    "bad framing": ([send(b"zz\r\n")], "upstream_disconnected", "truncated"),
    "end without a finish": ([send(chunked(b""))], "upstream_disconnected", "truncated"),
    "two values in one event": (
        [send(chunked(b'data: {"usage":{}},{"x":1}\n\n')), stall()],
        "bad_upstream_response",
        "bad_sse",
    ),
}


@pytest.mark.parametrize("fault", AFTER_COMMIT)
def test_a_broken_stream_ends_with_a_frame_and_done(rig: Rig, fault: str) -> None:
    """What came is relayed, then an error frame and `[DONE]`, and the body ends in order; no second try is made."""
    steps, code, _ = AFTER_COMMIT[fault]
    reply = streamed(rig, [*START, sleep(0.05), *steps], "pair")
    assert reply.status == 200
    assert reply.complete, "the framing ends as it should"
    assert contents(reply.events)[:1] == ["one"]
    error, done = reply.events[-2:]
    assert (list(error), done) == (["error"], "[DONE]")
    assert sorted(error["error"]) == ["code", "message", "param", "type"]
    if fault != "bad framing":
        assert error["error"]["code"] == code
    assert not rig.b.received
    assert reply.header("x-gateway-attempts") == "1"
    line = rig.gateway.line(reply.header("x-request-id") or "")
    assert (line["status"], line["reason"]) == (200, error["error"]["code"])
    assert line["token_source"] == "partial"
    if fault != "end without a finish":
        rig.a.wait_until(lambda: rig.a.open == 0, "the end of the upstream connection")


def test_a_stalled_stream_ends_with_a_frame(rig: Rig) -> None:
    """Nothing for the idle timeout: error frame 504 `upstream_timeout`, `[DONE]`, and the upstream is let go."""
    reply = streamed(rig, [*START, stall()], "quick")
    assert reply.complete
    assert reply.events[-2]["error"]["code"] == "upstream_timeout"
    assert reply.events[-1] == "[DONE]"
    rig.a.wait_until(lambda: rig.a.open == 0, "the end of the upstream connection")


def test_responses_break_off_with_a_named_error(rig: Rig) -> None:
    """Named streams get `event: error` with the fields where both SDKs look."""
    first = b'event: response.created\ndata: {"type":"response.created","response":{"model":"a/m"}}\n\n'
    first += b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n'
    rig.a.then([send(raw_head(200, HEAD)), send(chunked(first)), sleep(0.05), close()])
    reply = rig.gateway.post("/v1/responses", {"model": "a/m", "input": "x", "stream": True}, OPEN)
    assert reply.complete
    assert reply.body.startswith(first)
    tail = reply.body[len(first) :]
    assert tail.startswith(b"event: error\ndata: {")
    assert tail.endswith(b"\n\ndata: [DONE]\n\n")
    event = reply.events[-2]
    assert event["type"] == "error"
    assert event["code"] == event["error"]["code"] == "upstream_disconnected"


def test_broken_speech_breaks_off(rig: Rig) -> None:
    """Bytes have no place for an error frame: the body ends without its last chunk, so nobody takes it as whole."""
    head = raw_head(200, [("content-type", "audio/mpeg"), ("transfer-encoding", "chunked")])
    rig.a.then([send(head), send(chunked(b"\x01" * 100)), sleep(0.05), close()])
    reply = rig.gateway.post("/v1/audio/speech", {"model": "a/m", "input": "x", "voice": "v"}, OPEN)
    assert (reply.status, reply.body, reply.complete) == (200, b"\x01" * 100, False)


# ---- whole streams in odd shapes


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls"])
def test_an_end_without_done_after_a_finish_reason_is_complete(rig: Rig, finish: str) -> None:
    """A provider that only stops sending is completed for."""
    reply = streamed(rig, sse([chunk("a"), chunk(finish=finish)], done=False))
    assert reply.complete
    assert reply.events[-1] == "[DONE]"
    assert "error" not in reply.events[-2]
    assert rig.gateway.line(reply.header("x-request-id") or "")["reason"] == "ok"


def test_usage_after_the_finish_reason_does_not_hide_it(rig: Rig) -> None:
    """A stream that ends after its usage chunk, without `[DONE]`, was finished before that."""
    reply = streamed(rig, sse([chunk("a"), chunk(finish="stop"), USAGE_CHUNK], done=False, pause=0.02))
    assert reply.events[-1] == "[DONE]"
    assert "error" not in json.dumps(reply.events[-2])


ODD = (
    b": hello\r\n\r\n"
    b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"h\xc3\xa9\xf0\x9f\x98\x80"}}]}\r\n\r\n'
    b": ping\r\n\r\n"
    b'id: 5\r\nretry: 10\r\ndata: {"model":"m",\r\ndata: "choices":[{"index":0,"delta":{"content":"two"}}]}\r\n\r\n'
    b'data:{"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\r\n\r\n'
    b"data: [DONE]\r\n\r\n"
)


@pytest.mark.parametrize("ends", [b"\r\n", b"\n", b"\r"])
def test_a_stream_split_anywhere_is_the_same_stream(rig: Rig, ends: bytes) -> None:
    """Every byte offset, inside CRLF, names, numbers and UTF-8 sequences: always the same three events and `[DONE]`."""
    text = ODD.replace(b"\r\n", ends)

    def answer(at: int) -> list[Step]:
        pieces = [piece for piece in (text[:at], text[at:]) if piece]
        steps: list[Step] = [send(raw_head(200, HEAD))]
        for piece in pieces:
            steps += [send(chunked(piece)), sleep(0.0005)]
        return [*steps, send(chunked(b""))]

    with rig.gateway.client() as client:
        for at in range(len(text)):
            rig.a.then(answer(at))
            client.post("/v1/chat/completions", chat_body("a/m", stream=True), OPEN)
            reply = client.reply()
            assert contents(reply.events) == ["hé😀", "two", None], (at, reply.body)
            assert reply.events[-1] == "[DONE]"
            assert b"\r" not in reply.body


def test_a_stream_in_single_bytes_is_the_same_stream(rig: Rig) -> None:
    """One byte per chunk changes nothing."""
    reply = streamed(
        rig,
        [send(raw_head(200, HEAD)), *(send(chunked(ODD[at : at + 1])) for at in range(len(ODD))), send(chunked(b""))],
    )
    assert contents(reply.events) == ["hé😀", "two", None]


def test_events_that_came_together_leave_together(rig: Rig) -> None:
    """What is ready is relayed in one write, not event by event."""
    frames = b"".join(b"data: %b\n\n" % json.dumps(chunk(str(n))).encode() for n in range(100))
    finish = b"data: %b\n\ndata: [DONE]\n\n" % json.dumps(chunk(finish="stop")).encode()
    reply = streamed(
        rig, [*START, sleep(0.05), send(chunked(frames)), sleep(0.05), send(chunked(finish)), send(chunked(b""))]
    )
    assert len(reply.events) == 103
    assert len(reply.chunks) <= 6


def test_an_event_reaches_the_client_before_the_next_is_sent(rig: Rig) -> None:
    """Nothing is held back: each event is readable while the upstream waits."""
    go = threading.Event()

    async def answer() -> Any:
        yield START[0]
        yield START[1]
        while not go.is_set():
            yield sleep(0.005)
        for step in sse([chunk(finish="stop")])[1:]:
            yield step

    rig.a.then(lambda _: answer())
    with rig.gateway.client() as client:
        client.post("/v1/chat/completions", chat_body("a/m", stream=True), OPEN)
        reply = client.head()
        client.read_until(reply, b'"one"')
        assert not reply.complete
        go.set()
        assert client.rest(reply).events[-1] == "[DONE]"


# ---- slow readers


def flood(total: int) -> Any:
    """A stream of this many bytes and then its end."""
    frame = b"data: %b\n\n" % json.dumps(chunk("x" * 16000)).encode()

    async def answer() -> Any:
        yield send(raw_head(200, HEAD))
        for _ in range(total // len(frame)):
            yield send(chunked(frame))
        for step in sse([chunk(finish="stop")])[1:]:
            yield step

    return lambda _: answer()


def kernel_buffers() -> int:
    """Bytes that the two connections' sockets may hold at most: the kernel lets busy ones grow to its limits."""
    limits = [int(Path(f"/proc/sys/net/ipv4/tcp_{way}").read_text().split()[-1]) for way in ("rmem", "wmem")]
    return limits[0] + 2 * limits[1]


def test_a_client_that_does_not_read_pauses_the_upstream(rig: Rig) -> None:
    """Of a long stream only what buffers hold is taken from the provider; all of it arrives once the client reads."""
    held = kernel_buffers() + (4 << 20)
    total = held + (24 << 20)
    rig.a.then(flood(total))
    before = rig.a.bytes_sent
    with rig.gateway.client() as client:
        client.socket.close()
        client.socket = socket.socket()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.socket.settimeout(10)
        client.socket.connect(("127.0.0.1", rig.gateway.port))
        client.post("/v1/chat/completions", chat_body("a/m", stream=True), OPEN)
        reply = client.head()
        taken, quiet = -1, 0

        def steady() -> bool:
            nonlocal taken, quiet
            quiet = quiet + 1 if rig.a.bytes_sent == taken else 0
            taken = rig.a.bytes_sent
            return quiet >= 40

        until(steady, "a pause of the upstream")
        assert taken - before < held, "kernel buffers and ours, not the stream"
        size = 0
        while piece := client.chunk(reply):
            size += len(piece)
            reply.body = b""
            reply.chunks.clear()
        assert reply.complete
        assert size > total - (1 << 20)


# ---- clients that leave


def leave(client: Any, how: str) -> None:
    """End a connection: in order, or with a reset."""
    if how == "reset":
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("when", ["before the head", "before the first event", "in the body", "mid-stream"])
def test_a_client_that_leaves_cancels_the_upstream(rig: Rig, when: str, how: str) -> None:
    """The provider's connection is closed at once; the call ends with 499, its slot and tokens are given back."""
    streams = when in ("before the first event", "mid-stream")
    script: list[Step] = {
        "before the head": [stall()],
        "before the first event": [START[0], stall()],
        "in the body": cut(json_reply({"id": "x" * 1000}), 300, stall()),
        "mid-stream": [*START, stall()],
    }[when]
    body = chat_body("a/m", stream=streams, max_tokens=5000)
    request_id = f"leaver-{time.monotonic_ns()}"
    left = tokens_left(rig)
    rig.a.then(script)
    with rig.gateway.client() as client:
        client.post("/v1/chat/completions", body, [*LIMITED, ("x-request-id", request_id)])
        rig.a.wait_until(lambda: bool(rig.a.received))
        if when == "mid-stream":
            client.read_until(client.head(), b'"one"')
        elif when != "before the head":
            time.sleep(0.02)
        open_before = rig.a.open
        leave(client, how)
    began = time.monotonic()
    rig.a.wait_until(lambda: rig.a.open < open_before or rig.a.open == 0, "the end of the upstream connection")
    took = time.monotonic() - began
    line = rig.gateway.line(request_id)
    assert (line["status"], line["reason"]) == (499, "client_disconnected")
    assert line["token_source"] == "partial"
    assert line["input_tokens"] > 0
    assert line["attempts"] == 1
    until(rig.gateway.idle, "an empty gateway")
    assert not rig.gateway.gate.live
    # The reservation of 5000 tokens went back but for what was used: the bucket refills about 1.2 tokens a second.
    until(lambda: left - tokens_left(rig) < 400, "the settlement")
    assert took < 5, "a whole second on an idle machine; more only where it is busy"


def tokens_left(rig: Rig) -> int:
    """What the limited key's bucket holds, as a tiny call reads it."""
    rig.a.default = json_reply({"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    reply = rig.gateway.chat("a/m", LIMITED)
    assert reply.status == 200, reply.body
    rig.a.received.clear()
    return int(reply.header("x-ratelimit-remaining-tokens") or 0)


def test_slots_are_free_after_every_end(rig: Rig) -> None:
    """Two slots: errors, broken streams and clients that left hold none of them for longer than they live."""
    for script in (json_reply({}, 500), [*START, close()], sse([chunk(finish="stop")]), json_reply(b"oops")):
        for _ in range(3):
            rig.a.then(script)
            assert rig.gateway.chat("a/m", LIMITED, stream=True).status in (200, 502)
    rig.a.then([stall()], [stall()])
    with rig.gateway.client() as first, rig.gateway.client() as second:
        first.post("/v1/chat/completions", chat_body("a/m"), LIMITED)
        second.post("/v1/chat/completions", chat_body("a/m"), LIMITED)
        rig.a.wait_until(lambda: len(rig.gateway.gate.live) == 2)
        refused = rig.gateway.chat("a/m", LIMITED)
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    until(lambda: not rig.gateway.gate.live, "free slots")
    until(lambda: rig.gateway.chat("a/m", LIMITED).status == 200, "an admitted call")


def test_a_client_that_leaves_between_attempts_ends_the_call(rig: Rig) -> None:
    """During a wait before a retry nobody is asked once more."""
    rig.a.then([send(b"HTTP/1.1 429 X\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n")])
    request_id = f"waiter-{time.monotonic_ns()}"
    with rig.gateway.client() as client:
        client.post("/v1/chat/completions", chat_body("thrice"), [*OPEN, ("x-request-id", request_id)])
        rig.a.wait_until(lambda: bool(rig.a.received))
        time.sleep(0.05)
        client.socket.close()
    line = rig.gateway.line(request_id)
    assert (line["status"], line["attempts"], line["input_tokens"]) == (499, 1, None)
    assert len(rig.a.received) == 1


def test_a_client_that_leaves_inside_its_body_is_a_499(rig: Rig) -> None:
    """Half a body: no attempt, nothing charged, nothing held."""
    request_id = f"half-{time.monotonic_ns()}"
    with rig.gateway.client() as client:
        client.send("POST", "/v1/chat/completions", b'{"model"', [*OPEN, ("x-request-id", request_id)], length=100)
        until(lambda: not rig.gateway.idle(), "the request")
    line = rig.gateway.line(request_id)
    assert (line["status"], line["attempts"], line["input_tokens"]) == (499, 0, None)
    until(rig.gateway.idle, "an empty gateway")


def test_an_abandoned_attempt_is_counted(rig: Rig) -> None:
    """The attempt of a client that left is a fact like any other: begun attempts and finished ones agree."""
    name = 'gateway_upstream_attempts_total{provider="a",deployment="a/m"'
    before = rig.gateway.metric(name)
    rig.a.then([stall()])
    with rig.gateway.client() as client:
        client.post("/v1/chat/completions", chat_body("a/m"), OPEN)
        rig.a.wait_until(lambda: bool(rig.a.received))
    until(rig.gateway.idle, "an empty gateway")
    assert rig.gateway.metric(name) == before + 1


def test_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    """Two requests in one write on one connection: both are answered, the first first."""
    rig.a.then(json_reply({"n": 1}), json_reply({"n": 2}))
    with rig.gateway.client() as client:
        raw = json.dumps(chat_body("a/m")).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\nx-api-key: %b\r\ncontent-length: %d\r\n\r\n"
        client.write((head % (SMALL.encode(), len(raw)) + raw) * 2)
        assert [client.reply().json["n"], client.reply().json["n"]] == [1, 2]


def test_scripts_are_made_of_sends() -> None:
    """The streams above really are split where they say."""
    assert all(isinstance(step, Send) for step in START)


def test_a_late_end_of_the_framing_keeps_the_connection(rig: Rig) -> None:
    """The last chunk may come after `[DONE]`: the client does not wait for it, and the connection is used again."""
    whole = sse([chunk("a"), chunk(finish="stop")])
    late = [*whole[:-1], sleep(0.02), whole[-1]]
    streamed(rig, whole)
    before = rig.a.connections
    for _ in range(5):
        assert streamed(rig, late).complete
        until(lambda: not relay._LINGERING, "the last chunk")
    assert rig.a.connections == before
    assert len(rig.a.received) == 6


def test_an_end_that_never_comes_costs_the_connection(rig: Rig) -> None:
    """After `[DONE]` the client has everything; an upstream that then stays silent is let go within a second."""
    whole = sse([chunk("a"), chunk(finish="stop")])
    assert streamed(rig, [*whole[:-1], stall()]).complete
    rig.a.wait_until(lambda: rig.a.open == 0, "the end of the upstream connection")
    until(rig.gateway.idle, "an idle gateway")
