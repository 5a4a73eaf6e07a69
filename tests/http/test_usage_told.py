"""What is made of the usage that providers tell: of the input alone, before an answer broke off; and of what cannot
be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from tests.support.app import Gateway, running
from tests.support.gateway import Mock
from tests.support.rig import COMPLETION, chunk
from tests.support.served import mock, up
from tests.support.steps import json_reply, sse
from tests.support.upstream import ScriptedUpstream

__all__ = ["mock", "up"]
WHOLE, CUT = "mock-fault/tokens-50+cached-3900", "mock-fault/tokens-50+cached-3900+end-after-30"
CONFIG = """
version: 1
providers:
  claude:
    type: anthropic
    base_url: {mock}
    api_key: anthropic-canary-3f0c
    retry_attempts: 0
    breaker: false
    models:
      {whole}: {{price: &price {{input: 3, output: 15, cached_input: 0.3}}}}
      {cut}: {{price: *price}}
  hours:
    type: anthropic
    base_url: "{up}/v1"
    api_key: anthropic-canary-3f0d
    retry_attempts: 0
    breaker: false
    models: {{claude-hours: {{price: {{input: 3, output: 15, cache_write: 3.75, cache_write_1h: 6}}}}}}
  sound:
    type: gemini
    base_url: "{up}/v1beta"
    api_key: gemini-canary-3f0e
    retry_attempts: 0
    breaker: false
    models: {{gemini-hears: {{price: {{input: 0.3, output: 2.5, cached_input: 0.03, audio_input: 1}}}}}}
  slices:
    type: openai_compatible
    base_url: "{up}/v1"
    retry_attempts: 0
    batch_size: 2
    models: {{vectors: {{price: {{input: 2, per_request: 0.001}}}}}}
  tiered:
    type: openai
    base_url: "{up}/v1"
    api_key: openai-canary-3f0f
    retry_attempts: 0
    breaker: false
    models:
      gpt-tiers:
        price: {{input: 2, output: 8, per_search: 0.01, service_tiers: {{priority: {{input: 4, output: 16}}}}}}
  odd: {{type: openai_compatible, base_url: "{up}/v1", retry_attempts: 0, breaker: false, models: [m]}}
"""
LONG = "word " * 3200
_numbers = count(1)


@pytest.fixture(scope="module")
def gateway(mock: Mock, up: ScriptedUpstream) -> Iterator[Gateway]:
    with running(CONFIG.format(mock=mock.url, up=up.base_url, whole=WHOLE, cut=CUT)) as gateway:
        yield gateway


def booked(gateway: Gateway, path: str, model: str) -> dict[str, Any]:
    """The access log's line of a stream."""
    number = f"broken-{next(_numbers)}"
    said = {"input": LONG} if path == "/responses" else {"messages": [{"role": "user", "content": LONG}]}
    most = "max_output_tokens" if path == "/responses" else "max_tokens"
    body = {"model": model, "stream": True, most: 200, **said}
    assert gateway.post(f"/v1{path}", body, [("x-request-id", number)]).status == 200
    return gateway.line(number)


@pytest.mark.parametrize("path", ["/messages", "/chat/completions", "/responses"])
def test_the_input_that_was_told_is_charged(gateway: Gateway, path: str) -> None:
    """A part of an answer costs no more than the whole: what was read from the cache is known, only the output is
    estimated."""
    whole, cut = booked(gateway, path, WHOLE), booked(gateway, path, CUT)
    assert (whole["token_source"], cut["token_source"]) == ("provider", "partial")
    assert cut["input_tokens"] == whole["input_tokens"]
    assert 0 < cut["output_tokens"] <= whole["output_tokens"]
    cached, fresh = 3900, whole["input_tokens"] - 3900
    assert cut["cost_nano_usd"] == cached * 300 + fresh * 3000 + cut["output_tokens"] * 15_000


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        {"prompt_tokens": -5, "completion_tokens": -7},
        {"prompt_tokens": None, "completion_tokens": 3},
        {"completion_tokens": 3},
    ],
    ids=["zeros", "negative", "null", "absent"],
)
def test_an_answer_without_input_is_estimated(
    gateway: Gateway, up: ScriptedUpstream, usage: dict[str, Any], *, stream: bool
) -> None:
    """A model that answers has read what it was asked: counts that say otherwise are none."""
    whole = json_reply({**COMPLETION, "usage": usage})
    up.then(sse([chunk("hi"), chunk(finish="stop"), {**chunk(), "choices": [], "usage": usage}]) if stream else whole)
    number = f"odd-{next(_numbers)}"
    assert gateway.chat("odd/m", (("x-request-id", number),), stream=stream).status == 200
    line = gateway.line(number)
    assert line["token_source"] == "estimated"
    assert line["input_tokens"] > 5
    assert line["output_tokens"] > 0


def test_other_services_may_count_nothing(gateway: Gateway, up: ScriptedUpstream) -> None:
    """Not everywhere are tokens what is sold: a provider that tells none of a ranking is believed."""
    ranked = {"results": [{"index": 0, "relevance_score": 0.5}], "usage": {"prompt_tokens": 0, "total_tokens": 0}}
    up.then(json_reply(ranked))
    body, head = {"model": "odd/m", "query": "hi", "documents": ["a"]}, [("x-request-id", "odd-ranking")]
    assert gateway.post("/v1/rerank", body, head).status == 200
    line = gateway.line("odd-ranking")
    assert (line["token_source"], line["input_tokens"]) == ("provider", 0)


