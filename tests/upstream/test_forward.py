"""Up to the commit: what fails over, what is waited for, what the client reads when nothing is left."""

from __future__ import annotations

import asyncio
import json
import time
from random import Random
from typing import Any

import pytest

from gateway.errors import ClientGone
from gateway.health.board import Board
from gateway.providers import discover
from gateway.telemetry.base import SilentObserver
from gateway.types import Call, Deployment, Drain, Plan, Provider, Service
from gateway.upstream.engines.mock import MockEngine
from gateway.upstream.forward import Forwarder, Progress
from gateway.upstream.send import Sender
from tests.support.app import Reply
from tests.support.rig import COMPLETION, KEY_A, KEY_B, Rig, chat_body, chunk, rigged
from tests.support.steps import (
    Script,
    Send,
    chunked,
    close,
    cut,
    json_reply,
    junk,
    raw_head,
    reset,
    send,
    sleep,
    sse,
    stall,
    status,
)

GOOD = sse([chunk("good"), chunk(finish="stop")])
WHOLE = json.dumps(COMPLETION).encode()
HTML = [("content-type", "text/html")]
EVENTS = [("content-type", "text/event-stream")]


BEFORE_COMMIT: dict[str, tuple[Script, int, str]] = {
    # what the upstream does: what the client gets when it is the last one
    "500": (status(500), 502, "upstream_error"),
    "502": (status(502, b"<html>", HTML), 502, "upstream_error"),
    "503": (status(503), 503, "upstream_overloaded"),
    "529": (status(529), 503, "upstream_overloaded"),
    "504": (status(504), 504, "upstream_timeout"),
    "408": (status(408), 504, "upstream_timeout"),
    "409": (status(409), 409, "upstream_conflict"),
    "424": (status(424), 502, "upstream_error"),
    "401": (status(401, b'{"error":{"message":"bad key"}}'), 502, "provider_auth"),
    "402": (status(402), 502, "provider_auth"),
    "403": (status(403), 502, "provider_auth"),
    "429": (status(429), 429, "upstream_rate_limited"),
    "quota": (json_reply({"error": {"code": "insufficient_quota"}}, 429), 502, "provider_auth"),
    "redirect": (status(307, b"", [("location", "http://127.0.0.1:9/")]), 502, "bad_upstream_response"),
    "closed": ([close()], 502, "upstream_disconnected"),
    "reset": ([reset()], 502, "upstream_disconnected"),
    "cut in the head": ([send(b"HTTP/1.1 200 OK\r\nconte"), close()], 502, "upstream_disconnected"),
    "junk": (junk(200, 1), 502, "bad_upstream_response"),
    "cut in the body": (cut(json_reply(COMPLETION), 150, close()), 502, "upstream_disconnected"),
    "reset in the body": (cut(json_reply(COMPLETION), 150, reset()), 502, "upstream_disconnected"),
    "empty": (status(200), 502, "bad_upstream_response"),
    "empty json": (json_reply(b""), 502, "bad_upstream_response"),
    "null": (json_reply(b"null"), 502, "bad_upstream_response"),
    "list": (json_reply(b"[]"), 502, "bad_upstream_response"),
    "half json": (json_reply(b'{"id":'), 502, "bad_upstream_response"),
    "html": (status(200, b"<html></html>", HTML), 502, "bad_upstream_response"),
    "error in 200": (json_reply({"error": {"message": "x", "type": "server_error"}}), 502, "upstream_error"),
    "overloaded in 200": (json_reply({"error": {"type": "overloaded_error"}}), 503, "upstream_overloaded"),
}
STREAMED: dict[str, tuple[Script, int, str]] = {
    **BEFORE_COMMIT,
    "whole reply": (json_reply(COMPLETION), 502, "bad_upstream_response"),
    "no event": (sse([], done=False), 502, "bad_upstream_response"),
    "only a comment": (sse([b": ping\n\n"], done=False), 502, "bad_upstream_response"),
    "only done": (sse([]), 502, "bad_upstream_response"),
    "half an event": (sse([b'data: {"id":'], done=False), 502, "bad_upstream_response"),
    "malformed first event": (sse([b"data: {nonsense}\n\n", chunk("x")]), 502, "bad_upstream_response"),
    "list as first event": (sse([b"data: []\n\n", chunk("x")]), 502, "bad_upstream_response"),
    "error event": (sse([{"error": {"message": "x", "type": "server_error"}}]), 502, "upstream_error"),
    "named error event": (sse([b'event: error\ndata: {"message":"x"}\n\n']), 502, "upstream_error"),
    "rate limit event": (sse([{"error": {"code": 429, "message": "x"}}]), 429, "upstream_rate_limited"),
    "cut before an event": (cut(GOOD, 110, close()), 502, "upstream_disconnected"),
    "html as events": (status(200, b"<html></html>\n\n", EVENTS), 502, "bad_upstream_response"),
    "oversized first event": (sse([b"data: {" + b" " * (1 << 20) + b"}"]), 502, "bad_upstream_response"),
}


