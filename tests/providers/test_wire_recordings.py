"""What real providers sent, read by the OpenAI dialect: recorded exchanges beside the project, where present."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.errors import (
    ProviderAuthFailed,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamServerError,
)
from gateway.providers import discover
from gateway.providers.wire.sse import DONE
from gateway.types import Call, Deployment, Provider, Service, Usage

FOLDER = Path(__file__).parents[3] / "shared" / "recordings"
SERVICES = {
    "chat": Service.CHAT,
    "completions": Service.COMPLETIONS,
    "responses": Service.RESPONSES,
    "embeddings": Service.EMBEDDINGS,
}
OTHER_DIALECTS = {"cohere", "gemini", "vertex", "bedrock"}
ASKED = "the/asked-model"
DIALECT = discover()["openai"]
DEPLOYMENT = Deployment("p/m", Provider("p", "openai", "https://provider.invalid/v1"), "m")

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the recordings are not part of the project and not here")


@dataclass(frozen=True)
class Recording:
    """One exchange with a provider whose API is OpenAI's."""

    name: str
    service: Service
    stream: bool
    status: int
    content_type: bytes
    body: bytes

    @property
    def call(self) -> Call:
        return Call("c", "r", self.service, "/x", ASKED, b"{}", 0.0, stream=self.stream, include_usage=True)


@cache
def recordings() -> list[Recording]:
    """Every recording in OpenAI's shape."""
    found = []
    for path in sorted(FOLDER.glob("*/*.json")):
        exchange = json.loads(path.read_text())
        if exchange["api"] not in SERVICES or (
            exchange["provider"] in OTHER_DIALECTS and exchange["api"] != "responses"
        ):
            continue
        response = exchange["response"]
        text = response.get("body_text")
        body = json.dumps(response["body"], ensure_ascii=False) if text is None else text
        kind = (response.get("headers") or {}).get("content-type") or "application/json"
        name = f"{path.parent.name}/{path.stem}"
        service = SERVICES[exchange["api"]]
        found.append(Recording(name, service, exchange["stream"], response["status"], kind.encode(), body.encode()))
    return found


def events_of(raw: bytes) -> list[Any]:
    """The JSON events up to an error or `[DONE]`, of a stream whose data are single lines, as all recorded ones are."""
    found = []
    for line in raw.decode().splitlines():
        if line.startswith("data:") and "{" in line:
            event = json.loads(line[5:])
            if event.get("error") or event.get("type") == "error":
                break
            found.append(event)
    return found


def usage_in(document: Any) -> Any:
    return (document.get("response") or {}).get("usage") or document.get("usage")


def told(usage: dict[str, Any]) -> Usage:
    """What a usage object says, written down independently of the code under test."""
    given = usage.get("prompt_tokens", usage.get("input_tokens")) or 0
    made = usage.get("completion_tokens", usage.get("output_tokens")) or 0
    before = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    after = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    total, thought = usage.get("total_tokens"), after.get("reasoning_tokens") or usage.get("reasoning_tokens") or 0
    if total is not None and total > given + made:
        assert total == given + made + thought
        made += thought
    elif thought > made:
        made += thought
    cached = before.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or usage.get("cached_tokens") or 0
    written = before.get("cache_write_tokens") or usage.get("cache_creation_input_tokens") or 0
    heard, spoken = before.get("audio_tokens") or 0, after.get("audio_tokens") or 0
    return Usage(given, made, cached, written, thought, heard, spoken)


def counts(usage: Usage | None) -> Usage | None:
    """The counts of tokens alone: tiers of service and searches are told beside them, and have tests of their own among
    the recordings."""
    return None if usage is None else msgspec.structs.replace(usage, service_tier="", searches=0)


def renamed(document: dict[str, Any]) -> dict[str, Any]:
    """The document as the client should read it."""
    if "model" in document:
        document = {**document, "model": ASKED}
    if isinstance(document.get("response"), dict) and "model" in document["response"]:
        document = {**document, "response": {**document["response"], "model": ASKED}}
    return document


def test_there_are_recordings() -> None:
    """Where the folder is present it holds what the other tests run on."""
    found = recordings()
    assert len(found) > 250
    assert {recording.service for recording in found} == set(SERVICES.values())


