"""`stream_options` as callers write it, and what a provider is asked instead: usage, whatever is taken of several."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.app import Gateway, running
from tests.support.gateway import Mock, mock_process
from tests.support.rig import COMPLETION, USAGE_CHUNK, chunk
from tests.support.steps import json_reply, sse
from tests.support.upstream import ScriptedUpstream

TYPES = ("openai", "azure", "openai_compatible", "vllm", "groq", "ollama", "mistral")
ASKED = {"include_usage": True}
# What stands in the body, and what must stand there in each of its places.
WRITTEN = [
    ('"stream_options":null', [ASKED]),
    ('"stream_options" : null ', [ASKED]),
    ('"stream\\u005foptions":null', [ASKED]),
    ('"stream_options":{"include_usage":false},"stream_options":null', [ASKED, ASKED]),
    ('"stream_options":{"include_usage":true},"stream_options":null', [ASKED, ASKED]),
    ('"stream_options":null,"stream_options":{"x":1,"include_usage":null}', [ASKED, {"x": 1, **ASKED}]),
    ('"stream_options":null,"stream_options":{"include_usage":true}', [ASKED, ASKED]),
    ('"stream_options":{},"stream_options":{"include_usage":true}', [ASKED, ASKED]),
]


@dataclass(slots=True)
class Rig:
    """A gateway before a scripted upstream and the mock."""

    gateway: Gateway
    up: ScriptedUpstream
    mock: Mock

    def sent(self) -> bytes:
        """The body of the only request that the upstream got."""
        (received,) = self.up.received
        return received.body


@pytest.fixture(scope="module")
def shared() -> Iterator[Rig]:
    with mock_process() as mock, ScriptedUpstream() as up:
        common = (
            f"base_url: {up.base_url}/v1, allow_private_network: true, retry_attempts: 0, breaker: false, models: [x]"
        )
        lines = [f"  {kind}: {{type: {kind}, api_key: k, {common}}}" for kind in TYPES]
        lab = f"type: openai, api_key: k, base_url: {mock.url}, allow_private_network: true, models: [mock-small]"
        with running("\n".join(["version: 1", "providers:", *lines, f"  lab: {{{lab}}}", ""])) as gateway:
            yield Rig(gateway, up, mock)
        assert not up.errors


@pytest.fixture
def rig(shared: Rig) -> Rig:
    shared.up.received.clear()
    shared.up.default = sse([chunk("a", finish="stop"), USAGE_CHUNK])
    return shared


def options_in(raw: bytes) -> list[Any]:
    """The value of every `stream_options`, in order."""
    found: list[tuple[str, Any]] = json.loads(raw, object_pairs_hook=lambda pairs: pairs)
    return [as_object(value) for name, value in found if name == "stream_options"]


def as_object(value: Any) -> Any:
    """An object that was read as pairs."""
    return dict(value) if isinstance(value, list) else value


def body(model: str, options: str, stream: str = "true") -> bytes:
    """A request as bytes."""
    return f'{{"model":"{model}",{options},"messages":[],"stream":{stream}}}'.encode()


@pytest.mark.parametrize(("options", "wanted"), WRITTEN)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions"])
def test_every_one_of_them_asks_for_usage(rig: Rig, path: str, options: str, wanted: list[Any]) -> None:
    """A null is replaced and not gone around, and so is each of several: whichever a provider takes, it tells usage."""
    reply = rig.gateway.post(path, body("openai/x", options))
    assert reply.status == 200, reply.body
    assert options_in(rig.sent()) == wanted


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("options", [options for options, _ in WRITTEN])
def test_no_type_of_provider_is_asked_twice_or_not_at_all(rig: Rig, kind: str, options: str) -> None:
    """Whatever is adapted for a type on the way: each member that is sent asks for usage."""
    number = f"{kind}-{abs(hash(options))}"
    reply = rig.gateway.post("/v1/chat/completions", body(f"{kind}/x", options), (("x-request-id", number),))
    assert reply.status == 200, reply.body
    assert all(found["include_usage"] for found in options_in(rig.sent()))
    assert bool(options_in(rig.sent())) is (kind != "mistral")
    assert rig.gateway.line(number)["token_source"] == "provider"


@pytest.mark.parametrize("options", [options for options, _ in WRITTEN])
def test_a_provider_that_heeds_null_bills_what_is_booked(shared: Rig, options: str) -> None:
    """The mock, which tells usage only where it is asked to, and the ledger agree."""
    number = f"billed-{abs(hash(options))}"
    raw = body("lab/mock-small", options).replace(
        b'"messages":[]', b'"messages":[{"role":"user","content":"hello you"}]'
    )
    reply = shared.gateway.post("/v1/chat/completions", raw, (("x-request-id", number),))
    assert reply.status == 200, reply.body
    line, row = shared.gateway.line(number), shared.mock.rows()[-1]
    assert line["token_source"] == "provider"
    assert (line["input_tokens"], line["output_tokens"]) == (row["input_tokens"], row["output_tokens"])


def test_whoever_writes_null_reads_no_usage(rig: Rig) -> None:
    """Usage that the caller did not ask for stays here."""
    reply = rig.gateway.post("/v1/chat/completions", body("openai/x", '"stream_options":null'))
    assert not any("usage" in event for event in reply.events[:-1])


def test_what_does_not_stream_keeps_its_null(rig: Rig) -> None:
    """Only streams have the option: elsewhere a null is passed on as it came."""
    rig.up.default = json_reply(COMPLETION)
    assert rig.gateway.post("/v1/chat/completions", body("openai/x", '"stream_options":null', "false")).status == 200
    assert options_in(rig.sent()) == [None]


@pytest.mark.parametrize("options", ["null", '{"include_obfuscation":false}'])
def test_responses_have_options_of_their_own(rig: Rig, options: str) -> None:
    """A response tells its usage unasked, and its API refuses an option that it does not know."""
    rig.up.default = json_reply({"object": "response", "output": []})
    rig.gateway.post("/v1/responses", body("openai/x", f'"stream_options":{options}'))
    assert options_in(rig.sent()) == [json.loads(options)]


@pytest.mark.parametrize("options", ['"x"', "[]", "7", '{"include_usage":"yes"}', '[],"stream_options":null'])
def test_what_is_no_option_is_refused(rig: Rig, options: str) -> None:
    """As OpenAI does it: a wrong type is the caller's mistake, also where a later member would hide it."""
    reply = rig.gateway.post("/v1/chat/completions", body("openai/x", f'"stream_options":{options}'))
    assert (reply.status, reply.error["param"].partition(".")[0]) == (400, "stream_options")
    assert not rig.up.received
