"""Models that providers list themselves, seen by clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.app import Gateway, running, unique, until
from tests.support.rig import COMPLETION
from tests.support.steps import json_reply, send, stall, status
from tests.support.upstream import Received, ScriptedUpstream

CONFIG = """
version: 1
providers:
  {name}: {{type: openai_compatible, base_url: "{a}/v1", fetch_models: true, retry_attempts: 0, models: [fixed]}}
  other: {{type: openai_compatible, base_url: "{b}/v1", retry_attempts: 0, models: [fixed, plain]}}
"""


def _list(*names: str) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": name, "object": "model"} for name in names]}


class Provider:
    """An upstream whose answer to `GET /v1/models` can be changed; it answers every chat."""

    def __init__(self) -> None:
        self.answer: list[Any] = json_reply(_list("plain", "new"))
        self.asked = 0
        self.up = ScriptedUpstream(default=self.reply)

    def reply(self, request: Received) -> list[Any]:
        if request.method != "GET":
            return json_reply({**COMPLETION, "model": "whatever"})
        assert request.target == "/v1/models"
        self.asked += 1
        return self.answer

    def lists(self, answer: list[Any]) -> None:
        """Give this answer from now on; returns when it was given twice, so that it has been dealt with once."""
        self.answer = answer
        asked = self.asked
        until(lambda: self.asked >= asked + 2, "two more questions")


@contextmanager
def _gateway(provider: Provider, other: ScriptedUpstream, name: str) -> Iterator[Gateway]:
    config = CONFIG.format(a=provider.up.base_url, b=other.base_url, name=name)
    with running(config, routing_cache_ttl=1) as gateway:
        yield gateway


def _shown(gateway: Gateway) -> list[str]:
    return [model["id"] for model in json.loads(gateway.get("/v1/models").body)["data"]]


@pytest.mark.slow
def test_fetched_models_are_served_and_kept() -> None:
    """What a provider lists is shown and served, behind what is configured; what is no list changes nothing, a restart
    neither; a model that the provider lists no more is gone."""
    name = unique("p")
    provider = Provider()
    with provider.up, ScriptedUpstream(default=json_reply(COMPLETION)) as other:
        with _gateway(provider, other, name) as gateway:
            until(lambda: _shown(gateway) == ["fixed", "plain", "new"], "the provider's models")
            assert gateway.chat("new").status == 200
            assert gateway.chat(f"{name}/new").status == 200
            assert len([r for r in provider.up.received if r.method == "POST"]) == 2
            assert gateway.chat("plain").status == 200
            assert len(other.received) == 1
            assert gateway.chat("absent").status == 404
            rubbish = [
                status(404),
                status(200, b"<html>", [("content-type", "text/html")]),
                [send(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"), stall()],
            ]
            for answer in rubbish:
                provider.lists(answer)
                assert _shown(gateway) == ["fixed", "plain", "new"]
        with _gateway(provider, other, name) as restarted:
            assert _shown(restarted) == ["fixed", "plain", "new"]
            provider.lists(json_reply(_list("plain", "newest")))
            until(lambda: _shown(restarted) == ["fixed", "plain", "newest"], "the newest list")
            assert restarted.chat("new").status == 404


def test_a_provider_that_hangs_delays_nothing() -> None:
    """The gateway starts and serves while a provider does not answer the question for its models."""
    provider = Provider()
    provider.answer = [stall()]
    with (
        provider.up,
        ScriptedUpstream(default=json_reply(COMPLETION)) as other,
        _gateway(provider, other, unique("p")) as gateway,
    ):
        provider.up.wait_until(lambda: provider.asked > 0, "the question")
        assert _shown(gateway) == ["fixed", "plain"]
        assert gateway.chat("plain").status == 200


@pytest.mark.slow
def test_one_worker_asks_and_all_know() -> None:
    """Of two workers with the same store one asks at a time, and both serve the list."""
    name = unique("p")
    provider = Provider()
    with (
        provider.up,
        ScriptedUpstream() as other,
        _gateway(provider, other, name) as one,
        _gateway(provider, other, name) as two,
    ):
        until(lambda: _shown(one) == _shown(two) == ["fixed", "plain", "new"], "the list at both")
        provider.lists(json_reply(_list("later")))
        until(lambda: _shown(one) == _shown(two) == ["fixed", "plain", "later"], "the next list at both")