def check_final(reply: Reply, wanted: int, code: str, attempts: int) -> None:
    """The last attempt's failure as the client reads it."""
    assert (reply.status, reply.error["code"]) == (wanted, code)
    assert reply.header("x-gateway-attempts") == str(attempts)
    assert reply.header("x-should-retry") in ("true", "false")
    assert (reply.header("retry-after") is not None) == (wanted in (429, 503))


@pytest.mark.parametrize("fault", BEFORE_COMMIT)
def test_a_failure_is_followed_by_the_next_deployment(rig: Rig, fault: str) -> None:
    """Without a stream: the second target answers, the client sees nothing of the first but the count of attempts."""
    script, wanted, code = BEFORE_COMMIT[fault]
    rig.a.default = script  # for every connection: the engine may replace an idle one that breaks before it answers
    reply = rig.gateway.chat("pair")
    assert reply.status == 200, reply.body
    assert reply.json["model"] == "pair"
    assert (reply.header("x-gateway-attempts"), reply.header("x-gateway-provider")) == ("2", "b")
    assert json.loads(rig.b.received[0].body)["model"] == "up-b"
    check_final(rig.gateway.chat("a/m"), wanted, code, 1)


@pytest.mark.parametrize("fault", STREAMED)
def test_a_stream_that_never_began_is_followed_by_the_next_deployment(rig: Rig, fault: str) -> None:
    """The 200 is held until an event parses: before that the next target may still answer."""
    script, wanted, code = STREAMED[fault]
    rig.a.default = script
    rig.b.then(GOOD)
    reply = rig.gateway.chat("pair", stream=True)
    assert reply.status == 200, reply.body
    assert reply.complete
    assert reply.events[0]["choices"][0]["delta"]["content"] == "good"
    assert reply.events[-1] == "[DONE]"
    assert (reply.header("x-gateway-attempts"), reply.header("x-gateway-provider")) == ("2", "b")
    check_final(rig.gateway.chat("a/m", stream=True), wanted, code, 1)


def test_a_refused_connection_is_followed_by_the_next_deployment(rig: Rig) -> None:
    """Failed connects count as attempts; alone they are 502 `upstream_unreachable`."""
    reply = rig.gateway.chat("gone-first")
    assert (reply.status, reply.header("x-gateway-attempts")) == (200, "2")
    check_final(rig.gateway.chat("gone"), 502, "upstream_unreachable", 1)


def test_silence_is_followed_by_the_next_deployment(rig: Rig) -> None:
    """No first byte in time: the next target, else 504; also when the head is there and the body is not."""
    head = send(raw_head(200, [("content-type", "application/json"), ("content-length", "10")]))
    for script in ([stall()], [head, stall()]):
        reply = rig.answered(script, "hasty-first")
        assert (reply.status, reply.header("x-gateway-attempts")) == (200, "2")
        check_final(rig.answered(script, "quick"), 504, "upstream_timeout", 1)
    events = send(raw_head(200, [*EVENTS, ("transfer-encoding", "chunked")]))
    rig.b.then(GOOD)
    assert rig.answered([events, stall()], "hasty-first", stream=True).header("x-gateway-attempts") == "2"
    check_final(rig.answered([events, stall()], "quick", stream=True), 504, "upstream_timeout", 1)


