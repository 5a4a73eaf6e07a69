"""Calls that find every deployment at its concurrency limit wait in turn, for a while."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from gateway.upstream.turns import Turns
from tests.support.app import running, unique, until
from tests.support.rig import COMPLETION, Rig, chat_body
from tests.support.steps import Script, Step, json_reply, sleep, stall, status
from tests.support.upstream import ScriptedUpstream

CONFIG = """
version: 1
providers:
  {one}: {{type: openai_compatible, base_url: "{a}/v1", retry_attempts: 0, models: [x], {limits}}}
  {two}: {{type: openai_compatible, base_url: "{b}/v1", retry_attempts: 0, models: [x], {limits}}}
routes:
  - {{name: alone, match: {{model: alone}}, targets: [{{provider: {one}, model: x}}]}}
  - {{name: pair, match: {{model: pair}}, targets: [{{provider: {one}, model: x}}, {{provider: {two}, model: x}}]}}
"""


@contextmanager
def rigged(limits: str) -> Iterator[Rig]:
    reply = [sleep(0.05), *json_reply(COMPLETION)]
    with ScriptedUpstream(default=reply) as a, ScriptedUpstream(default=reply) as b:
        names = {"one": unique("one"), "two": unique("two")}
        with running(CONFIG.format(a=a.base_url, b=b.base_url, limits=limits, **names)) as gateway:
            yield Rig(gateway, a, b)
            assert not gateway.pipeline._forwarder._turns


def held(released: threading.Event, answer: object = COMPLETION) -> Script:
    """A good answer, once it is let go."""

    async def steps() -> AsyncIterator[Step]:
        while not released.is_set():  # noqa: ASYNC110 - set in another thread
            await asyncio.sleep(0.005)
        for step in json_reply(answer):
            yield step

    return lambda _: steps()


@pytest.mark.parametrize(("model", "slots"), [("alone", 1), ("pair", 2)])
def test_calls_wait_in_turn(model: str, slots: int) -> None:
    """One at a time at each: all are served, in the order in which they came."""
    with rigged("concurrency_limit: 1, queue_timeout: 20") as rig, ExitStack() as stack:
        released = threading.Event()
        for upstream in (rig.a, rig.b):
            upstream.then(held(released))
        clients = [stack.enter_context(rig.gateway.client()) for _ in range(8)]
        line = rig.gateway.pipeline._forwarder._turns
        for number, client in enumerate(clients):
            client.post("/v1/chat/completions", chat_body(model, user=str(number)))
            if number < slots:
                rig.a.wait_until(lambda wanted=number + 1: len(rig.a.received) + len(rig.b.received) == wanted)  # type: ignore[misc]
            else:
                until(lambda wanted=number + 1 - slots: len(line) == wanted, "its place in the line")  # type: ignore[misc]
        released.set()
        assert [client.reply().status for client in clients] == [200] * 8
        for upstream in (rig.a, rig.b):
            asked = [json.loads(request.body)["user"] for request in upstream.received]
            assert asked == sorted(asked)
        assert len(rig.a.received) + len(rig.b.received) == 8


def test_a_failed_attempt_calls_the_next() -> None:
    """The slot of an attempt that failed is free at once."""
    with rigged("concurrency_limit: 1, queue_timeout: 10") as rig, ExitStack() as stack:
        rig.a.default = [sleep(0.05), *status(400)]
        clients = [stack.enter_context(rig.gateway.client()) for _ in range(4)]
        for client in clients:
            client.post("/v1/chat/completions", chat_body("alone"))
        assert [client.reply().status for client in clients] == [400] * 4


def test_waiting_ends_with_its_time() -> None:
    """429 as without waiting, once the time is over; a client that leaves the line is out of it."""
    with rigged("concurrency_limit: 1, queue_timeout: 200ms") as rig, ExitStack() as stack:
        rig.a.default = [sleep(5)]
        first = stack.enter_context(rig.gateway.client())
        first.post("/v1/chat/completions", chat_body("alone"))
        rig.a.wait_until(lambda: len(rig.a.received) == 1)
        began = time.monotonic()
        reply = rig.gateway.chat("alone")
        assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
        assert reply.header("x-gateway-attempts") == "0"
        assert int(reply.header("retry-after") or 0) >= 1
        assert time.monotonic() - began >= 0.2
        first.socket.close()
        until(rig.gateway.idle)


def test_calls_that_find_no_connection_go_elsewhere() -> None:
    """The slices of one call hold one slot of the limit, and every connection that it allows: another call waits for
    one as long as it would in line, then another target serves it. Other slices wait until their turn comes."""
    vector = {"object": "list", "data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 1}}
    with rigged("concurrency_limit: 3, batch_size: 1, queue_timeout: 200ms") as rig, ExitStack() as stack:
        released = threading.Event()
        rig.a.default = held(released, vector)
        clients = [stack.enter_context(rig.gateway.client()) for _ in range(2)]
        for client in clients:
            client.post("/v1/embeddings", {"model": "alone", "input": ["a", "b", "c"]})
            rig.a.wait_until(lambda: len(rig.a.received) == 3)
        reply = rig.gateway.chat("pair")
        assert (reply.status, reply.header("x-gateway-attempts")) == (200, "2")
        assert (len(rig.a.received), len(rig.b.received)) == (3, 1)
        alone = rig.gateway.chat("alone")
        assert (alone.status, alone.error["code"]) == (503, "upstream_overloaded")
        released.set()
        assert [client.reply().status for client in clients] == [200] * 2
        assert rig.a.connections == 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("header", ["x-request-timeout", "x-stainless-read-timeout"])
def test_waiting_ends_with_the_clients_own_time(header: str, stream: bool) -> None:
    """It is the client that waits no longer: 504, as after any other wait."""
    with rigged("concurrency_limit: 1, queue_timeout: 9") as rig, ExitStack() as stack:
        rig.a.default = [stall()]
        first = stack.enter_context(rig.gateway.client())
        first.post("/v1/chat/completions", chat_body("alone"))
        rig.a.wait_until(lambda: len(rig.a.received) == 1)
        reply = rig.gateway.chat("alone", [(header, "0.2")], stream=stream)
        assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
        assert len(rig.a.received) == 1
        first.socket.close()
        until(rig.gateway.idle)


def test_without_a_queue_it_is_refused_at_once() -> None:
    """`queue_timeout: 0`."""
    with rigged("concurrency_limit: 1, queue_timeout: 0") as rig, ExitStack() as stack:
        rig.a.default = [sleep(2)]
        first = stack.enter_context(rig.gateway.client())
        first.post("/v1/chat/completions", chat_body("alone"))
        rig.a.wait_until(lambda: len(rig.a.received) == 1)
        assert rig.gateway.chat("alone").status == 429
        first.socket.close()
        until(rig.gateway.idle)


async def test_the_line() -> None:
    """Whoever waits longest for what is free is called; who leaves calls the next; nobody overtakes."""
    turns = Turns()
    first, second, other = turns.join(["a"]), turns.join(["a", "b"]), turns.join(["c"])
    assert [turns.first(turn) for turn in (first, second, other)] == [True, False, True]
    assert turns.behind(["a", "b"])
    assert turns.behind(["a"])
    assert not turns.behind(["a", "d"])
    waiting = {turn: asyncio.create_task(turn.called(60)) for turn in (first, second, other)}
    await asyncio.sleep(0)
    turns.freed("b")
    await waiting[second]
    turns.freed("c")
    await waiting[other]
    assert not waiting[first].done() or first.ids == {"a"}
    waiting[second] = asyncio.create_task(second.called(60))
    await asyncio.sleep(0)
    first.leave()
    await waiting[second]
    second.leave()
    other.leave()
    other.leave()
    assert not turns.behind(["a"])
    assert len(turns) == 0
    await waiting[first]


async def test_what_becomes_free_while_a_call_asks_is_asked_for_once_more() -> None:
    """Its question was on the way when the slot became free, and may be answered with no: it need not wait for the
    next one that is freed."""
    turns = Turns()
    turns.join(["a"])
    second = turns.join(["a", "b"])
    turns.freed("b")
    await asyncio.wait_for(second.called(60), 10)
    again = asyncio.create_task(second.called(60))
    await asyncio.sleep(0)
    assert not again.done()
    turns.freed("b")
    await again