def test_vectors_of_nothing_are_estimated(gateway: Gateway, up: ScriptedUpstream) -> None:
    """A model that made a vector of a text has read it."""
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    up.then(json_reply({"object": "list", "data": [{"index": 0, "embedding": [0.5]}], "model": "m", "usage": usage}))
    body, head = {"model": "odd/m", "input": "hi"}, [("x-request-id", "odd-embedding")]
    assert gateway.post("/v1/embeddings", body, head).status == 200
    line = gateway.line("odd-embedding")
    assert line["token_source"] == "estimated"
    assert line["input_tokens"] > 0


@pytest.mark.parametrize(("inputs", "requests"), [(1, 1), (2, 1), (5, 3)])
def test_each_request_has_its_price(gateway: Gateway, up: ScriptedUpstream, inputs: int, requests: int) -> None:
    """Of embeddings that are asked for in several requests each is charged."""

    def vectors(request: Any) -> Any:
        data = [{"index": at, "embedding": [0.5]} for at, _ in enumerate(json.loads(request.body)["input"])]
        return json_reply({"data": data, "model": "vectors", "usage": {"prompt_tokens": 10, "total_tokens": 10}})

    up.then(*[vectors] * requests)
    number = f"slices-{inputs}"
    body = {"model": "vectors", "input": ["a"] * inputs}
    assert gateway.post("/v1/embeddings", body, [("x-request-id", number)]).status == 200
    assert gateway.line(number)["cost_nano_usd"] == requests * (10 * 2000 + 1_000_000)


@pytest.mark.parametrize(("tier", "factor"), [("priority", 2), ("default", 1), (None, 1)])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tiers_of_service_have_their_price(
    gateway: Gateway, up: ScriptedUpstream, tier: str | None, factor: int, *, stream: bool
) -> None:
    """The one that the provider says it served at, whatever was asked for."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    told = {} if tier is None else {"service_tier": tier}
    whole = json_reply({**COMPLETION, "usage": usage, **told})
    events = [chunk("hi", **told), chunk(finish="stop", **told), {**chunk(**told), "choices": [], "usage": usage}]
    up.then(sse(events) if stream else whole)
    number = f"tier-{next(_numbers)}"
    head = (("x-request-id", number),)
    assert gateway.chat("gpt-tiers", head, stream=stream, service_tier="auto").status == 200
    assert gateway.line(number)["cost_nano_usd"] == factor * (10 * 2000 + 5 * 8000)


def test_models_tell_prices_of_tiers(gateway: Gateway) -> None:
    """Beside the ordinary ones, whole."""
    told = gateway.get("/v1/models/gpt-tiers").json["price"]
    assert told == {
        "input": 2.0,
        "output": 8.0,
        "per_search": 0.01,
        "service_tiers": {"priority": {"input": 4.0, "output": 16.0, "per_search": 0.01}},
    }


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_searches_have_their_price(gateway: Gateway, up: ScriptedUpstream, *, stream: bool) -> None:
    """Those that a provider ran for an answer, each; not the pages that it opened."""
    searched = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
    opened = {"type": "web_search_call", "status": "completed", "action": {"type": "open_page", "url": "u"}}
    usage = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    told = {"object": "response", "status": "completed", "model": "m", "output": [searched, opened, searched]}
    whole = {**told, "id": "r", "usage": usage}
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    events = [
        f"event: {name}\ndata: {json.dumps({'type': name, 'response': response})}\n\n".encode()
        for name, response in (("response.created", begun), ("response.completed", whole))
    ]
    up.then(sse(events, done=False) if stream else json_reply(whole))
    number = f"searched-{next(_numbers)}"
    body = {"model": "gpt-tiers", "input": "hi", "stream": stream}
    assert gateway.post("/v1/responses", body, [("x-request-id", number)]).status == 200
    assert gateway.line(number)["cost_nano_usd"] == 10 * 2000 + 5 * 8000 + 2 * 10_000_000


@pytest.mark.parametrize("path", ["/messages", "/chat/completions"])
def test_caches_of_an_hour_have_their_price(gateway: Gateway, up: ScriptedUpstream, path: str) -> None:
    """What is written to a cache for an hour is dearer than what is kept for five minutes."""
    kept = {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 400}
    usage = {"input_tokens": 10, "cache_creation_input_tokens": 500, "cache_creation": kept, "output_tokens": 3}
    answer = {"id": "m", "type": "message", "role": "assistant", "model": "claude-hours", "usage": usage}
    up.then(json_reply({**answer, "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}))
    number = f"hours-{next(_numbers)}"
    body = {"model": "claude-hours", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.post(f"/v1{path}", body, [("x-request-id", number)]).status == 200
    assert gateway.line(number)["cost_nano_usd"] == 10 * 3000 + 100 * 3750 + 400 * 6000 + 3 * 15_000


def test_sound_from_a_cache_has_the_price_of_a_cache(gateway: Gateway, up: ScriptedUpstream) -> None:
    """Gemini counts what it read from its cache among the sound of the prompt, too: it is charged once."""
    usage = {
        "promptTokenCount": 1000,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 500}, {"modality": "AUDIO", "tokenCount": 500}],
        "cachedContentTokenCount": 600,
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 140}, {"modality": "AUDIO", "tokenCount": 460}],
        "candidatesTokenCount": 10,
        "totalTokenCount": 1010,
    }
    said = {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}
    up.then(json_reply({"candidates": [said], "usageMetadata": usage}))
    body = {"model": "gemini-hears", "messages": [{"role": "user", "content": "hi"}]}
    assert gateway.post("/v1/chat/completions", body, [("x-request-id", "sound-cached")]).status == 200
    cached, heard, read = 600, 40, 360
    assert gateway.line("sound-cached")["cost_nano_usd"] == cached * 30 + heard * 1000 + read * 300 + 10 * 2500
