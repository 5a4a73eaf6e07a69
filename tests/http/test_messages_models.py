"""The list of models for clients of Anthropic's API and of OpenAI's, and counts of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.http.messages_rig import COUNT, COUNTER, KEY, ask, messages_gateway, refusal
from tests.support.app import Gateway, until
from tests.support.gateway import Mock


@pytest.fixture(scope="module")
def rig() -> Iterator[tuple[Gateway, Mock]]:
    with messages_gateway() as rig:
        yield rig


@pytest.fixture(scope="module")
def gateway(rig: tuple[Gateway, Mock]) -> Gateway:
    return rig[0]


# ---- models

VERSIONED = [("x-api-key", KEY), ("anthropic-version", "2023-06-01")]


def models(gateway: Gateway, query: str = "", headers: Any = VERSIONED) -> Any:
    reply = gateway.get(f"/v1/models{query}", headers)
    assert reply.status == 200
    return reply.json


def test_bug_37_models_for_clients_of_anthropic(gateway: Gateway) -> None:
    """Who names a version of Anthropic's API reads its shape, everybody else OpenAI's."""
    listed = models(gateway, "?limit=1000")
    assert sorted(listed) == ["data", "first_id", "has_more", "last_id"]
    assert (listed["has_more"], listed["first_id"]) == (False, listed["data"][0]["id"])
    (sonnet,) = (model for model in listed["data"] if model["id"] == "claude-sonnet-4-6")
    assert sonnet == {
        "type": "model",
        "id": "claude-sonnet-4-6",
        "display_name": "claude-sonnet-4-6",
        "created_at": "2023-11-14T22:13:20Z",
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
        "capabilities": None,
        "price": {"input": 3.0, "output": 15.0, "cached_input": 0.3},
    }
    plain = models(gateway, headers=[("x-api-key", KEY)])
    assert plain["object"] == "list"
    assert [model["id"] for model in plain["data"]] == [model["id"] for model in listed["data"]]


def test_what_is_known_of_models(gateway: Gateway) -> None:
    """Context window, limits, capabilities and price are extra fields; what is not known is null."""
    by_name = {model["id"]: model for model in models(gateway, headers=[("x-api-key", KEY)])["data"]}
    assert by_name["blind"] == {
        "id": "blind",
        "object": "model",
        "created": 1_700_000_000,
        "owned_by": "plain",
        "context_window": None,
        "max_output_tokens": None,
        "capabilities": ["chat", "tools"],
        "price": None,
    }
    assert by_name["claude-sonnet-4-6"]["context_window"] == 200_000
    assert by_name["back"]["owned_by"] == "gateway", "a route's name, told of by its first target"
    assert models(gateway, "/blind")["capabilities"]["image_input"] == {"supported": False}
    assert models(gateway, "/plain/gpt")["price"]["output"] == 15.0


def test_pages_of_models(gateway: Gateway) -> None:
    """A page after the other, forwards and backwards, until there are no more."""
    names = [model["id"] for model in models(gateway)["data"]]
    first = models(gateway, "?limit=2")
    assert [model["id"] for model in first["data"]] == names[:2]
    assert (first["has_more"], first["last_id"]) == (True, names[1])
    rest = models(gateway, f"?after_id={first['last_id']}&limit=1000")
    assert ([model["id"] for model in rest["data"]], rest["has_more"]) == (names[2:], False)
    back = models(gateway, f"?before_id={names[2]}&limit=1")
    assert ([model["id"] for model in back["data"]], back["has_more"]) == ([names[1]], True)


@pytest.mark.parametrize(
    ("query", "status"), [("?limit=0", 400), ("?limit=x", 400), ("?after_id=nothing", 400), ("/nothing", 404)]
)
def test_no_such_models(gateway: Gateway, query: str, status: int) -> None:
    """Refused in Anthropic's shape."""
    reply = gateway.get(f"/v1/models{query}", VERSIONED)
    assert reply.status == status
    assert refusal(reply)["type"] == ("not_found_error" if status == 404 else "invalid_request_error")


# ---- counting tokens


def test_counting(gateway: Gateway) -> None:
    """A provider that counts is asked; elsewhere our estimate stands, and the header says which of the two it is."""
    native = ask(gateway, "claude-sonnet-4-6", COUNT, max_tokens=None)
    assert (native.json, native.header("x-gateway-token-source")) == ({"input_tokens": 2}, "provider")
    estimate = ask(gateway, "gpt", COUNT, max_tokens=None)
    assert estimate.header("x-gateway-token-source") == "estimated"
    assert estimate.json["input_tokens"] > 0
    assert estimate.header("request-id")


def test_counting_when_the_provider_fails(gateway: Gateway) -> None:
    """Its refusal of the request is the client's; its failures leave the estimate."""
    assert ask(gateway, "claudes/mock-fault/status-400", COUNT).status == 400
    reply = ask(gateway, "claudes/mock-fault/status-500", COUNT)
    assert (reply.status, reply.header("x-gateway-token-source")) == (200, "estimated")


def test_counting_uses_no_tokens(gateway: Gateway) -> None:
    """It is a request by limits, but no tokens: a long text can be counted that could not be sent."""
    long = [{"role": "user", "content": "word " * 1000}]
    replies = [ask(gateway, "claude-sonnet-4-6", COUNT, key=COUNTER, messages=long) for _ in range(4)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429]
    assert replies[0].header("anthropic-ratelimit-tokens-remaining") == "30"


@pytest.mark.parametrize("model", ["claude-sonnet-4-6", "gpt"])
def test_counting_is_free(gateway: Gateway, model: str) -> None:
    """The log knows it by a word of its own, without cost."""
    ask(gateway, model, COUNT, headers=[("x-request-id", f"count-{model}")])
    line = gateway.line(f"count-{model}")
    assert (line["service"], line["status"]) == ("count_tokens", 200)
    assert not line["cost_nano_usd"]
    assert not line["input_tokens"]
    until(gateway.idle)
