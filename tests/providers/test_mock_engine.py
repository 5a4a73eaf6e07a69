"""The in-process engine: the contract of `gateway.ports.Engine`, played without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from gateway.errors import (
    UpstreamDisconnected,
    UpstreamError,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTooLarge,
    UpstreamTruncated,
)
from gateway.ports import Deadlines, Endpoint, Engine, RequestHead, UpstreamRequest
from gateway.providers.scripted import Bill, Row
from gateway.upstream.engines.mock import MockEngine

HEADERS = ((b"host", b"mock"), (b"content-type", b"application/json"))
SHORT = Deadlines(first_byte=0.05, idle=0.05)
LONG = Deadlines()


@pytest.fixture(autouse=True)
def bill(monkeypatch: pytest.MonkeyPatch) -> Bill:
    fresh = Bill()
    monkeypatch.setattr(MockEngine, "bill", fresh)
    return fresh


def request(script: str = "", body: Any = None, **more: Any) -> UpstreamRequest:
    head = RequestHead(Endpoint("mock", 80, tls=False), b"POST", b"/v1/chat/completions", HEADERS)
    content = orjson.dumps({"model": "mock-small", "messages": [{"role": "user", "content": "hello"}], **more})
    return UpstreamRequest(head, [content] if body is None else body, ((b"x-mock-script", script.encode()),))


async def come(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until it holds, a bounded number of turns."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition did not come true")


def only(bill: Bill) -> Row:
    (row,) = bill.rows
    return row


async def test_a_whole_answer_is_read_and_booked(bill: Bill) -> None:
    """Status, headers and body are the scenario's; the bill has its usage."""
    engine: Engine = MockEngine()
    response = await engine.send(request(), LONG)
    answer = orjson.loads(await response.read(1 << 20))
    assert response.status == 200
    assert answer["choices"][0]["message"]["content"] == "echo: hello"
    row = only(bill)
    assert (row.outcome, row.input_tokens, row.output_tokens) == ("completed", 2, 3)
    response.abort()
    assert len(bill.rows) == 1
    assert repr(engine) == "<MockEngine open=0>"


async def test_chunks_are_the_sends_and_the_row_stands_before_the_end(bill: Bill) -> None:
    """Whoever holds the last byte finds the bill complete; the end repeats as often as asked."""
    response = await MockEngine().send(request(stream=True), LONG)
    data = b""
    while not data.endswith(b"[DONE]\n\n"):
        data += await response.chunk()
    assert only(bill).outcome == "completed"
    assert (await response.chunk(), await response.chunk()) == (b"", b"")


@pytest.mark.parametrize(
    ("script", "error", "outcome"),
    [
        ("hang", UpstreamTimeout, "cancelled"),
        ("slow-first-byte-60s", UpstreamTimeout, "cancelled"),
        ("drop", UpstreamDisconnected, "cut"),
    ],
)
async def test_failures_before_the_head(bill: Bill, script: str, error: type[UpstreamError], outcome: str) -> None:
    """`send` raises what a real connection would, within the first-byte deadline."""
    with pytest.raises(error):
        await MockEngine().send(request(script), SHORT)
    assert only(bill).outcome == outcome


@pytest.mark.parametrize(
    ("script", "error", "outcome"),
    [
        ("stall-after-2", UpstreamStalled, "cancelled"),
        ("pace-60s", UpstreamStalled, "cancelled"),
        ("cut-after-300", UpstreamTruncated, "cut"),
        ("reset-after-300", UpstreamTruncated, "cut"),
        ("cut-after-0", UpstreamTruncated, "cut"),
    ],
)
async def test_failures_within_the_body(bill: Bill, script: str, error: type[UpstreamError], outcome: str) -> None:
    """`chunk` and every later call raise; tokens sent until then are charged."""
    response = await MockEngine().send(request(script, stream=True), SHORT)
    with pytest.raises(error):
        await response.read(1 << 20)
    with pytest.raises(error):
        await response.chunk()
    row = only(bill)
    assert (row.outcome, row.input_tokens) == (outcome, 2)
    assert row.output_tokens < 3


async def test_the_absolute_deadline_is_a_timeout() -> None:
    """`at` bounds head and body alike, whatever the other deadlines allow."""
    at = asyncio.get_running_loop().time() + 0.05
    with pytest.raises(UpstreamTimeout):
        await MockEngine().send(request("hang"), Deadlines(at=at))
    response = await MockEngine().send(request("stall-after-1", stream=True), Deadlines(at=at + 0.05))
    with pytest.raises(UpstreamTimeout):
        await response.read(1 << 20)


