"""Limits of providers and of single deployments: a full one is passed over; when all are full, the wait is true."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.app import Reply, running, unique, until
from tests.support.rig import COMPLETION, Rig
from tests.support.steps import json_reply, send, sleep, status
from tests.support.upstream import ScriptedUpstream

CONFIG = """
version: 1
providers:
  {one}: {{type: openai_compatible, base_url: "{a}/v1", retry_attempts: 0, {first}}}
  {two}: {{type: openai_compatible, base_url: "{b}/v1", retry_attempts: 0, {second}}}
routes:
  - {{name: pair, match: {{model: pair}}, targets: [{{provider: {one}, model: x}}, {{provider: {two}, model: x}}]}}
  - {{name: same, match: {{model: same}}, targets: [{{provider: {one}, model: x}}, {{provider: {one}, model: y}}]}}
"""
MODELS = "models: [x, y]"


@contextmanager
def rigged(first: str = MODELS, second: str = MODELS, extra: str = "") -> Iterator[Rig]:
    """A gateway with two providers; `{one}` and `{two}` in `extra` are their names."""
    names = {"one": unique("one"), "two": unique("two")}
    reply = json_reply(COMPLETION)
    with ScriptedUpstream(default=reply) as a, ScriptedUpstream(default=reply) as b:
        config = CONFIG.format(a=a.base_url, b=b.base_url, first=first, second=second, **names)
        with running(config + extra.format(**names)) as gateway:
            yield Rig(gateway, a, b)


def served_by(reply: Reply) -> str:
    """`one` or `two`, and how many attempts that took."""
    assert reply.status == 200, reply.body
    return f"{(reply.header('x-gateway-provider') or '').partition('-')[0]} after {reply.header('x-gateway-attempts')}"


@pytest.mark.parametrize(
    "first",
    [
        f"rate_limit: {{requests: 2/day}}, {MODELS}",
        "models: {x: {rate_limit: {requests: 2/day}}, y: {}}",
        f"rate_limit: {{requests: {{rate: 1/h, burst: 2}}}}, {MODELS}",
    ],
    ids=["provider", "deployment", "burst"],
)
def test_a_full_deployment_is_passed_over(first: str) -> None:
    """The next one serves at once; what was passed over is no attempt: not in the header, the metric or the log."""
    with rigged(first) as rig:
        replies = [rig.gateway.chat("pair") for _ in range(4)]
        assert [served_by(reply) for reply in replies] == ["one after 1", "one after 1", "two after 1", "two after 1"]
        assert (len(rig.a.received), len(rig.b.received)) == (2, 2)
        assert rig.gateway.metric("gateway_upstream_attempts_total") == 4
        assert rig.gateway.metric("gateway_fallbacks_total") == 0
        line = rig.gateway.line(replies[2].header("x-request-id") or "")
        assert line["attempts"] == 1


def test_a_models_limit_is_its_own() -> None:
    """Another model of the same provider goes on."""
    with rigged("models: {x: {rate_limit: {requests: 1/day}}, y: {}}") as rig:
        replies = [rig.gateway.chat("same") for _ in range(2)]
        assert [reply.header("x-gateway-model") for reply in replies] == ["x", "y"]


def test_all_full() -> None:
    """429 with the wait of the first that takes calls again; no provider hears of it, and nobody's limits are told."""
    slow, soon = (f"rate_limit: {{requests: {{rate: {rate}, burst: 1}}}}, {MODELS}" for rate in ("1/day", "30/min"))
    with rigged(slow, soon) as rig:
        assert [served_by(rig.gateway.chat("pair")) for _ in range(2)] == ["one after 1", "two after 1"]
        reply = rig.gateway.chat("pair")
        assert reply.status == 429
        assert (reply.error["type"], reply.error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
        assert reply.header("x-should-retry") == "true"
        assert reply.header("x-gateway-attempts") == "0"
        assert reply.header("x-ratelimit-limit-requests") is None
        assert 0 < int(reply.header("retry-after-ms") or 0) <= 2000
        assert reply.header("retry-after") in {"1", "2"}
        assert (len(rig.a.received), len(rig.b.received)) == (1, 1)


def test_who_waits_as_told_is_served() -> None:
    """The wait is the truth: after exactly that long the call is admitted, every time."""
    with rigged(f"rate_limit: {{requests: {{rate: 10/s, burst: 1}}}}, {MODELS}") as rig:
        model = "same"
        for _ in range(5):
            while (reply := rig.gateway.chat(model)).status == 200:
                pass
            time.sleep(int(reply.header("retry-after-ms") or 0) / 1000)
            assert rig.gateway.chat(model).status == 200


def test_slots() -> None:
    """`concurrency_limit` counts calls under way, a stream until its end; a failed attempt frees its slot at once."""
    with rigged(f"concurrency_limit: 1, {MODELS}") as rig:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        event = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
        rig.a.then([send(head + event), sleep(8)])
        with rig.gateway.client() as client:
            client.post("/v1/chat/completions", {"model": "pair", "messages": [], "stream": True})
            client.chunk(client.head())
            assert served_by(rig.gateway.chat("pair")) == "two after 1"
        until(lambda: served_by(rig.gateway.chat("pair")) == "one after 1", "the slot is free again")
        rig.a.then(status(500))
        assert served_by(rig.gateway.chat("pair")) == "two after 2"
        until(lambda: served_by(rig.gateway.chat("pair")) == "one after 1", "the failed attempt's slot is free again")


def test_a_failure_and_then_a_full_one() -> None:
    """What failed is told, not that nothing else was left."""
    with rigged(second=f"rate_limit: {{requests: 1/day}}, {MODELS}") as rig:
        rig.a.then(status(500), status(500))
        assert served_by(rig.gateway.chat("pair")) == "two after 2"
        reply = rig.gateway.chat("pair")
        assert reply.status == 502
        assert reply.error["code"] == "upstream_error"
        assert reply.header("x-gateway-attempts") == "1"


def test_tokens() -> None:
    """A call that is larger than one deployment's bucket goes to another; where none is large enough it is a 400, and
    without max_tokens an expectation is no reason to refuse."""
    small = "rate_limit: {tokens: 100/day}, models: [x, y]"
    with rigged(small) as rig:
        assert served_by(rig.gateway.chat("pair", max_tokens=5000)) == "two after 1"
        assert served_by(rig.gateway.chat("pair")) == "one after 1"
    with rigged(small, small) as rig:
        reply = rig.gateway.chat("pair", max_tokens=5000)
        assert reply.status == 400
        assert reply.error["code"] == "request_exceeds_limit"
        assert not rig.a.received


@pytest.mark.parametrize("rule", ["scope: provider, only: {one}", "scope: deployment, only: '{one}/*'"])
def test_rules(rule: str) -> None:
    """A rule for a provider or its deployments binds attempts, too."""
    extra = f"limits:\n  - {{{{name: {unique('rule')}, {rule}, requests: 1/day}}}}\n"
    with rigged(extra=extra) as rig:
        assert [served_by(rig.gateway.chat("pair")) for _ in range(2)] == ["one after 1", "two after 1"]


def test_limits_are_shared_by_reloads() -> None:
    """A reload does not hand out what was used already."""
    with rigged(f"rate_limit: {{requests: 1/day}}, {MODELS}") as rig:
        assert served_by(rig.gateway.chat("pair")) == "one after 1"
        text = rig.gateway.config.read_text()
        revision = rig.gateway.worker.revision
        rig.gateway.config.write_text(text.replace("retry_attempts: 0", "retry_attempts: 1"))
        until(lambda: rig.gateway.worker.revision != revision, "the reload")
        assert served_by(rig.gateway.chat("pair")) == "two after 1"