def test_comments_are_no_answer(rig: Rig) -> None:
    """Keep-alives say that somebody is there, for as long as a first byte may take: then the next target, else 504."""
    comments = [step for _ in range(100) for step in (send(chunked(b": alive\n\n")), sleep(0.1))]
    alive = [*sse([], done=False)[:1], *comments]
    rig.b.then(GOOD)
    reply = rig.answered(alive, "hasty-first", stream=True)
    assert (reply.status, reply.header("x-gateway-attempts")) == (200, "2")
    check_final(rig.answered(alive, "quick", stream=True), 504, "upstream_timeout", 1)


@pytest.mark.parametrize("code", [400, 404, 413, 422])
def test_what_the_provider_blames_on_the_client_is_final(rig: Rig, code: int) -> None:
    """400, 404, 413 and 422 pass with their sanitised text; no other deployment is asked."""
    error = {"message": f"Bad thing {code}.", "type": "invalid_request_error", "param": "messages", "code": "odd_code"}
    reply = rig.answered(json_reply({"error": error}, code), "pair")
    assert reply.status == code
    assert reply.error == error
    assert reply.header("x-should-retry") == "false"
    assert not rig.b.received


def test_the_last_error_is_what_the_client_reads(rig: Rig) -> None:
    """Both targets fail: the client gets the second's error and the number of attempts."""
    rig.b.then(status(503, b"", [("retry-after", "7")]))
    reply = rig.answered(status(500), "pair")
    assert (reply.status, reply.header("x-gateway-attempts")) == (503, "2")
    assert reply.header("retry-after") == "7"
    line = rig.gateway.line(reply.header("x-request-id") or "")
    assert (line["reason"], line["attempts"], line["provider"]) == ("upstream_overloaded", 2, "b")
    assert line["input_tokens"] is None, "a failed call is not charged to the client"


def test_one_deployment_is_tried_again_after_a_backoff(rig: Rig) -> None:
    """`retry_attempts: 2` means three tries; success in the third is success."""
    rig.a.then(status(500), status(502))
    reply = rig.answered(json_reply(COMPLETION), "thrice")
    assert (reply.status, reply.header("x-gateway-attempts")) == (200, "3")
    rig.gateway.worker.board.forget()  # or the retry budget would be spent
    rig.a.then(status(500), status(502), status(500))
    check_final(rig.gateway.chat("thrice"), 502, "upstream_error", 3)


def test_retries_end_with_the_deadline(rig: Rig) -> None:
    """`total` bounds all attempts together: once it is spent, no further try begins."""
    rig.a.default = [stall()]
    began = time.monotonic()
    reply = rig.gateway.chat("short")
    assert (reply.status, reply.error["code"]) == (504, "upstream_timeout")
    assert time.monotonic() - began < 5
    assert len(rig.a.received) == 1


@pytest.mark.parametrize("value", ["1", "0.05", "0"])
def test_a_short_wait_of_a_rate_limit_is_waited_for(rig: Rig, value: str) -> None:
    """429 with Retry-After of two seconds at most and no other deployment: one more try, after the wait."""
    rig.a.then(status(429, b"", [("retry-after", value)]))
    began = time.monotonic()
    reply = rig.gateway.chat("thrice")
    assert (reply.status, reply.header("x-gateway-attempts")) == (200, "2")
    assert time.monotonic() - began >= float(value)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([], "5"),
        ([("retry-after", "3")], "3"),
        ([("retry-after", "2.5")], "3"),
        ([("retry-after-ms", "2500")], "3"),
        ([("retry-after", "100000")], "120"),
        ([("retry-after", "nan")], None),
        ([("retry-after", "inf")], None),
        ([("retry-after", "soon")], None),
        ([("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT")], "120"),
    ],
)
def test_a_rate_limit_says_when_to_come_back(rig: Rig, headers: Any, wanted: str | None) -> None:
    """The provider's wait reaches the client as a whole number of seconds from 1 to 120; a bare 429 is 5."""
    reply = rig.answered(status(429, b"", headers), "thrice")
    check_final(reply, 429, "upstream_rate_limited", 1)
    assert 1 <= int(reply.header("retry-after") or 0) <= 120
    assert 1 <= int(reply.header("retry-after-ms") or 0) <= 120_000
    assert wanted in (None, reply.header("retry-after"))
    assert reply.header("x-should-retry") == "true"


