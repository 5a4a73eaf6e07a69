"""Searches that providers ran for an answer, as each API tells them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from gateway.bridges.speakers import Speakers
from gateway.providers import discover
from gateway.providers.wire.searches import searches_in
from gateway.types import Call, Deployment, Provider, Service
from tests.providers.recordings.exchanges import exchanges, present

SPEAKERS = Speakers(discover())
READ = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
SEARCHED = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
OPENED = {"type": "web_search_call", "status": "completed", "action": {"type": "open_page", "url": "u"}}
TEXT = {"type": "message", "content": [{"type": "output_text", "text": "a web_search_call"}]}
PLACES = {
    Service.RESPONSES: "/responses",
    Service.CHAT: "/chat/completions",
}


@pytest.mark.parametrize(
    ("output", "searches"),
    [
        ([TEXT, SEARCHED, OPENED, SEARCHED], 2),
        ([{"type": "web_search_call"}, {"type": "web_search_call", "action": None}], 2),
        ([{"type": "web_search_call", "action": "odd"}, {"type": 5}, {}], 1),
        ([TEXT], 0),
        ([], 0),
        (None, 0),
        ("web_search_call", 0),
        ([SEARCHED, "web_search_call"], 0),
    ],
)
def test_items(output: Any, searches: int) -> None:
    """Pages that were opened are none, and whatever is no list of items tells of none."""
    assert searches_in(msgspec.Raw(json.dumps(output).encode())) == searches


def read(kind: str, service: Service, told: Any, path: str | None = None) -> Any:
    call = Call("c", "r", service, path or PLACES[service], "m", b"{}", 0.0)
    deployment = Deployment("p/m", Provider("p", kind, "https://provider.invalid/v1", ("k",)), "m")
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    return SPEAKERS.of(call, deployment).decode(call, deployment, [], body).usage


def test_responses() -> None:
    """Their items; what a surprise stands there instead spoils no answer, nor does JSON that only others read."""
    whole = {"object": "response", "status": "completed", "model": "m", "usage": READ}
    assert read("openai", Service.RESPONSES, {**whole, "output": [SEARCHED, OPENED, TEXT]}).searches == 1
    assert read("openai", Service.RESPONSES, {**whole, "output": "web_search_call"}).searches == 0
    half = json.dumps({**whole, "output": [SEARCHED]}).encode().replace(b'"q"', b'"\\ud83d"')
    assert read("openai", Service.RESPONSES, half).input_tokens == 5


@pytest.mark.parametrize(("told", "searches"), [(3, 3), (0, 0), (None, 0), (-1, 0), ("3", 0), (1e12, 10**9), ([], 0)])
def test_counts(told: Any, searches: int) -> None:
    """Perplexity's and Anthropic's, whole and in a stream."""
    counts = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "num_search_queries": told}
    said = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    assert read("openai_compatible", Service.CHAT, {"choices": [said], "usage": counts}).searches == searches
    usage = {"input_tokens": 5, "output_tokens": 2, "server_tool_use": {"web_search_requests": told}}
    text = {"type": "text", "text": "hi"}
    message = {"type": "message", "content": [text], "stop_reason": "end_turn", "usage": usage}
    assert read("anthropic", Service.CHAT, message).searches == searches
    assert read("anthropic", Service.CHAT, message, "/messages").searches == searches
    assert read("anthropic", Service.CHAT, {**message, "usage": {**usage, "server_tool_use": told}}).searches == 0


def test_streams_of_messages() -> None:
    """They are counted to the end of the answer."""
    call = Call("c", "r", Service.CHAT, "/messages", "m", b"{}", 0.0, stream=True)
    deployment = Deployment("p/m", Provider("p", "anthropic", "https://provider.invalid/v1", ("k",)), "m")
    ran = [{"server_tool_use": {"web_search_requests": count}} for count in (0, 2)]
    events = [
        {"type": "message_start", "message": {"usage": {"input_tokens": 5, **ran[0]}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2, **ran[1]}},
        {"type": "message_stop"},
    ]
    decoder = SPEAKERS.of(call, deployment).stream(call, deployment)
    decoder.feed(b"".join(b"event: x\ndata: " + json.dumps(event).encode() + b"\n\n" for event in events))
    assert decoder.usage is not None
    assert (decoder.usage.output_tokens, decoder.usage.searches) == (2, 2)


RECORDED = {
    one.name: one
    for provider in ("openai", "xai", "deepseek")
    for one in exchanges(provider, "responses")
    if one.status == 200 and b'"web_search_call"' in one.body
}


@present
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_searches(name: str) -> None:
    """What real providers showed; xAI counts them too."""
    one = RECORDED[name]
    call = Call("c", "r", Service.RESPONSES, "/responses", "m", b"{}", 0.0, stream=one.stream)
    deployment = Deployment("p/m", Provider("p", one.provider, "https://provider.invalid/v1", ("k",)), "m")
    dialect = SPEAKERS.of(call, deployment)
    if one.stream:
        decoder = dialect.stream(call, deployment)
        decoder.feed(one.body)
        usage = decoder.usage
        lines = [line for line in one.body.splitlines() if line.startswith(b"data:")]
        line = next(line for line in lines if b'"response.completed"' in line)
        whole = json.loads(line[5:])["response"]
    else:
        usage, whole = dialect.decode(call, deployment, one.headers, one.body).usage, json.loads(one.body)
    calls = [item for item in whole["output"] if item["type"] == "web_search_call"]
    searches = sum(item.get("action", {}).get("type", "search") == "search" for item in calls)
    assert usage is not None
    assert usage.searches == searches
    counted = whole["usage"].get("server_side_tool_usage_details")
    assert counted is None or counted["web_search_calls"] == searches
