"""A network that cuts, resets, stalls and drips: nothing is tried twice after it began, and no bytes are spliced."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.endurance.sizes import sizes
from tests.support.app import Gateway, Reply, running, until
from tests.support.chaos import Break, ChaosProxy
from tests.support.rig import chunk
from tests.support.steps import Script, json_reply, sse
from tests.support.upstream import Received, ScriptedUpstream

from .faults import CASES, FAULTS, script_of
from .rig import Rig

PIECES = 12
CONFIG = """
version: 1
providers:
  one: {{type: openai_compatible, base_url: "http://127.0.0.1:{one}/v1", {quick}, models: [m]}}
  two: {{type: openai_compatible, base_url: "http://127.0.0.1:{two}/v1", {quick}, models: [m]}}
routes:
  - {{name: pair, match: {{model: pair}}, targets: [{{provider: one, model: m}}, {{provider: two, model: m}}]}}
"""
QUICK = "retry_attempts: 1, retry_delay: 0.005, breaker: false, timeout: {connect: 1, first_byte: 1, idle: 0.5}"


def signed(request: Received) -> Script:
    """An answer in which every piece names the attempt that it belongs to."""
    attempt = request.header("x-client-request-id")
    pieces = [f"[{attempt}|{number}]" for number in range(PIECES)]
    if json.loads(request.body).get("stream"):
        return sse([*(chunk(piece) for piece in pieces), chunk(finish="stop")])
    message = {"role": "assistant", "content": "".join(pieces)}
    return json_reply({"id": "c", "object": "chat.completion", "model": "m", "choices": [{"message": message}]})


class Chaos:
    """A gateway before two providers, each behind a network of its own."""

    def __init__(self, gateway: Gateway, lines: tuple[ChaosProxy, ChaosProxy], ups: tuple[Any, Any]) -> None:
        self.gateway = gateway
        self.lines = lines
        self.upstreams = ups

    def heard(self) -> int:
        """Requests that reached a provider."""
        return sum(len(upstream.received) for upstream in self.upstreams)


@contextmanager
def chaotic() -> Iterator[Chaos]:
    with ExitStack() as stack:
        script: Any = signed
        ups = tuple(stack.enter_context(ScriptedUpstream(default=script)) for _ in range(2))
        lines = tuple(stack.enter_context(ChaosProxy(upstream.port)) for upstream in ups)
        config = CONFIG.format(one=lines[0].port, two=lines[1].port, quick=QUICK)
        with running(config) as gateway:
            yield Chaos(gateway, (lines[0], lines[1]), (ups[0], ups[1]))
            until(gateway.idle, "the end of every call")


def texts_of(reply: Reply, *, stream: bool) -> str:
    """The content as far as it came."""
    if not stream:
        return str(reply.json["choices"][0]["message"]["content"])
    chunks = [event for event in reply.events if isinstance(event, dict) and "choices" in event]
    return "".join(event["choices"][0]["delta"].get("content", "") for event in chunks)


def check(reply: Reply, *, stream: bool) -> str:
    """What may have come of a call; which that is."""
    if reply.status != 200:
        assert reply.status in (502, 504), reply.body
        assert reply.error["code"] in ("upstream_disconnected", "upstream_timeout", "bad_upstream_response")
        return "refused"
    found = re.findall(r"\[([^|\]]+)\|(\d+)\]", texts_of(reply, stream=stream))
    attempts = {attempt for attempt, _ in found}
    assert len(attempts) == 1, f"bytes of several attempts: {attempts}"
    assert [int(number) for _, number in found] == list(range(len(found))), "pieces in order, none twice"
    (attempt,) = attempts
    assert attempt.rpartition(".")[2] == reply.header("x-gateway-attempts"), "the last attempt is the one that began"
    assert reply.complete
    if not stream:
        assert len(found) == PIECES
        return "whole"
    assert reply.events[-1] == "[DONE]"
    broken = "error" in reply.events[-2]
    assert broken or len(found) == PIECES
    return "broken off" if broken else "whole"


@sizes("count", 120, 10_000)
def test_kills_at_random_offsets(count: int) -> None:
    """Connections die after any number of bytes, in any way, on either way: each answer is one attempt's alone, whole
    or with an error at its end, and no attempt follows one that began to answer."""
    chance = random.Random(count)
    kinds: Counter[str] = Counter()
    with chaotic() as chaos:
        for _ in range(count):
            stream = chance.random() < 0.7
            for line in chaos.lines:
                how = chance.choice(["close", "reset", "reset", "drip"])
                line.fault = None if chance.random() < 0.2 else Break(how, chance.randrange(0, 3500))
            heard = chaos.heard()
            reply = chaos.gateway.chat("pair", stream=stream)
            kind = check(reply, stream=stream)
            attempts = int(reply.header("x-gateway-attempts") or 0)
            # A connection that was idle may have died: then the engine sends this attempt once more on a fresh one. No
            # byte had come back.
            assert attempts <= 4
            assert chaos.heard() - heard <= 2 * attempts
            kinds[kind] += 1
            if kind != "whole":
                # Retries are budgeted; this is about kills.
                chaos.gateway.worker.board.forget()
        assert kinds["whole"] > count // 20
        assert kinds["broken off"] > count // 20


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["stall", "refuse"])
def test_networks_that_swallow(how: str, stream: bool) -> None:
    """A way that hangs or refuses is bounded by its time-outs, and the other provider answers."""
    with chaotic() as chaos:
        chaos.lines[0].fault = Break(how, 20)
        reply = chaos.gateway.chat("pair", stream=stream)
        assert check(reply, stream=stream) == "whole"
        assert reply.header("x-gateway-provider") == "two"


@pytest.mark.endurance
@pytest.mark.parametrize(("name", "stream"), CASES, ids=str)
def test_every_fault_two_hundred_times(rig: Rig, name: str, stream: bool) -> None:
    """Whatever the fault, nothing is left of two hundred calls: no task, no socket, no reservation."""
    fault = FAULTS[name]
    for _ in range(200):
        rig.gateway.worker.board.forget()
        rig.near.default = script_of(fault, stream)
        reply = rig.chat(f"{fault.at}/m", stream=stream)
        assert reply.status == (200 if fault.committed else fault.status)
    rig.settled()
