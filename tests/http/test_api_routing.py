"""Routing as clients, operators and logs see it."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.routing.planner import Planner
from tests.support.alerts import fired
from tests.support.app import Reply, running, unique
from tests.support.rig import COMPLETION, Rig
from tests.support.steps import json_reply
from tests.support.upstream import ScriptedUpstream

CONFIG = """
version: 1
providers:
  a: {{type: openai_compatible, base_url: "{a}/v1", models: {models_a}}}
  b: {{type: openai_compatible, base_url: "{b}/v1", models: {models_b}}}
  {scarce}: {{type: openai_compatible, base_url: "{a}/v1", rate_limit: {{requests: 8/day}}, models: [any]}}
  {plenty}: {{type: openai_compatible, base_url: "{b}/v1", rate_limit: {{requests: 1000/day}}, models: [any]}}
  t: {{type: openai_compatible, base_url: "{b}/v1", retry_attempts: 0, status: testing, models: [n]}}
aliases: {{nick: m, third: t/n}}
routes:
  - name: long
    match: {{model: m, context: {{above: 5000}}}}
    targets: [{{provider: b, model: any}}]
  - name: large
    match: {{model: m, size: {{above: 10k}}}}
    targets: [{{provider: a, model: n}}]
  - name: main
    match: {{model: [m, "m-*"]}}
    targets: [{{provider: a, model: blind}}, {{provider: b, model: any}}, {{provider: t, model: n}}]
  - {{name: only, match: {{model: only}}, targets: [{{provider: a, model: blind}}]}}
  - name: price
    match: {{model: by-price}}
    strategy: cost_optimized
    targets: [{{provider: a, model: reader}}, {{provider: b, model: writer}}]
  - name: left
    match: {{model: by-headroom}}
    strategy: usage_based
    targets: [{{provider: {scarce}, model: any}}, {{provider: {plenty}, model: any}}]
  - {{name: rest, default: true, targets: [{{provider: b, model: any}}]}}
"""
MODELS_A = "{blind: {capabilities: [chat]}, n: {}, reader: {price: {input: 1, output: 50}}}"
MODELS_B = "{any: {}, n: {}, writer: {price: {input: 50, output: 1}}}"
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/x.png"}}]}]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A gateway before two upstreams that always answer."""
    reply = json_reply(COMPLETION)
    with (
        ScriptedUpstream(default=reply) as a,
        ScriptedUpstream(default=reply) as b,
        running(
            CONFIG.format(
                a=a.base_url,
                b=b.base_url,
                models_a=MODELS_A,
                models_b=MODELS_B,
                scarce=unique("scarce"),
                plenty=unique("plenty"),
            )
        ) as gateway,
    ):
        yield Rig(gateway, a, b)


@pytest.mark.parametrize(
    ("model", "fields", "served"),
    [
        ("m", {}, "main a/blind"),
        ("m-1", {}, "main a/blind"),
        ("nick", {}, "main a/blind"),
        ("m", {"messages": PICTURE}, "main b/any"),
        ("m", {"tools": [{"type": "function", "function": {"name": "f"}}]}, "main b/any"),
        ("m", {"max_tokens": 5001}, "long b/any"),
        ("m", {"messages": [{"role": "user", "content": "x" * 11_000}]}, "large a/n"),
        ("nobody-has-this", {}, "rest b/any"),
        ("n", {}, "model a/n"),
        ("b/n", {}, "direct b/n"),
        ("t/n", {}, "direct t/n"),
        ("third", {}, "direct t/n"),
    ],
)
def test_where_requests_go(rig: Rig, model: str, fields: dict[str, Any], served: str) -> None:
    """By alias, glob, capability, context, size, default and qualified name; the headers say which, and the client's
    own name comes back."""
    reply = rig.gateway.chat(model, **fields)
    assert reply.status == 200, reply.body
    found = f"{reply.header('x-gateway-route')} {reply.header('x-gateway-provider')}/{reply.header('x-gateway-model')}"
    assert (found, reply.json["model"]) == (served, model)


def test_the_log_says_who_was_left_out(rig: Rig) -> None:
    """With the word for why; nothing where nobody was."""
    rig.gateway.chat("m", [("x-request-id", "left-out")], messages=PICTURE)
    rig.gateway.chat("n", [("x-request-id", "left-out-of-bare")])
    rig.gateway.chat("b/n", [("x-request-id", "nobody-out")])
    assert rig.gateway.line("left-out")["skipped"] == ["t/n: testing", "a/blind: capability"]
    assert rig.gateway.line("left-out-of-bare")["skipped"] == ["t/n: testing"]
    assert rig.gateway.line("nobody-out")["skipped"] is None


