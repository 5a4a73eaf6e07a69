"""Clients of the Messages API before every provider type that has chat: bridged, or passed through."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.bridges.dialect import BridgedDialect
from gateway.bridges.speakers import Speakers
from gateway.ports import Dialect
from gateway.types import Deployment, Service, Surface, Usage
from tests.bridges.messages.talk import call, heard_of
from tests.providers.contract.cases import ANSWERS
from tests.providers.contract.natives import Native, answering, native_of
from tests.providers.contract.said import Said
from tests.providers.contract.test_contract import DIALECTS, deployment_of

ANSWERING = answering(DIALECTS)
STOPS = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use", "refused": "refusal"}
TOOL = {"name": "weather", "description": "Tells it.", "input_schema": {"type": "object", "properties": {}}}
TALK = [
    {"role": "user", "content": [{"type": "text", "text": "Berlin?"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "abcdefghi", "name": "weather", "input": {"city": "Berlin"}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "abcdefghi", "content": [{"type": "text", "text": "rain"}]},
            {"type": "text", "text": "And now?"},
        ],
    },
]


class Provider:
    """One type of provider, played by hand, and who speaks to it for these clients."""

    def __init__(self, kind: str) -> None:
        own = DIALECTS[kind]
        self.native: Native = native_of(own)
        self.deployment: Deployment = deployment_of(own, self.native)
        if kind != "anthropic":
            # Resellers of Claude have this API too, but are played here by the one that all their models have.
            self.deployment = replace(self.deployment, api=frozenset({Surface.CHAT}))
        found = Speakers(DIALECTS).find(Service.CHAT, "/messages", self.deployment)
        assert found is not None
        self.dialect: Dialect = found

    @property
    def bridged(self) -> bool:
        return isinstance(self.dialect, BridgedDialect)


@pytest.fixture(params=sorted(DIALECTS))
def provider(request: pytest.FixtureRequest) -> Provider:
    return Provider(request.param)


def test_only_anthropic_has_it(provider: Provider) -> None:
    """Everyone else, asked for a chat, is behind the bridge."""
    assert provider.bridged is (provider.dialect.name != "anthropic")


def test_requests(provider: Provider) -> None:
    """The provider hears the system's words, the turns with calls and results, the tools and the limit."""
    asked = call(system="Be kind.", messages=TALK, tools=[TOOL])
    parts = provider.dialect.body(asked, provider.deployment)
    assert isinstance(parts, list | tuple)
    head = provider.dialect.head(asked, provider.deployment, "secret")
    if not provider.bridged:
        head = replace(head, headers=(*head.headers, *asked.forwarded))
    heard = provider.native.heard(head, b"".join(parts))
    assert heard.model == provider.native.model
    assert (heard.system, heard.limit) == ("Be kind.", 100)
    assert list(heard.tools) == ["weather"]
    user, model, last = heard.turns
    assert (user.text, model.text, last.text) == ("Berlin?", "I look.", "And now?")
    assert [(one.name, one.arguments) for one in model.calls] == [("weather", {"city": "Berlin"})]
    assert [text for _, text in last.results] == ["rain"]


def check(message: dict[str, Any], said: Said, usage: Usage | None) -> None:
    blocks = message["content"]
    counts = said.counts
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == said.text
    assert "".join(block.get("thinking", "") for block in blocks) == said.reasoning
    uses = [(block["id"], block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
    assert uses == [(one.id, one.name, one.arguments) for one in said.calls]
    assert message["stop_reason"] == STOPS[said.finish]
    told = message["usage"]
    assert told["output_tokens"] == counts.output
    assert told["cache_read_input_tokens"] == counts.cached
    assert told["cache_creation_input_tokens"] == counts.written
    assert told["input_tokens"] == counts.input - counts.cached - counts.written
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens) == (counts.input, counts.output)


@pytest.mark.parametrize(("provider", "case"), ANSWERING, indirect=["provider"])
def test_replies(provider: Provider, case: str) -> None:
    """The client reads what the model said: words, thinking, calls, why it ended, every count."""
    content_type, body = provider.native.reply(ANSWERS[case])
    reply = provider.dialect.decode(call(), provider.deployment, [(b"content-type", content_type)], body)
    message = json.loads(reply.body)
    assert (message["type"], message["role"], message["model"]) == ("message", "assistant", "asked")
    check(message, ANSWERS[case], reply.usage)


@pytest.mark.parametrize(("provider", "case"), ANSWERING, indirect=["provider"])
def test_streams(provider: Provider, case: str) -> None:
    """The same of a stream, in one piece or byte by byte."""
    body = b"".join(provider.native.stream(ANSWERS[case])[1])
    seen = set()
    for size in (len(body), 7, 1):
        decoder = provider.dialect.stream(call(stream=True), provider.deployment)
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        out = b"".join(map(decoder.feed, pieces)) + decoder.end()
        assert decoder.complete
        heard = heard_of(out, decoder)
        assert heard.complete
        check(heard.message, ANSWERS[case], decoder.usage)
        seen.add(msgspec.json.encode(heard.message))
    assert len(seen) == 1


def test_broken_streams(provider: Provider) -> None:
    """What breaks in the middle has no end, wherever the provider says it or stops."""
    frames = provider.native.stream(ANSWERS["text"])[1]
    for end in (provider.native.broken(), b""):
        decoder = provider.dialect.stream(call(stream=True), provider.deployment)
        out = b"".join(map(decoder.feed, [*frames[: len(frames) // 2], end])) + decoder.end()
        assert decoder.failure is not None
        assert not heard_of(out, decoder).complete


def test_errors(provider: Provider) -> None:
    """A refusal means what it means to everybody."""
    for status in (400, 401, 429, 503):
        error = provider.dialect.error(status, (), provider.native.refusal(status, "no"))
        plain = DIALECTS[provider.dialect.name].error(status, (), provider.native.refusal(status, "no"))
        assert (type(error), error.public_status) == (type(plain), plain.public_status)
