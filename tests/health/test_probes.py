"""Probes over real sockets: what is asked, what it means, and who hears of it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from gateway.health.probes import CHANNEL, CONFIRM, WATCHED, Prober, probed_every, to_call
from gateway.ports import ProbeResult
from gateway.providers import discover
from gateway.storage.pubsub import Subscription
from gateway.telemetry.base import SilentObserver
from gateway.telemetry.metrics import Metrics
from gateway.upstream.asking import MAX_LIST_BYTES, Asker, smallest_call
from gateway.upstream.engines.httptools_engine import HttptoolsEngine
from tests.registry.support import load_text
from tests.support.rig import COMPLETION, closed_port
from tests.support.steps import close, json_reply, raw_head, send, stall, status
from tests.support.upstream import ScriptedUpstream
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.registry.snapshot import Snapshot
    from gateway.storage.redis import RedisClient
    from gateway.types import Provider

LIST = {"object": "list", "data": [{"id": "m"}]}


class Told(SilentObserver):
    """Results of probes, in the order they were told."""

    def __init__(self) -> None:
        self.results: list[ProbeResult] = []

    def probe_finished(self, result: ProbeResult) -> None:
        self.results.append(result)

    @property
    def outcomes(self) -> list[tuple[str | None, str, bool]]:
        """Deployment, outcome, and whether another worker told it."""
        return [(result.deployment, result.outcome, result.heard) for result in self.results]


def _snapshot(tmp_path: Path, address: str, more: str = "") -> Snapshot:
    text = f"""
providers:
  p:
    type: openai_compatible
    base_url: "{address}/v1"
    api_key: canary-key
    timeout: {{connect: 2, first_byte: 1}}
    models: {{m: {{}}, vectors: {{capabilities: [embeddings]}}}}
    {more}
