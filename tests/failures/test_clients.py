"""The failure table's rows of clients: too large, too slow, gone. What they get, who pays, and that nothing hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.http import watch
from gateway.types import LedgerRow, LedgerState, TokenSource
from tests.support.app import Client, Reply, unique, until
from tests.support.rig import USAGE_CHUNK, chat_body, chunk
from tests.support.steps import Send, Step, sleep, sse, stall

from .faults import BEGUN
from .rig import Rig, rigged

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    directory: Path = tmp_path_factory.mktemp("clients")
    with rigged(directory, max_body_bytes=64 * 1024) as rig:
        yield rig


def headers(rig: Rig, request_id: str) -> list[tuple[str, str]]:
    return [("authorization", f"Bearer {rig.secret}"), ("x-request-id", request_id)]


def row_of(rig: Rig, request_id: str) -> LedgerRow:
    """The one row of a call."""
    (row,) = rig.rows(Reply(0, [("x-request-id", request_id)], b""), 1)
    return row


def test_request_too_large(rig: Rig) -> None:
    """413, whether its size was declared or found out; no provider hears of it, nobody pays."""
    for body in (chat_body("near/m", filler="x" * 70_000), b'{"model":"near/m","x":"' + b"x" * 70_000):
        reply = rig.gateway.post(CHAT, body, headers(rig, unique("large")))
        assert (reply.status, reply.error["code"]) == (413, "request_too_large")
        assert reply.header("x-should-retry") == "false"
    assert not rig.near.received


def test_slow_upload(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """408 for a body that hardly moves for half a minute (here: a moment), and the connection is closed."""
    monkeypatch.setattr(watch, "UPLOAD_WINDOW", 0.3)
    with rig.gateway.client() as client:
        client.send("POST", CHAT, b'{"model":', headers(rig, "slow"), length=500)
        reply = client.reply()
        assert (reply.status, reply.error["code"]) == (408, "request_timeout")
        assert reply.header("connection") == "close"
        assert client.ended()
    assert not rig.near.received


@pytest.mark.parametrize("stream", [False, True])
def test_disconnect_before_the_answer(rig: Rig, stream: bool) -> None:
    """The provider's connection ends within a second; 499 in the log; the input that was sent is the caller's."""
    rig.near.default = [stall()]
    request_id = unique("left")
    with rig.gateway.client() as client:
        client.post(CHAT, chat_body("near/m", stream=stream), headers(rig, request_id))
        rig.near.wait_until(lambda: len(rig.near.received) == 1)
    rig.settled()
    row = row_of(rig, request_id)
    assert (row.state, row.status, row.reason) == (LedgerState.SETTLED, 499, "client_disconnected")
    assert row.token_source is TokenSource.PARTIAL
    assert row.input_tokens > 0
    assert row.output_tokens == 0
    assert rig.gateway.line(request_id)["status"] == 499
    assert rig.out_for("near/m") == ""


def test_disconnect_in_the_stream(rig: Rig) -> None:
    """Cancelled: what was relayed is estimated and paid."""
    rig.near.default = [*BEGUN, stall()]
    request_id = unique("left")
    with rig.gateway.client() as client:
        client.post(CHAT, chat_body("near/m", stream=True), headers(rig, request_id))
        client.read_until(client.head(), b"two")
    rig.settled()
    row = row_of(rig, request_id)
    assert (row.status, row.reason, row.token_source) == (499, "client_disconnected", TokenSource.PARTIAL)
    assert row.output_tokens > 0


REST: list[Step] = sse([chunk(" three"), chunk(finish="stop"), USAGE_CHUNK])[1:]  # without the head
MOMENT = sleep(0.6)


@pytest.mark.parametrize("when", ["before the head", "mid-stream"])
def test_disconnect_with_a_provider_that_is_drained(rig: Rig, when: str) -> None:
    """The rest is read although nobody waits for it: the row has the provider's count."""
    rig.near.default = [MOMENT, *BEGUN, *REST] if when == "before the head" else [*BEGUN, MOMENT, *REST]
    request_id = unique("left")
    with rig.gateway.client() as client:
        client.post(CHAT, chat_body("drained/m", stream=True), headers(rig, request_id))
        rig.near.wait_until(lambda: len(rig.near.received) == 1)
        if when == "mid-stream":
            client.read_until(client.head(), b"two")
    row = row_of(rig, request_id)
    assert (row.status, row.reason, row.token_source) == (499, "client_disconnected", TokenSource.PROVIDER)
    assert (row.input_tokens, row.output_tokens) == (3, 2)
    rig.settled()


@pytest.mark.parametrize("script", [[stall()], [*BEGUN, stall()]], ids=["before the head", "mid-stream"])
def test_draining_is_bounded(rig: Rig, script: list[Step]) -> None:
    """In time (here: a second) and in number (here: one): the rest is cancelled and estimated."""
    rig.near.default = script
    ids = [unique("left") for _ in range(3)]
    clients: list[Client] = []
    for request_id in ids:
        clients.append(rig.gateway.client())
        clients[-1].post(CHAT, chat_body("drained/m", stream=True), headers(rig, request_id))
    rig.near.wait_until(lambda: len(rig.near.received) == 3)
    for client in clients:
        client.socket.close()
    rows = [row_of(rig, request_id) for request_id in ids]
    assert {(row.reason, row.token_source) for row in rows} == {("client_disconnected", TokenSource.PARTIAL)}
    rig.settled()
    until(lambda: not len(rig.gateway.pipeline._forwarder._drains))


def test_clients_that_leave_as_their_answers_begin(rig: Rig) -> None:
    """Whichever comes first, by however little: each attempt is ended and booked once."""
    rig.near.default = [*BEGUN, stall()]
    ids = [unique("left") for _ in range(24)]
    for number, request_id in enumerate(ids):
        with rig.gateway.client() as client:
            client.post(CHAT, chat_body("drained/m", stream=True), headers(rig, request_id))
            rig.near.wait_until(lambda wanted=number + 1: len(rig.near.received) >= wanted)  # type: ignore[misc]
            time.sleep(number % 8 * 0.0005)
    rig.settled()
    for request_id in ids:
        assert row_of(rig, request_id).reason == "client_disconnected"


@pytest.mark.slow
def test_slow_reader(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that leaves its answer unread for a minute (here: half a second) is cut off; upstream is not read on."""
    monkeypatch.setattr(watch, "READER_SECONDS", 0.5)
    piece = chunk("x" * 30_000)
    big = sse([piece] * 400)
    rig.near.default = big
    request_id = unique("reader")
    client = Client(rig.gateway.port, receive_buffer=4096)
    try:
        client.post(CHAT, chat_body("near/m", stream=True), headers(rig, request_id))
        client.head()
        until(lambda: rig.gateway.pipeline.in_flight == 0, "the end of the call", 20)
    finally:
        client.socket.close()
    row = row_of(rig, request_id)
    assert row.status == 499
    assert row.output_tokens > 0
    assert rig.near.bytes_sent < sum(len(step.data) for step in big if isinstance(step, Send))
    rig.settled()
    assert rig.out_for("near/m") == ""