def test_our_refused_credential_is_never_the_clients_401(rig: Rig) -> None:
    """Whatever the provider says of our key, the client reads 502 `provider_auth` and nothing of the text."""
    for code in (401, 402, 403):
        body = {"error": {"message": f"Incorrect API key provided: {KEY_A}", "code": "invalid_api_key"}}
        reply = rig.answered(json_reply(body, code, [("www-authenticate", "Bearer")]), "a/m")
        assert (reply.status, reply.error["code"]) == (502, "provider_auth")
        assert KEY_A.encode() not in reply.head + reply.body
        assert reply.header("www-authenticate") is None


def test_nothing_secret_of_a_provider_reaches_the_client_or_the_log(rig: Rig) -> None:
    """Keys of any form, URLs, hosts and tokens in a provider's error text are taken out, in bodies and frames."""
    text = f"key {KEY_A} and {KEY_B} at {rig.a.base_url}/v1 (127.0.0.1:{rig.a.port}) with Bearer abcdef123456 failed"
    error = {"error": {"message": text, "type": "invalid_request_error", "param": None, "code": KEY_A}}
    replies = [
        rig.answered(json_reply(error, 400), "a/m"),
        rig.answered(json_reply(error), "a/m"),
        rig.answered(sse([error]), "a/m", stream=True),
        rig.answered(sse([chunk("x"), error]), "a/m", stream=True),
        rig.answered(sse([chunk("x"), error], pause=0.02), "a/m", stream=True),
        rig.answered(json_reply({"error": {"message": text, "code": "context_length_exceeded"}}), "a/m"),
    ]
    log = b""
    for reply in replies:
        rig.gateway.line(reply.header("x-request-id") or "")
        log = rig.gateway.log_file.read_bytes()
        for canary in (KEY_A, f"127.0.0.1:{rig.a.port}", "abcdef123456", str(rig.a.port)):
            assert canary.encode() not in reply.body, (canary, reply.body)
            assert canary.encode() not in reply.head
            assert canary.encode() not in log
    assert KEY_A.encode() not in rig.gateway.get("/metrics").body


@pytest.mark.parametrize("stream", [False, True])
def test_media_types_are_read_in_any_case(rig: Rig, stream: bool) -> None:
    """`APPLICATION/JSON` is JSON, `Text/Event-Stream` a stream; parameters are left as they are."""
    kind = "Text/Event-Stream" if stream else "APPLICATION/JSON; charset=UTF-8"
    lines = [("content-type", kind), ("transfer-encoding", "chunked")]
    body = (
        b"".join(step.data for step in GOOD[1:] if isinstance(step, Send)) if stream else chunked(WHOLE) + chunked(b"")
    )
    reply = rig.answered([send(raw_head(200, lines) + body)], "a/m", stream=stream)
    assert reply.status == 200, reply.body
    assert reply.header("content-type") == ("text/event-stream" if stream else "application/json; charset=UTF-8")


def test_an_event_stream_nobody_asked_for_is_no_answer(rig: Rig) -> None:
    """A client without `stream` could not read events."""
    check_final(rig.answered(GOOD, "a/m"), 502, "bad_upstream_response", 1)


def test_a_whole_reply_is_no_stream_of_responses(rig: Rig) -> None:
    """Responses asked for as a stream come as a stream or not at all."""
    rig.a.then(json_reply({"id": "r", "model": "m"}))
    reply = rig.gateway.post("/v1/responses", {"model": "a/m", "input": "x", "stream": True})
    check_final(reply, 502, "bad_upstream_response", 1)


def test_silent_speech_is_no_answer(rig: Rig) -> None:
    """An empty 200 is a failure for audio too."""
    rig.a.then(status(200, b"", [("content-type", "audio/mpeg")]))
    reply = rig.gateway.post("/v1/audio/speech", {"model": "pair", "input": "x", "voice": "v"})
    assert reply.header("x-gateway-attempts") == "2"


def test_attempts_and_fallbacks_are_counted(rig: Rig) -> None:
    """Each attempt is one fact with its outcome, each fallback another."""
    before = rig.gateway.metric("gateway_fallbacks_total")
    failed = rig.gateway.metric(
        'gateway_upstream_attempts_total{provider="a",deployment="a/upstream-private-a",outcome="5xx"}'
    )
    rig.answered(status(500), "pair")
    assert rig.gateway.metric("gateway_fallbacks_total") == before + 1
    name = 'gateway_upstream_attempts_total{provider="a",deployment="a/upstream-private-a",outcome="5xx"}'
    assert rig.gateway.metric(name) == failed + 1


