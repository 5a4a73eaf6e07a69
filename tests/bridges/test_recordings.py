"""What real providers answered, on the other side of a bridge: clients read what an independent reading says."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from gateway.bridges.speakers import Speakers
from gateway.errors import UnsupportedParameter, UpstreamError
from gateway.providers import discover
from gateway.types import Call, Deployment, Provider, Service, Surface, Usage
from tests.bridges.responses import reading as responses
from tests.providers.contract import reading as chats
from tests.providers.contract.said import Read
from tests.providers.recordings.exchanges import exchanges, present
from tests.providers.test_wire_recordings import ASKED, BROKEN, EMPTY, Recording, counts, recordings, told

pytestmark = present
SPEAKERS = Speakers(discover())
PATHS = {Service.CHAT: "/chat/completions", Service.RESPONSES: "/responses"}
RAW = {Service.CHAT: b'{"messages":[{"role":"user","content":"x"}]}', Service.RESPONSES: b'{"input":"x"}'}
SIZES = (1 << 20, 997, 61)
MAKERS = ("openai", "azure", "bedrock", "deepseek", "xai")
"""Whose responses are recorded."""


def deployment(asked: Surface) -> Deployment:
    """One that has only this."""
    provider = Provider("p", "openai_compatible", "https://provider.invalid/v1", api=frozenset({asked}))
    return Deployment("p/m", provider, "m")


def call(service: Service, *, stream: bool) -> Call:
    return Call("c", "r", service, PATHS[service], ASKED, RAW[service], 0.0, stream=stream, include_usage=True)


def crossing(service: Service, *, stream: bool) -> list[Recording]:
    """Good answers of a service."""
    return [one for one in recordings() if (one.service, one.stream, one.status) == (service, stream, 200)]


# ---- responses, read by clients of chat ------------------------------------------------------------------------------


def said_by(response: dict[str, Any]) -> Read:
    """What a response says, written down independently of the code under test."""
    read = Read(usage=response.get("usage"))
    thoughts = []
    for item in response["output"]:
        if item["type"] == "message":
            read.text += "".join(part.get("text", "") for part in item["content"])
        elif item["type"] == "reasoning":
            parts = item.get("summary") or item.get("content") or ()
            thoughts.append("\n\n".join(part["text"] for part in parts))
        elif item["type"] == "function_call":
            read.calls.append((item["call_id"], item["name"], item["arguments"]))
    read.reasoning = "\n\n".join(filter(None, thoughts))
    read.finish = "tool_calls" if read.calls else "stop"
    if response["status"] == "incomplete":
        read.finish = "length"
        assert response["incomplete_details"]["reason"] == "max_output_tokens"
    return read


def meant(arguments: str) -> Any:
    """What they say; those of an answer that was cut short as they are."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def same(read: Read, wanted: Read, usage: Usage | None) -> None:
    assert read.text == wanted.text
    assert "".join(read.reasoning.split()) == "".join(wanted.reasoning.split())
    assert [(name, meant(text)) for _, name, text in read.calls] == [
        (name, meant(text)) for _, name, text in wanted.calls
    ]
    for (id_, _, _), (other, _, _) in zip(read.calls, wanted.calls, strict=True):
        assert other in (id_, "", None)
    assert read.finish == wanted.finish
    assert counts(usage) == (told(wanted.usage) if wanted.usage else None)


def final_of(body: bytes) -> dict[str, Any] | None:
    """The last response of a stream; its items from their own events where it does not repeat them."""
    final: dict[str, Any] | None = None
    items: dict[int, Any] = {}
    for line in body.decode().splitlines():
        event = json.loads(line[5:]) if line.startswith("data:") and "{" in line else {}
        if event.get("type") == "response.output_item.done":
            items[event["output_index"]] = event["item"]
        if event.get("type") in ("response.completed", "response.incomplete"):
            final = event["response"]
    if final is not None and not final["output"]:
        final["output"] = [items[at] for at in sorted(items)]
    return final