"""
    return load_text(tmp_path, text, dialects=frozenset(discover())).snapshot


@asynccontextmanager
async def _asking() -> AsyncIterator[Asker]:
    engine = HttptoolsEngine()
    yield Asker(lambda _: engine, discover())
    await engine.close()


OUTCOMES: dict[str, tuple[list[Any], str, bool]] = {
    "list": (json_reply(LIST), "ok", False),
    "empty list": (json_reply({"data": []}), "ok", False),
    "404": (status(404), "no_list", False),
    "405": (status(405), "no_list", False),
    "501": (status(501), "no_list", False),
    "401": (status(401), "provider_auth", True),
    "403": (status(403), "provider_auth", True),
    "429": (status(429), "429", False),
    "500": (status(500), "5xx", True),
    "503": (status(503), "5xx", True),
    "redirect": (status(307, b"", [("location", "http://127.0.0.1:9/")]), "redirect", True),
    "html": (status(200, b"<html>", [("content-type", "text/html")]), "bad_response", True),
    "closed": ([close()], "disconnected", True),
    "silent": ([stall()], "ttfb_timeout", True),
    "cut": ([send(raw_head(200, [("content-length", "99")]) + b'{"data"'), close()], "truncated", True),
    "too large": ([send(raw_head(200, [("content-length", str(MAX_LIST_BYTES + 1))])), stall()], "too_large", True),
}


@pytest.mark.parametrize("case", OUTCOMES)
async def test_what_an_answer_means(case: str, redis: RedisClient, tmp_path: Path) -> None:
    """Each kind of answer to the question for models has its outcome, as the failure table has it."""
    answer, outcome, failed = OUTCOMES[case]
    told = Told()
    async with ScriptedUpstream(default=answer) as up, _asking() as asker:
        prober = Prober(redis, asker, told, 60.0, Random(1))
        prober.use(_snapshot(tmp_path, up.base_url))
        [key] = prober._providers
        again = await prober._probe(key)
        assert told.outcomes == [(None, outcome, False)]
        assert told.results[0].failed is failed
        assert again == (CONFIRM if failed else None)
        assert (await prober._probe(key)) == (WATCHED if failed else None)
        request = up.received[0]
        assert (request.method, request.target, request.body) == ("GET", "/v1/models", b"")
        assert request.header("authorization") == "Bearer canary-key"


async def test_nobody_listens(redis: RedisClient, tmp_path: Path) -> None:
    """A provider that cannot be reached fails its probe."""
    told = Told()
    async with _asking() as asker:
        prober = Prober(redis, asker, told, 60.0, Random(1))
        prober.use(_snapshot(tmp_path, f"http://127.0.0.1:{closed_port()}"))
        await prober._probe(next(iter(prober._providers)))
    assert told.outcomes == [(None, "connect_refused", False)]


async def test_models_are_called_where_that_is_wanted(redis: RedisClient, tmp_path: Path) -> None:
    """With `call: true` each model gets the smallest call that it can do, of one token, and its own outcome."""
    told = Told()
    async with ScriptedUpstream() as up, _asking() as asker:
        up.then(json_reply(LIST), json_reply({**COMPLETION, "model": "m"}), status(500))
        prober = Prober(redis, asker, told, 60.0, Random(1))
        prober.use(_snapshot(tmp_path, up.base_url, "health_check: {call: true}"))
        assert await prober._probe(next(iter(prober._providers))) == CONFIRM
        assert told.outcomes == [(None, "ok", False), ("p/m", "ok", False), ("p/vectors", "5xx", False)]
        chat, vectors = (json.loads(request.body) for request in up.received[1:])
    assert chat == {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    assert vectors == {"model": "vectors", "input": "a"}


async def test_a_model_that_has_only_the_responses_api(redis: RedisClient, tmp_path: Path) -> None:
    """It is called by that, with the least that OpenAI takes there."""
    told = Told()
    answer = json_reply({"object": "response", "status": "completed", "output": []})
    async with ScriptedUpstream(json_reply(LIST), default=answer) as up, _asking() as asker:
        prober = Prober(redis, asker, told, 60.0, Random(1))
        prober.use(_snapshot(tmp_path, up.base_url, "api: responses\n    health_check: {call: true, model: m}"))
        await prober._probe(next(iter(prober._providers)))
        assert told.outcomes == [(None, "ok", False), ("p/m", "ok", False)]
        assert up.received[1].target == "/v1/responses"
        assert json.loads(up.received[1].body)["max_output_tokens"] == 16


async def test_nothing_paid_is_called_by_default(redis: RedisClient, tmp_path: Path) -> None:
    """Without being asked to, and of a provider whose list fails, no model is called."""
    told = Told()
    async with ScriptedUpstream(default=status(500)) as up, _asking() as asker:
        for more in ("", "health_check: {call: true}"):
            prober = Prober(redis, asker, told, 60.0, Random(1))
            prober.use(_snapshot(tmp_path, up.base_url, more))
            await prober._probe(next(iter(prober._providers)))
        assert [request.target for request in up.received] == ["/v1/models", "/v1/models"]


async def test_one_probes_and_all_hear(redis: RedisClient, tmp_path: Path) -> None:
    """Of three workers one asks; each is told the result once, and only the one that asked counts it."""
    listeners = [Told() for _ in range(3)]
    metrics = Metrics()
    async with ScriptedUpstream(default=json_reply(LIST)) as up, _asking() as asker:
        workers = [Prober(redis, asker, told, 30.0, Random(seed)) for seed, told in enumerate(listeners)]
        channels = [Subscription(redis.dial, CHANNEL, worker.heard, lambda: None) for worker in workers]
        tasks = [asyncio.create_task(channel.run()) for channel in channels]
        await eventually(lambda: all(channel.alive for channel in channels), "three listeners")
        for worker in workers:
            worker.use(_snapshot(tmp_path, up.base_url))
        tasks += [asyncio.create_task(worker.run()) for worker in workers]
        await eventually(lambda: all(told.results for told in listeners), "results everywhere")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert len(up.received) == 1
    assert sorted(told.outcomes for told in listeners) == [
        [(None, "ok", False)],
        [(None, "ok", True)],
        [(None, "ok", True)],
    ]
    for told in listeners:
        metrics.probe_finished(told.results[0])
    assert b'gateway_probes_total{provider="p",outcome="ok"} 1.0' in metrics.render()


def test_whom_to_probe(tmp_path: Path) -> None:
    """The provider's own interval wins; those that are inactive, switched off, or in this process are not probed."""
    text = """
providers:
  plain: {type: ollama}
  often: {type: ollama, health_check: {interval: 30s}}
  off: {type: ollama, health_check: false}
  resting: {type: ollama, status: inactive}
  tried: {type: ollama, status: testing}
  mock: {type: mock}
"""
    providers = load_text(tmp_path, text).snapshot.providers
    assert {name: probed_every(provider, 300.0) for name, provider in providers.items()} == {
        "plain": 300.0,
        "often": 30.0,
        "off": 0.0,
        "resting": 0.0,
        "tried": 300.0,
        "mock": 0.0,
    }
    assert probed_every(providers["plain"], 0.0) == 0.0
    assert probed_every(providers["often"], 0.0) == 30.0


def test_which_models_are_called(tmp_path: Path) -> None:
    """All that the provider lists, or the one that is named; none without `call`."""

    def called(more: str) -> list[str]:
        snapshot = _snapshot(tmp_path, "http://127.0.0.1:1", more)
        provider: Provider = snapshot.providers["p"]
        return [deployment.id for deployment in to_call(provider, snapshot)]

    assert called("") == []
    assert called("health_check: true") == []
    assert called("health_check: {call: true}") == ["p/m", "p/vectors"]
    assert called("health_check: {call: true, model: m}") == ["p/m"]


def test_no_key_in_sight(tmp_path: Path) -> None:
    """What a probe is made of shows no credential and no address."""
    snapshot = _snapshot(tmp_path, "http://127.0.0.1:1")
    shown = repr(smallest_call(snapshot.deployments["p/m"])) + repr(ProbeResult("p", None, "ok", 1.0, 0.1))
    assert "canary" not in shown
    assert "127.0.0.1" not in shown


async def test_a_type_without_a_list(redis: RedisClient, tmp_path: Path) -> None:
    """A provider whose dialect knows no list of models is probed where its models may be called, and only by that."""
    told = Told()
    async with ScriptedUpstream(default=json_reply({**COMPLETION, "model": "m"})) as up, _asking() as asker:
        asker.lists = lambda provider: False  # type: ignore[method-assign]
        prober = Prober(redis, asker, told, 60.0, Random(1))
        prober.use(_snapshot(tmp_path, up.base_url))
        assert prober._providers == {}
        prober.use(_snapshot(tmp_path, up.base_url, "health_check: {call: true, model: m}"))
        await prober._probe(next(iter(prober._providers)))
    assert told.outcomes == [("p/m", "ok", False)]