def test_keys_of_one_provider_are_used_in_turn() -> None:
    """Several keys take turns whatever other providers are asked in between."""
    extra_key = "second-provider-canary"
    with rigged() as rig:
        text = rig.gateway.config.read_text()
        two = text.replace(f"api_key: {KEY_A}", f"api_key: [{KEY_A}, {extra_key}]")
        two = two.replace(f"api_key: {KEY_B}", f"api_key: [{KEY_B}, {extra_key}]")
        from tests.support.app import running  # noqa: PLC0415

        with running(two) as gateway:
            for _ in range(6):
                assert gateway.chat("a/m").status == 200
                assert gateway.chat("b/m").status == 200
        for upstream, first in ((rig.a, KEY_A), (rig.b, KEY_B)):
            used = [request.header("authorization") for request in upstream.received]
            assert used.count(f"Bearer {first}") == 3
            assert used.count(f"Bearer {extra_key}") == 3


def test_slices_of_a_list_are_tried_again_as_one(rig: Rig) -> None:
    """When one slice of a split list fails, the attempt fails; its error is the client's, and no task is left."""
    rig.a.default = lambda request: (
        status(500)
        if "bad" in json.loads(request.body)["input"]
        else json_reply({"data": [{"index": 0, "embedding": [1.0]}] * 2})
    )
    reply = rig.gateway.post("/v1/embeddings", {"model": "vectors", "input": ["a", "b", "bad", "c", "d", "e"]})
    check_final(reply, 502, "upstream_error", 1)


def test_a_chat_without_messages_is_the_providers_business(rig: Rig) -> None:
    """The gateway does not judge what it does not need to read."""
    assert rig.gateway.post("/v1/chat/completions", {"model": "m", "messages": 5}).status == 200
    assert rig.gateway.post("/v1/chat/completions", chat_body("m", messages=None)).status == 200


async def test_an_answer_that_came_as_its_client_left_is_broken_off() -> None:
    """An attempt that outlives its client, and was answered in the same turn of the loop, leaves nothing behind."""
    observer, clock = SilentObserver(), time.monotonic
    own = Deployment("p/m", Provider("p", "mock", "http://x", drain=Drain()), "mock-small")
    board = Board(observer, clock, Random(1))
    forwarder = Forwarder(Sender(lambda _: MockEngine(), discover(), clock), board, observer, clock, Random(1))
    raw = b'{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
    call = Call("c", "r", Service.CHAT, "/chat/completions", "m", raw, clock(), stream=True, model_span=(9, 12))
    progress = Progress()
    request = asyncio.ensure_future(forwarder.forward(call, Plan("r", (own,), "rev"), progress))
    while progress.ticket is None and not request.done():  # noqa: ASYNC110 - the very turn in which the attempt is over
        await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    answer = forwarder.give_up(progress)
    assert answer is not None
    assert answer.relay is not None
    assert answer.relay.over
    forwarder.committed_attempt_ended(progress, ClientGone())
    assert board.of(own).in_flight == 0


async def test_requests_are_counted() -> None:
    """How many an attempt has sent is known of each: of one that was split and failed, too."""
    observer, clock = SilentObserver(), time.monotonic
    split = Provider("p", "mock", "http://x", batch_size=2, retry_attempts=0)
    failing, good = Deployment("p/bad", split, "mock-fault/status-500"), Deployment("p/m", split, "mock-small")
    whole = Deployment("q/m", Provider("q", "mock", "http://x"), "mock-small")
    board = Board(observer, clock, Random(1))
    forwarder = Forwarder(Sender(lambda _: MockEngine(), discover(), clock), board, observer, clock, Random(1))
    raw = b'{"model":"m","input":["a","b","c","d","e"]}'
    for targets, failed, answered in (((good,), [], 3), ((failing, good), [3], 3), ((failing, whole), [3], 1)):
        call = Call("c", "r", Service.EMBEDDINGS, "/embeddings", "m", raw, clock(), inputs=5, model_span=(9, 12))
        progress = Progress()
        await forwarder.forward(call, Plan("r", targets, "rev"), progress)
        assert [failure.requests for failure in progress.failures] == failed
        assert progress.requests == answered
