"""Who speaks for a call: the deployment's own dialect, or its own behind the fewest bridges."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway.bridges.dialect import BridgedDialect
from gateway.bridges.speakers import MAX_CHOSEN, Speakers
from gateway.bridges.surfaces import SERVICES
from gateway.errors import UnsupportedParameter
from gateway.ports import DecodedReply, StreamDecoder
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service, Surface

PATHS = {Surface.CHAT: "/chat/completions", Surface.RESPONSES: "/responses", Surface.MESSAGES: "/messages"}
DIALECTS = discover()
RAW = b'{"model":"asked","messages":[{"role":"user","content":"x"}]}'


class Identity:
    """A bridge that changes nothing but the path."""

    def __init__(self, spoken: Surface, asked: Surface) -> None:
        self.spoken, self.asked = spoken, asked

    def outline(self, call: Call) -> Call:
        return msgspec.structs.replace(call, path=PATHS[self.asked], service=SERVICES[self.asked])

    def request(self, call: Call, deployment: Deployment, extensions: frozenset[str]) -> Call:
        self.told = extensions
        return self.outline(call)

    def reply(self, call: Call, reply: DecodedReply) -> DecodedReply:
        return reply

    def stream(self, call: Call, inner: StreamDecoder) -> StreamDecoder:
        return inner

    def param(self, name: str) -> str:
        return f"their.{name}"


def to(kind: str, **more: Any) -> Deployment:
    provider = Provider("p", kind, "https://provider.invalid/v1", ("k",), **more)
    return Deployment("p/theirs", provider, "theirs")


def call(surface: Surface) -> Call:
    service = Service.RESPONSES if surface is Surface.RESPONSES else Service.CHAT
    return Call("c", "r", service, PATHS[surface], "asked", RAW, 0.0, model_span=(9, 16))


TO_CHAT = Identity(Surface.RESPONSES, Surface.CHAT)
TO_RESPONSES = Identity(Surface.CHAT, Surface.RESPONSES)
FROM_MESSAGES = Identity(Surface.MESSAGES, Surface.CHAT)


def test_a_native_call_is_spoken_by_the_dialect_itself() -> None:
    """Where the deployment has what the client speaks, no bridge stands between."""
    speakers = Speakers(DIALECTS, (TO_CHAT, TO_RESPONSES))
    assert speakers.of(call(Surface.CHAT), to("anthropic")) is DIALECTS["anthropic"]
    assert speakers.of(call(Surface.RESPONSES), to("openai")) is DIALECTS["openai"]
    assert speakers.asked(call(Surface.CHAT), to("anthropic")) is None


def test_a_dialect_behind_a_bridge_is_a_dialect() -> None:
    """Head, body, reply and stream are the inner dialect's for the other surface."""
    speakers, deployment = Speakers(DIALECTS, (TO_CHAT,)), to("anthropic")
    speaker = speakers.of(call(Surface.RESPONSES), deployment)
    assert isinstance(speaker, BridgedDialect)
    assert speakers.of(call(Surface.RESPONSES), deployment) is speaker
    assert speakers.of(call(Surface.RESPONSES), to("anthropic")) is speaker
    assert speakers.asked(call(Surface.RESPONSES), deployment) is Surface.CHAT
    assert speaker.head(call(Surface.RESPONSES), deployment, "k").target == b"/v1/messages"
    body = speaker.body(call(Surface.RESPONSES), deployment)
    assert isinstance(body, tuple)
    assert msgspec.json.decode(body[0])["messages"][0]["content"] == [{"type": "text", "text": "x"}]
    native = {"type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}
    reply = speaker.decode(call(Surface.RESPONSES), deployment, (), msgspec.json.encode(native))
    assert msgspec.json.decode(reply.body)["choices"][0]["message"]["content"] == "hi"
    assert speaker.stream(call(Surface.RESPONSES), deployment).feed(b"event: ping\ndata: {}\n\n") == b""


def test_what_cannot_be_said_is_told_by_the_clients_name() -> None:
    """The parameter of a refusal is renamed on its way back, the provider's own as well as ours."""
    speaker = Speakers(DIALECTS, (TO_CHAT,)).of(call(Surface.RESPONSES), to("anthropic"))
    odd = call(Surface.RESPONSES)
    odd.raw = RAW[:-1] + b',"seed":1}'
    with pytest.raises(UnsupportedParameter) as refused:
        speaker.body(odd, to("anthropic"))
    assert refused.value.param == "their.seed"
    other = Speakers(DIALECTS, (TO_CHAT,)).of(call(Surface.RESPONSES), to("openai", api=frozenset({Surface.CHAT})))
    error = other.error(400, (), b'{"error":{"message":"no","param":"messages"}}')
    assert error.param == "their.messages"


def test_bridges_know_what_the_dialect_understands() -> None:
    """Fields beyond OpenAI's go only where they are understood."""
    bridge = Identity(Surface.RESPONSES, Surface.CHAT)
    speakers = Speakers(DIALECTS, (bridge,))
    speakers.of(call(Surface.RESPONSES), to("anthropic")).body(call(Surface.RESPONSES), to("anthropic"))
    assert {"thinking_blocks", "extra_content", "cache_control", "max_completion_tokens"} <= bridge.told
    for kind, word in (("openai", "max_completion_tokens"), ("huggingface", "max_tokens")):
        chat_only = to(kind, api=frozenset({Surface.CHAT}))
        speakers.of(call(Surface.RESPONSES), chat_only).body(call(Surface.RESPONSES), chat_only)
        assert bridge.told == {word}


def test_the_operator_names_what_a_deployment_has() -> None:
    """`api` of a provider, or of one model before it, takes surfaces away; what the type lacks it does not add."""
    speakers = Speakers(DIALECTS, (TO_CHAT, TO_RESPONSES))
    chat_only = to("openai", api=frozenset({Surface.CHAT}))
    assert isinstance(speakers.of(call(Surface.RESPONSES), chat_only), BridgedDialect)
    assert speakers.of(call(Surface.CHAT), chat_only) is DIALECTS["openai"]
    one = Deployment("p/pro", chat_only.provider, "pro", api=frozenset({Surface.RESPONSES}))
    assert speakers.of(call(Surface.RESPONSES), one) is DIALECTS["openai"]
    assert isinstance(speakers.of(call(Surface.CHAT), one), BridgedDialect)
    assert speakers.find(Service.CHAT, PATHS[Surface.CHAT], to("anthropic", api=frozenset({Surface.RESPONSES}))) is None


def test_bridges_follow_one_another() -> None:
    """Where no single bridge leads there, the shortest way over several does."""
    speakers = Speakers(DIALECTS, (FROM_MESSAGES, TO_CHAT, TO_RESPONSES))
    pro = to("openai", api=frozenset({Surface.RESPONSES}))
    speaker = speakers.of(call(Surface.MESSAGES), pro)
    assert speaker.head(call(Surface.MESSAGES), pro, "k").target == b"/v1/responses"
    assert speakers.of(call(Surface.MESSAGES), to("openai")).head(call(Surface.MESSAGES), to("openai"), "k").target == (
        b"/v1/chat/completions"
    )


def test_without_a_bridge_nobody_speaks() -> None:
    """A surface that nothing leads to is not served, and other services need their dialect's word."""
    speakers = Speakers(DIALECTS, ())
    assert speakers.find(Service.RESPONSES, "/responses", to("anthropic")) is None
    assert speakers.find(Service.EMBEDDINGS, "/embeddings", to("anthropic")) is None
    assert speakers.find(Service.EMBEDDINGS, "/embeddings", to("openai")) is DIALECTS["openai"]
    assert speakers.find(Service.CHAT, "/chat/completions", to("unheard-of")) is None
    with pytest.raises(LookupError):
        speakers.of(call(Surface.RESPONSES), to("anthropic"))


def test_what_is_served_is_told() -> None:
    """Services count what bridges lead to."""
    plain, bridged = Speakers(DIALECTS, ()), Speakers(DIALECTS, (TO_CHAT,))
    assert plain.services(to("anthropic")) == {Service.CHAT}
    assert bridged.services(to("anthropic")) == {Service.CHAT, Service.RESPONSES}
    assert bridged.services(to("unheard-of")) == frozenset()


def test_what_was_found_is_kept_within_bounds() -> None:
    """Deployments of old snapshots do not stay for ever."""
    speakers = Speakers(DIALECTS, ())
    for _ in range(MAX_CHOSEN + 2):
        speakers.of(call(Surface.CHAT), to("openai"))
    assert len(speakers._chosen) <= MAX_CHOSEN