async def test_pauses_within_the_deadline_pass() -> None:
    """A slow but living answer is whole."""
    response = await MockEngine().send(request("slow-first-byte-5ms;pace-2ms", stream=True), LONG)
    assert (await response.read(1 << 20)).endswith(b"[DONE]\n\n")


async def test_a_large_answer_is_refused(bill: Bill) -> None:
    """`read` holds no more than its limit and lets go of the answer."""
    response = await MockEngine().send(request(stream=True), LONG)
    with pytest.raises(UpstreamTooLarge):
        await response.read(100)
    assert only(bill).outcome == "cancelled"


async def test_abort_wakes_whoever_waits(bill: Bill) -> None:
    """A chunk in a pause breaks off at once, and the tokens sent so far are booked."""
    response = await MockEngine().send(request("stall-after-2", stream=True), LONG)
    for _ in range(2):
        await response.chunk()
    waiting = asyncio.ensure_future(response.chunk())
    await come(lambda: response._pausing is not None)
    response.abort()
    response.abort()
    with pytest.raises(UpstreamTruncated):
        await waiting
    row = only(bill)
    assert (row.outcome, row.output_tokens) == ("cancelled", 1)


async def test_close_breaks_off_open_answers_and_heads(bill: Bill) -> None:
    """Nothing survives the engine, neither a body nor a request that waits for its head."""
    engine = MockEngine()
    response = await engine.send(request("stall-after-0", stream=True), LONG)
    head = asyncio.ensure_future(engine.send(request("hang"), LONG))
    await come(lambda: len(engine._open) == 2)
    await engine.close()
    with pytest.raises(UpstreamTruncated):
        await response.chunk()
    with pytest.raises(UpstreamDisconnected):
        await head
    assert bill.totals["cancelled"] == 2


async def test_cancellation_books_and_leaves_nothing_open(bill: Bill) -> None:
    """A cancelled `send` is a client that left; a cancelled `chunk` loses no bytes."""
    engine = MockEngine()
    head = asyncio.ensure_future(engine.send(request("hang"), LONG))
    await come(lambda: len(engine._open) == 1)
    head.cancel()
    with pytest.raises(asyncio.CancelledError):
        await head
    assert not engine._open
    assert only(bill).outcome == "cancelled"
    whole = await (await engine.send(request(stream=True), LONG)).read(1 << 20)
    response = await engine.send(request("pace-5ms", stream=True), LONG)
    data = await response.chunk()
    chunk = asyncio.ensure_future(response.chunk())
    await come(lambda: response._pausing is not None)
    chunk.cancel()
    await asyncio.gather(chunk, return_exceptions=True)
    assert data + await response.read(1 << 20) == whole


@dataclass
class Upload:
    """A body that arrives in parts, or never."""

    content: Sequence[bytes]
    endless: bool = False

    size = None

    def parts(self) -> Sequence[bytes] | None:
        return None

    async def stream(self) -> AsyncIterator[bytes]:
        for part in self.content:
            await asyncio.sleep(0)
            yield part
        if self.endless:
            await asyncio.Event().wait()


async def test_a_body_that_is_still_arriving_is_awaited() -> None:
    """Streamed uploads count as sent when they are whole, and time out when they never are."""
    content = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": "parts"}]})
    response = await MockEngine().send(request(body=Upload([content[:9], content[9:]])), LONG)
    assert b"echo: parts" in await response.read(1 << 20)
    with pytest.raises(UpstreamTimeout):
        await MockEngine().send(request(body=Upload([content[:9]], endless=True)), SHORT)


def said(data: bytes, *, stream: bool) -> str:
    if not stream:
        return str(orjson.loads(data)["choices"][0]["message"]["content"])
    chunks = [orjson.loads(line[6:]) for line in data.split(b"\n") if line.startswith(b"data: {")]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


async def test_crossed_requests_get_their_own_answers(bill: Bill) -> None:
    """Many at once, some cut: each gets its echo, and totals are exact."""
    engine = MockEngine()

    async def one(number: int) -> None:
        messages = [{"role": "user", "content": f"n{number}"}]
        if number % 4 == 0:
            response = await engine.send(request("cut-after-0", messages=messages), LONG)
            with pytest.raises(UpstreamTruncated):
                await response.read(1 << 20)
            return
        response = await engine.send(request("pace-1ms", messages=messages, stream=number % 2 == 1), LONG)
        data = await response.read(1 << 20)
        assert said(data, stream=number % 2 == 1) == f"echo: n{number}"

    await asyncio.gather(*(one(number) for number in range(100)))
    assert (bill.totals["completed"], bill.totals["cut"]) == (75, 25)
    assert bill.totals["input_tokens"] == sum(row.input_tokens for row in bill.rows) == 100