def test_whole_replies() -> None:
    """Every successful reply decodes: usage as told, the asked model shown, all else equal."""
    seen = 0
    for recording in recordings():
        if recording.stream or recording.status != 200:
            continue
        seen += 1
        reply = DIALECT.decode(recording.call, DEPLOYMENT, [(b"content-type", recording.content_type)], recording.body)
        sent = json.loads(recording.body)
        usage = sent.get("usage")
        assert counts(reply.usage) == (told(usage) if usage else None), recording.name
        got = json.loads(reply.body)
        if recording.service is Service.EMBEDDINGS:
            for vectors in (got, sent):
                vectors["data"] = [{**item, "embedding": None} for item in vectors["data"]]
        assert got == renamed(sent), recording.name
    assert seen > 120


EMPTY = {"huggingface/chat-stream-genai-meta-llama-llama-3-1-8b-instruct-genstream-json-0"}
"""A 200 whose stream holds nothing but `[DONE]`."""
BROKEN = {
    "alibaba/chat-stream-genai-us-qwen3-vl-flash-genstreammultimodal-image-gif-url-0": UpstreamRejected,
    "openai/chat-stream-genai-gpt-audio-genstream-stop-0": UpstreamRejected,
    "openai/responses-stream-vercel-openai-error-1-0": ProviderAuthFailed,
    "openrouter/chat-stream-pydantic-openrouter-stream-error-0": UpstreamRejected,
}
"""Streams that hold an error event."""
UNSAID = {"openai/responses-stream-vercel-openai-error-1-0"}
"""Those of them whose error is the first thing that says anything: none of them is handed on."""


@pytest.mark.parametrize("size", [1 << 20, 4096, 61, 7])
def test_streams(size: int) -> None:
    """Every recorded stream, in reads of any size: events equal but for the name, usage as told, `[DONE]` last."""
    seen = 0
    for recording in recordings():
        if not recording.stream or recording.status != 200 or (size < 61 and len(recording.body) > 10_000):
            continue
        seen += 1
        decoder = DIALECT.stream(recording.call, DEPLOYMENT)
        body = recording.body
        out = b"".join(decoder.feed(body[at : at + size]) for at in range(0, len(body), size)) + decoder.end()
        failure = UpstreamError if recording.name in EMPTY else BROKEN.get(recording.name)
        assert isinstance(decoder.failure, failure or type(None)), recording.name
        assert decoder.complete == (failure is None), recording.name
        events = [] if recording.name in UNSAID else events_of(body)
        assert events_of(out) == [renamed(event) for event in events], recording.name
        usages = [usage for event in events if (usage := usage_in(event))]
        if usages:
            assert counts(decoder.usage) == told(usages[-1]), recording.name
        if failure is None and recording.service is Service.CHAT:
            assert out.endswith(DONE), recording.name
    assert seen > 30


def test_hidden_usage() -> None:
    """A client who did not ask for usage gets none in any recorded chat stream, and nothing else is lost."""
    for recording in recordings():
        if not recording.stream or recording.status != 200 or recording.service is not Service.CHAT:
            continue
        call = recording.call
        call.include_usage = False
        decoder = DIALECT.stream(call, DEPLOYMENT)
        events = events_of(decoder.feed(recording.body) + decoder.end())
        assert not any(event.get("usage") for event in events), recording.name
        wanted = [renamed(e) for e in events_of(recording.body) if e.get("choices") or not e.get("usage")]
        strip = [{name: value for name, value in event.items() if name != "usage"} for event in wanted]
        assert [{n: v for n, v in event.items() if n != "usage"} for event in events] == strip, recording.name


def test_refusals() -> None:
    """Every recorded refusal maps to the class of its status, and no text of it holds a URL."""
    classes = {401: ProviderAuthFailed, 402: ProviderAuthFailed, 500: UpstreamServerError}
    seen = 0
    for recording in recordings():
        if recording.status == 200:
            continue
        seen += 1
        error = DIALECT.error(recording.status, [(b"content-type", recording.content_type)], recording.body)
        wanted: type[UpstreamError] = classes.get(recording.status, UpstreamRejected)
        if recording.status == 429:
            wanted = ProviderAuthFailed if b"insufficient_quota" in recording.body else UpstreamRateLimited
        assert isinstance(error, wanted), recording.name
        assert "://" not in error.public_message
        if isinstance(error, UpstreamRejected):
            assert error.public_status == recording.status
            assert error.public_message != UpstreamRejected.message, recording.name
            if "context-length" in recording.name:
                assert error.public_code == "context_length_exceeded", recording.name
    assert seen > 40