def test_whole_responses() -> None:
    """Every recorded response is a completion: words, reasoning, calls, end and counts."""
    seen: Counter[str] = Counter()
    for recording in crossing(Service.RESPONSES, stream=False):
        asked, to = call(Service.CHAT, stream=False), deployment(Surface.RESPONSES)
        headers = [(b"content-type", recording.content_type)]
        reply = SPEAKERS.of(asked, to).decode(asked, to, headers, recording.body)
        same(chats.whole(reply.body, ASKED), said_by(json.loads(recording.body)), reply.usage)
        seen[recording.name.partition("/")[0]] += 1
    assert seen.keys() >= set(MAKERS)
    assert seen.total() > 40


@pytest.mark.parametrize("size", SIZES)
def test_streamed_responses(size: int) -> None:
    """Every recorded stream of a response, in reads of any size, is a stream of chunks."""
    seen = 0
    for recording in crossing(Service.RESPONSES, stream=True):
        asked, to, body = call(Service.CHAT, stream=True), deployment(Surface.RESPONSES), recording.body
        if size < 997 and len(body) > 30_000:
            continue
        decoder = SPEAKERS.of(asked, to).stream(asked, to)
        out = b"".join(decoder.feed(body[at : at + size]) for at in range(0, len(body), size)) + decoder.end()
        final = final_of(body)
        assert decoder.complete == (final is not None), recording.name
        assert isinstance(decoder.failure, type(None) if final else UpstreamError), recording.name
        if final is not None:
            seen += 1
            same(chats.streamed(out, ASKED, usage=bool(final.get("usage"))), said_by(final), decoder.usage)
    assert seen > 10


# ---- chats, read by clients of the Responses API ---------------------------------------------------------------------


def spoken(content: Any) -> str:
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    return "".join(part.get("text") or "" for part in parts if part["type"] == "text")


def thought(said: dict[str, Any]) -> str:
    if said.get("reasoning_content") or isinstance(said.get("reasoning"), str):
        return str(said.get("reasoning_content") or said["reasoning"])
    content = said.get("content")
    if not isinstance(content, list):
        return ""
    inner = (part["thinking"] for part in content if part["type"] == "thinking")
    return "".join(piece["text"] for pieces in inner for piece in pieces)


