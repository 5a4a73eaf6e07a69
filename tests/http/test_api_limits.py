"""Rates and slots of every scope on one request, as an application sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from tests.support.app import Reply, unique, until
from tests.support.rig import Rig, rigged, secret
from tests.support.steps import json_reply, send, sleep

KEYS = ("plain", "narrow", "one", "two", "loner", "slots", "tokens", "gold")
FAST = 200
"""Requests per second of the limits that a test waits for."""

CONFIG = """
teams:
  - {{name: {team}, limits: {{requests: 3/day, concurrency: 50}}}}
  - {{name: {open_team}, limits: {{requests: 1000/day}}}}
keys:
  - {{name: {plain}, secret: {s[plain]}, team: {open_team}}}
  - {{name: {narrow}, secret: {s[narrow]}, team: {open_team}, limits: {{requests: 2/day}}}}
  - {{name: {one}, secret: {s[one]}, team: {team}, limits: {{requests: 100/day}}}}
  - {{name: {two}, secret: {s[two]}, team: {team}}}
  - {{name: {loner}, secret: {s[loner]}}}
  - {{name: {slots}, secret: {s[slots]}, limits: {{concurrency: 1}}}}
  - {{name: {tokens}, secret: {s[tokens]}, limits: {{tokens: 1000/day, requests: {{rate: {fast}/s, burst: 1}}}}}}
  - {{name: {gold}, secret: {s[gold]}, services: [chat], expires: 2020-01-01}}
  - {{name: {gold}-chat, secret: {s[gold]}-chat, services: [chat], expires: 2999-01-01T00:00:00+01:00}}
limits:
  - {{name: {users}, scope: user, requests: 2/day}}
  - {{name: {models}, scope: model, only: tuned, requests: 2/day}}
"""


@dataclass(slots=True)
class Limited:
    """A rig whose gateway has limits in five scopes."""

    rig: Rig
    secrets: dict[str, str]

    def key(self, name: str) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.secrets[name]}")]

    def chat(self, name: str, model: str = "m", **fields: Any) -> Reply:
        return self.rig.gateway.chat(model, self.key(name), **fields)


@pytest.fixture(scope="module")
def limited() -> Iterator[Limited]:
    secrets = {name: secret() for name in KEYS}
    names = {name: unique(name) for name in (*KEYS, "team", "open_team", "users", "models")}
    with rigged(CONFIG.format(s=secrets, fast=FAST, **names)) as rig:
        yield Limited(rig.fresh(), secrets)


def refused(reply: Reply, *words: str) -> None:
    """A rate limit, and what its text names."""
    assert reply.status == 429, reply.body
    assert (reply.error["type"], reply.error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    for word in words:
        assert word in reply.error["message"], reply.error["message"]
    assert reply.header("x-should-retry") == "true"
    assert int(reply.header("retry-after") or 0) >= 1
    assert int(reply.header("retry-after-ms") or 0) >= 1
    assert reply.header("x-gateway-attempts") == "0"


# ---- which one binds


def test_the_key_binds(limited: Limited) -> None:
    """Of a key with less than its team, the key's limit is named and shown."""
    shown = [limited.chat("narrow").header("x-ratelimit-remaining-requests") for _ in range(2)]
    assert shown == ["1", "0"]
    before = len(limited.rig.a.received)
    reply = limited.chat("narrow")
    refused(reply, "this key allows 2 requests per day")
    assert reply.header("x-ratelimit-limit-requests") == "2"
    assert reply.header("x-ratelimit-remaining-requests") == "0"
    assert len(limited.rig.a.received) == before


def test_the_team_binds(limited: Limited) -> None:
    """All keys of a team share what it has, and the headers show the tighter limit."""
    assert [limited.chat(name).status for name in ("one", "two", "two")] == [200] * 3
    reply = limited.chat("one")
    refused(reply, "this team allows 3 requests per day")
    assert reply.header("x-ratelimit-limit-requests") == "3"


@pytest.mark.parametrize(
    "fields",
    [{"user": "{}"}, {"safety_identifier": "{}", "user": "ignored"}, {"metadata": {"user_id": "{}"}}],
    ids=["user", "safety_identifier", "metadata"],
)
def test_the_user_binds(limited: Limited, fields: dict[str, Any]) -> None:
    """Each end user of a team has two; others of the team, other tenants and nameless calls are not held up."""

    def named(who: str) -> dict[str, Any]:
        return {
            name: value.format(who) if isinstance(value, str) else {"user_id": who} for name, value in fields.items()
        }

    mine, theirs = unique("user"), unique("user")
    assert [limited.chat("plain", **named(mine)).status for _ in range(2)] == [200, 200]
    reply = limited.chat("plain", **named(mine))
    refused(reply, "this user allows 2 requests per day")
    assert mine not in reply.head.decode() + reply.body.decode()
    assert limited.chat("plain", **named(theirs)).status == 200
    assert limited.chat("loner", **named(mine)).status == 200
    assert [limited.chat("plain").status for _ in range(3)] == [200] * 3


