"""No call leaves a cycle of objects behind: the collector would stop every other call to take it away."""

from __future__ import annotations

import gc
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.app import Gateway, running, until
from tests.support.everyone import MODELS, TYPES, provider_of
from tests.support.gateway import mock_process

KEY = "cycles-0123456789abcdef0123456789abcdef"
TIGHT = "tight-0123456789abcdef0123456789abcdef"
RICH = "rich-0123456789abcdef0123456789abcdef"
CALLS = 5
OURS, PLAYED = "gateway.", ("gateway.providers.scripted", "gateway.http.mock_server")
"""The scripted provider runs in this process too."""

HI = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": HI},
    "messages": {"messages": HI, "max_tokens": 50},
    "responses": {"input": "hi"},
}


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with mock_process() as mock:
        config = {
            "version": 1,
            "providers": {
                **{name: {**provider_of(name, mock.url), "breaker": False} for name in TYPES},
                "frail": provider_of("openai", mock.url),
                "small": {**provider_of("openai", mock.url), "batch_size": 2},
            },
            "routes": [
                {
                    "name": "pair",
                    "match": {"model": "pair"},
                    "targets": [
                        {"provider": "openai", "model": "mock-fault/status-500"},
                        {"provider": "groq", "model": "any"},
                    ],
                },
                {
                    "name": "hedged",
                    "match": {"model": "hedged"},
                    "hedge": {"after": "1ms", "max_share": 0.5},
                    "targets": [
                        {"provider": "openai", "model": "mock-fault/slow-first-byte-60ms"},
                        {"provider": "groq", "model": "any"},
                    ],
                },
            ],
            "keys": [
                {"name": "all", "secret": KEY, "limits": {"requests": "1M/min", "concurrency": 1000}},
                {"name": "rich", "secret": RICH, "quotas": [{"requests": "1M", "period": "month"}]},
                {"name": "tight", "secret": TIGHT, "limits": {"requests": "1/day"}},
            ],
        }
        with running(json.dumps(config)) as gateway:
            yield gateway


def asked(gateway: Gateway, path: str, body: dict[str, Any], key: str = KEY) -> int:
    """The status of one call, read to its end."""
    reply = gateway.post(f"/v1/{path}", body, [("authorization", f"Bearer {key}")])
    return reply.status


def left_behind(gateway: Gateway, call: Callable[[], object]) -> Counter[str]:
    """The gateway's own objects that calls like this one left to the collector, by type."""
    for _ in range(2):
        call()
    until(gateway.idle, "the end of every call")
    gc.disable()
    gc.freeze()  # what is there already is not looked at
    try:
        for _ in range(CALLS):
            call()
        until(gateway.idle, "the end of every call")
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        kinds = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
        return Counter(kind for kind in kinds if kind.startswith(OURS) and not kind.startswith(PLAYED))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("model", MODELS)
def test_calls(gateway: Gateway, model: str, path: str, stream: bool) -> None:
    """Of every surface, passed through or translated, whole or streamed."""
    body = {"model": model, "stream": stream, **BODIES[path]}
    statuses: list[int] = []
    assert not left_behind(gateway, lambda: statuses.append(asked(gateway, path, body)))
    assert set(statuses) == {200}


FAILING: dict[str, tuple[str, dict[str, Any], str, int]] = {
    "failed over": ("chat/completions", {"model": "pair", "messages": HI}, KEY, 200),
    "failed": ("chat/completions", {"model": "openai/mock-fault/status-500", "messages": HI}, KEY, 502),
    "cut": (
        "chat/completions",
        {"model": "openai/mock-fault/tokens-50+cut-after-2000", "messages": HI, "stream": True},
        KEY,
        200,
    ),
    "no model": ("chat/completions", {"model": "nobody", "messages": HI}, KEY, 404),
    "no key": ("chat/completions", {"model": "pair", "messages": HI}, "wrong", 401),
    "no such parameter": (
        "chat/completions",
        {"model": "gemini/any", "messages": HI, "logit_bias": {"1": 5}},
        KEY,
        400,
    ),
    "limited": ("chat/completions", {"model": "pair", "messages": HI, "stream": True}, TIGHT, 429),
    "all out": ("chat/completions", {"model": "frail/mock-fault/status-503", "messages": HI}, KEY, 503),
    "hedged": ("chat/completions", {"model": "hedged", "messages": HI, "stream": True}, KEY, 200),
    "no ledger for its quota": ("chat/completions", {"model": "groq/any", "messages": HI, "stream": True}, RICH, 503),
    "no JSON": ("chat/completions", {"model": 5}, KEY, 400),
    "no path": ("chat/complete", {}, KEY, 404),
    "speech": ("audio/speech", {"model": "openai/any", "input": "hi", "voice": "alloy"}, KEY, 200),
    "images": ("images/generations", {"model": "openai/any", "prompt": "hi"}, KEY, 200),
    "rerank": ("rerank", {"model": "cohere/any", "query": "hi", "documents": ["a", "b"]}, KEY, 200),
    "counted": ("messages/count_tokens", {"model": "anthropic/any", "messages": HI}, KEY, 200),
    "estimated": ("messages/count_tokens", {"model": "groq/any", "messages": HI}, KEY, 200),
    "many embeddings": ("embeddings", {"model": "small/any", "input": ["a", "b", "c", "d", "e"]}, KEY, 200),
    "embeddings": ("embeddings", {"model": "openai/any", "input": ["a", "b"]}, KEY, 200),
}


@pytest.mark.parametrize("name", FAILING)
def test_what_goes_another_way(gateway: Gateway, name: str) -> None:
    """Fail-overs, failures, refusals."""
    path, body, key, status = FAILING[name]
    seen: list[int] = []
    assert not left_behind(gateway, lambda: seen.append(asked(gateway, path, body, key)))
    assert seen[-1] == status


def test_clients_that_leave(gateway: Gateway) -> None:
    """In the middle of a stream."""
    body = {"model": "openai/mock-fault/tokens-50+pace-20ms", "messages": HI, "stream": True}

    def left() -> None:
        with gateway.client() as client:
            client.post("/v1/chat/completions", body, [("authorization", f"Bearer {KEY}")])
            client.read_until(client.head(), b"data: ")

    assert not left_behind(gateway, left)