def test_what_no_deployment_can_is_a_400_that_says_so(rig: Rig) -> None:
    """With the capability's name, and without a request to any provider."""
    before = len(rig.a.received)
    reply = rig.gateway.chat("only", messages=PICTURE)
    error = reply.json["error"]
    assert (reply.status, error["code"], error["param"]) == (400, "capability_not_supported", "model")
    assert "vision" in error["message"]
    assert reply.header("x-should-retry") == "false"
    assert len(rig.a.received) == before


def test_the_models_list_holds_aliases_and_every_literal(rig: Rig) -> None:
    """Aliases, literal names of routes, bare names; neither globs nor what is only being tested."""
    names = {model["id"] for model in rig.gateway.get("/v1/models").json["data"]}
    assert names == {
        "nick", "third", "m", "only", "by-price", "by-headroom", "blind", "n", "any", "reader", "writer",
    }  # fmt: skip


def served_by(reply: Reply) -> str:
    """The provider's name without what makes it unique."""
    assert reply.status == 200, reply.body
    return (reply.header("x-gateway-provider") or "").partition("-")[0]


def test_the_price_of_this_very_request_decides(rig: Rig) -> None:
    """Much to read goes to who reads cheaply, much to write to who writes cheaply."""
    long = [{"role": "user", "content": "x" * 9000}]
    assert served_by(rig.gateway.chat("by-price", messages=long, max_tokens=5)) == "a"
    assert served_by(rig.gateway.chat("by-price", max_tokens=4000)) == "b"


def test_who_has_more_left_of_its_limits_serves(rig: Rig) -> None:
    """What the gateway's own counters say of providers' limits is heard: the scarce one is spared."""
    found = Counter(served_by(rig.gateway.chat("by-headroom")) for _ in range(12))
    assert found["scarce"] <= 2
    assert found["plenty"] >= 10


@pytest.mark.parametrize(
    ("why", "status", "code"),
    [("breaker", 503, "no_upstream"), ("parked", 503, "no_upstream"), ("cooldown", 429, "upstream_rate_limited")],
)
def test_what_is_out_is_not_asked(rig: Rig, why: str, status: int, code: str) -> None:
    """Another target serves and the log says why; where there is none the client hears when to come back."""
    planner: Planner = rig.gateway.pipeline.planner
    condition = planner._senses.conditions.of(planner.snapshot.deployments["a/blind"])
    before = len(rig.a.received)
    condition.out_until, condition.out_for = time.monotonic() + 30, why
    try:
        assert served_by(rig.gateway.chat("m", [("x-request-id", f"out-{why}")])) == "b"
        refused = rig.gateway.chat("only", [("x-request-id", f"refused-{why}")])
    finally:
        condition.out_until, condition.out_for = 0.0, ""
    assert rig.gateway.line(f"out-{why}")["skipped"] == ["t/n: testing", f"a/blind: {why}"]
    assert (refused.status, refused.json["error"]["code"]) == (status, code)
    assert 25 <= int(refused.header("retry-after") or 0) <= 30
    assert refused.header("x-should-retry") == "true"
    assert refused.header("x-gateway-route") == "only"
    line = rig.gateway.line(f"refused-{why}")
    assert (line["route"], line["skipped"]) == ("only", [f"a/blind: {why}"])
    assert rig.gateway.metric(f'gateway_requests_total{{route="only",model="other",status="{status}",reason="{code}"}}')
    assert len(rig.a.received) == before
    assert served_by(rig.gateway.chat("only")) == "a"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_the_alert_names_the_route_that_is_out(rig: Rig, tmp_path: Path) -> None:
    """What a scrape shows of such refusals, seen again and again, makes GatewayNoUpstream fire for the route."""
    planner: Planner = rig.gateway.pipeline.planner
    condition = planner._senses.conditions.of(planner.snapshot.deployments["a/blind"])
    condition.out_until, condition.out_for = time.monotonic() + 30, "breaker"
    try:
        rig.gateway.chat("only")
    finally:
        condition.out_until, condition.out_for = 0.0, ""
    scraped = rig.gateway.get("/metrics").body.decode().splitlines()
    (series,) = {line.rpartition(" ")[0] for line in scraped if 'reason="no_upstream"' in line}
    assert fired("GatewayNoUpstream", {series: "0+1x30"}, tmp_path) == [{"route": "only", "severity": "critical"}]