def test_one_user_by_any_field(limited: Limited) -> None:
    """The three fields name the same user."""
    who = unique("user")
    assert limited.chat("plain", user=who).status == 200
    assert limited.chat("plain", metadata={"user_id": who}).status == 200
    refused(limited.chat("plain", safety_identifier=who), "this user")


def test_the_model_binds(limited: Limited) -> None:
    """A rule for a model counts whoever asks for it, and no other model."""
    assert [limited.chat(name, "tuned").status for name in ("plain", "loner")] == [200, 200]
    refused(limited.chat("plain", "tuned"), "this model allows 2 requests per day")
    assert limited.chat("plain", "m").status == 200


def test_what_is_refused_takes_nothing(limited: Limited) -> None:
    """A call that one limit refuses leaves every other limit as it was."""
    who = unique("user")
    for _ in range(2):
        assert limited.chat("loner", user=who).status == 200
    before = int(limited.chat("plain").header("x-ratelimit-remaining-requests") or 0)
    mine = unique("user")
    for _ in range(2):
        assert limited.chat("plain", user=mine).status == 200
    for _ in range(5):
        refused(limited.chat("plain", user=mine), "this user")
    # The team's own count fell by those that were served.
    assert int(limited.chat("plain").header("x-ratelimit-remaining-requests") or 0) == before - 3


def test_all_calls_together() -> None:
    """A global rule counts every key, and says so."""
    first, second = secret(), secret()
    keys = f"keys: [{{name: {unique('k')}, secret: {first}}}, {{name: {unique('k')}, secret: {second}}}]\n"
    with rigged(f"{keys}limits: [{{name: {unique('all')}, scope: global, requests: 3/day}}]\n") as rig:
        order = (first, second, second, first)
        replies = [rig.gateway.chat("m", [("api-key", key)]) for key in order]
        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        refused(replies[3], "this gateway allows 3 requests per day")


# ---- slots, tokens, waits


def test_slots_are_held_while_a_stream_runs(limited: Limited) -> None:
    """A second call waits until the first one's stream is over."""
    rig = limited.rig
    body = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    rig.a.then([send(head + body), sleep(8)])
    with rig.gateway.client() as client:
        client.post("/v1/chat/completions", {"model": "m", "messages": [], "stream": True}, limited.key("slots"))
        client.chunk(client.head())
        refused(limited.chat("slots"), "this key allows 1 requests at once")
    until(lambda: limited.chat("slots").status == 200, "the slot is free again")


def test_tokens_are_reserved_and_settled(limited: Limited) -> None:
    """What a call may use is held, what it did not use comes back, and what no bucket holds is a 400."""
    rig = limited.rig
    rig.a.then(
        json_reply({"object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 5}})
    )
    reply = limited.chat("tokens", max_tokens=600)
    assert reply.status == 200
    assert reply.header("x-ratelimit-limit-tokens") == "1000"
    assert int(reply.header("x-ratelimit-remaining-tokens") or 0) <= 400
    until(lambda: limited.chat("tokens", max_tokens=1).status == 200, "the bucket of requests")
    reply = limited.chat("tokens", max_tokens=5000)
    assert reply.status == 400
    assert reply.error["code"] == "request_exceeds_limit"
    assert reply.header("x-should-retry") == "false"
    assert reply.header("retry-after") is None


def test_who_waits_as_told_is_served(limited: Limited) -> None:
    """The SDK retries a 429 after `retry-after-ms` and is served: with retries, no error ever reaches the caller."""
    base_url = f"http://127.0.0.1:{limited.rig.gateway.port}/v1"
    with openai.OpenAI(base_url=base_url, api_key=limited.secrets["tokens"], max_retries=4) as client:
        for _ in range(3):
            assert client.chat.completions.create(model="m", messages=[], max_tokens=1).object == "chat.completion"


def test_the_sdk_raises_rate_limit_error(limited: Limited) -> None:
    """Without retries it is openai.RateLimitError with all four fields."""
    base_url = f"http://127.0.0.1:{limited.rig.gateway.port}/v1"
    while limited.chat("narrow").status == 200:
        pass
    with openai.OpenAI(base_url=base_url, api_key=limited.secrets["narrow"], max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as raised:
            client.chat.completions.create(model="m", messages=[])
        assert raised.value.code == "rate_limit_exceeded"
        assert raised.value.response.headers["x-ratelimit-remaining-requests"] == "0"


# ---- what a key may do at all


def test_services_of_a_key(limited: Limited) -> None:
    """A key for chat gets 403 elsewhere."""
    key = [("authorization", f"Bearer {limited.secrets['gold']}-chat")]
    gateway = limited.rig.gateway
    assert gateway.chat("m", key).status == 200
    reply = gateway.post("/v1/embeddings", {"model": "m", "input": "x"}, key)
    assert reply.status == 403
    assert reply.error["code"] == "model_access_denied"


def test_a_key_whose_time_is_over(limited: Limited) -> None:
    """401, and the text says what is wrong."""
    reply = limited.chat("gold")
    assert reply.status == 401
    assert reply.error["code"] == "invalid_api_key"
    assert "expired" in reply.error["message"]
    assert limited.rig.gateway.line(reply.header("x-request-id") or "")["reason"] == "key_expired"