def of_chat(message: dict[str, Any], finish: str | None, usage: Any) -> Read:
    calls = [
        (call.get("id"), call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    short = {"length": "length", "content_filter": "content_filter", "model_length": "length"}
    return Read(spoken(message.get("content")), thought(message), calls, short.get(finish or "", "stop"), usage)


def joined(body: bytes) -> Read:
    """A stream of chunks put together by hand: the first choice's."""
    message: dict[str, Any] = {"content": "", "reasoning": "", "tool_calls": []}
    by_index: dict[Any, dict[str, Any]] = {}
    finish, usage = None, None
    for line in body.decode().splitlines():
        if not line.startswith("data:") or "{" not in line:
            continue
        chunk = json.loads(line[5:])
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or usage
        for choice in [one for one in chunk.get("choices") or () if one.get("index", 0) == 0]:
            delta = choice.get("delta") or {}
            message["content"] += spoken(delta.get("content"))
            message["reasoning"] += thought(delta)
            finish = choice.get("finish_reason") or finish
            for at, fragment in enumerate(delta.get("tool_calls") or ()):
                index = fragment.get("index", at)
                known = by_index.get(index)
                if known is None or (fragment.get("id") and fragment["id"] != known["id"]):
                    function = {"name": fragment["function"]["name"], "arguments": ""}
                    known = by_index[index] = {"id": fragment.get("id"), "function": function}
                    message["tool_calls"].append(known)
                known["function"]["arguments"] += fragment["function"].get("arguments") or ""
    return of_chat(message, finish, usage)


def test_whole_chats() -> None:
    """Every recorded completion is a response."""
    seen: Counter[str] = Counter()
    for recording in crossing(Service.CHAT, stream=False):
        asked, to = call(Service.RESPONSES, stream=False), deployment(Surface.CHAT)
        sent = json.loads(recording.body)
        if not sent.get("choices"):
            continue
        headers = [(b"content-type", recording.content_type)]
        reply = SPEAKERS.of(asked, to).decode(asked, to, headers, recording.body)
        choice = sent["choices"][0]
        wanted = of_chat(choice["message"], choice["finish_reason"], sent.get("usage"))
        same(responses.whole(reply.body, ASKED), wanted, reply.usage)
        seen[recording.name.partition("/")[0]] += 1
    assert len(seen) > 10
    assert seen.total() > 80


@pytest.mark.parametrize("size", SIZES)
def test_streamed_chats(size: int) -> None:
    """Every recorded stream of chunks, in reads of any size, is the events of a response."""
    seen = 0
    for recording in crossing(Service.CHAT, stream=True):
        asked, to, body = call(Service.RESPONSES, stream=True), deployment(Surface.CHAT), recording.body
        if size < 997 and len(body) > 30_000:
            continue
        decoder = SPEAKERS.of(asked, to).stream(asked, to)
        out = b"".join(decoder.feed(body[at : at + size]) for at in range(0, len(body), size)) + decoder.end()
        broken = recording.name in EMPTY or recording.name in BROKEN
        assert decoder.complete != broken, recording.name
        if not broken:
            seen += 1
            same(responses.streamed(out, ASKED), joined(body), decoder.usage)
    assert seen > 30


# ---- what clients of the Responses API asked -------------------------------------------------------------------------


def words_in(value: Any) -> list[str]:
    """Every text of a request's conversation."""
    if isinstance(value, list):
        return [word for one in value for word in words_in(one)]
    if not isinstance(value, dict):
        return []
    own = [value[name] for name in ("text", "output", "content") if isinstance(value.get(name), str)]
    return own + [word for name in ("content", "output") for word in words_in(value.get(name))]


def test_recorded_requests() -> None:
    """Each recorded request of the Responses API is carried over whole, or refused for what only OpenAI can do."""
    seen: Counter[str] = Counter()
    for maker in MAKERS:
        for exchange in exchanges(maker, "responses"):
            if exchange.request is None:
                continue
            fields = {**exchange.request, "model": "m"}
            raw = json.dumps(fields).encode()
            at = raw.index(b'"m"')
            asked = Call("c", "r", Service.RESPONSES, "/responses", "m", raw, 0.0, model_span=(at, at + 3))
            to = deployment(Surface.CHAT)
            try:
                parts = SPEAKERS.of(asked, to).body(asked, to)
            except UnsupportedParameter:
                assert only_openai(fields), exchange.name
                seen["refused"] += 1
                continue
            assert isinstance(parts, list | tuple)
            body = json.loads(b"".join(parts))
            seen["carried"] += 1
            given = fields["input"]
            wanted = [given] if isinstance(given, str) else words_in([i for i in given if i.get("type") != "reasoning"])
            found = "".join(words_in(body["messages"]))
            assert all(word in found for word in wanted), exchange.name
            names = [tool["name"] for tool in fields.get("tools") or ()]
            assert [tool["function"]["name"] for tool in body.get("tools") or ()] == names
    assert seen["carried"] > 20


def only_openai(fields: dict[str, Any]) -> bool:
    """Whether a request holds what a chat has no words for."""
    if any(tool["type"] not in ("function", "custom") for tool in fields.get("tools") or ()):
        return True
    if any(fields.get(name) for name in ("previous_response_id", "conversation", "background", "prompt")):
        return True
    if fields.keys() & {"context_management", "moderation"}:
        return True
    plain = {"message", "function_call", "function_call_output", "reasoning", None}
    items = fields["input"] if isinstance(fields["input"], list) else []
    files = any(part.get("file_url") or part.get("file_id") for item in items for part in _parts(item))
    return files or any(item.get("type") not in plain for item in items)


def _parts(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for name in ("content", "output") if isinstance(item.get(name), list) for part in item[name]]
