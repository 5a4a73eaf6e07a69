"""What clients really sent to Anthropic, asked of a provider of OpenAI's API; and what chats answered, as messages."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.errors import GatewayError, UnsupportedParameter
from gateway.providers.anthropic import DIALECT as ANTHROPIC
from tests.bridges.messages.talk import bridged, call, deployment, heard_of
from tests.providers.recordings.exchanges import Exchange, exchanges, present

pytestmark = present
ASKED = [one for one in (*exchanges("anthropic", "messages"), *exchanges("vertex", "rawPredict")) if one.request]
CHATS = [
    one
    for name in (
        "openai",
        "azure",
        "groq",
        "mistral",
        "deepseek",
        "xai",
        "openrouter",
        "together",
        "huggingface",
        "cerebras",
        "moonshot",
        "ollama",
        "perplexity",
        "alibaba",
        "zai",
        "vercel-gateway",
    )
    for one in exchanges(name, "chat")
    if one.status == 200
]
OWN_TOOLS = "server tools"


def _asked(exchange: Exchange, unsupported: str) -> dict[str, Any]:
    request = {name: value for name, value in (exchange.request or {}).items() if name != "anthropic_version"}
    parts = bridged().body(call(**{"stream": False, **request, "model": "asked"}), deployment(unsupported=unsupported))
    assert isinstance(parts, list | tuple)
    body: dict[str, Any] = json.loads(b"".join(parts))
    return body


def _own(request: dict[str, Any]) -> bool:
    """Whether it needs what only Anthropic has."""
    tools = [tool.get("type", "custom") for tool in request.get("tools") or ()]
    blocks = [
        block["type"] for turn in request["messages"] if isinstance(turn["content"], list) for block in turn["content"]
    ]
    known = {"text", "image", "document", "tool_use", "tool_result", "thinking", "redacted_thinking"}
    return (
        any(kind != "custom" and not kind.startswith("tool_search") for kind in tools)
        or not known.issuperset(blocks)
        or "container" in request
        or request["max_tokens"] == 0
        or _by_url(request)
    )


def _by_url(request: dict[str, Any]) -> bool:
    turns = [turn["content"] for turn in request["messages"] if isinstance(turn["content"], list)]
    return any(block["type"] == "document" and block["source"]["type"] == "url" for blocks in turns for block in blocks)


@pytest.mark.parametrize("exchange", ASKED, ids=lambda one: one.name)
def test_requests(exchange: Exchange) -> None:
    """Every recorded request says the same as a chat; but for those that need what Anthropic alone has."""
    request = exchange.request
    assert request is not None
    try:
        body = _asked(exchange, "error")
    except UnsupportedParameter:
        assert _own(request)
        return
    assert not _own(request)
    assert _words(body) == _native_words(request)
    assert body["max_tokens"] == request["max_tokens"]
    tools = [tool for tool in request.get("tools") or () if tool.get("type", "custom") == "custom"]
    assert [tool["function"]["name"] for tool in body.get("tools", ())] == [tool["name"] for tool in tools]
    assert [tool["function"]["parameters"] for tool in body.get("tools", ())] == [
        tool["input_schema"] for tool in tools
    ]
    assert body.get("stop") == request.get("stop_sequences")
    assert body.get("temperature") == request.get("temperature")


def _words(body: dict[str, Any]) -> list[tuple[str, str]]:
    """What a chat says, in order: who, and what."""
    told: list[tuple[str, str]] = []
    for message in body["messages"]:
        content = message.get("content") or ""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for part in parts:
            text = part["text"] if part["type"] == "text" else part["type"]
            if text:
                told.append((message["role"], text))
        functions = [used["function"] for used in message.get("tool_calls", ())]
        told += [("call", json.dumps([one["name"], json.loads(one["arguments"])])) for one in functions]
    return told


def _native_words(request: dict[str, Any]) -> list[tuple[str, str]]:
    """The same, read from the request itself."""
    told: list[tuple[str, str]] = []
    system = request.get("system")
    if system:
        text = system if isinstance(system, str) else "\n\n".join(block["text"] for block in system)
        told.append(("system", text))
    for turn in request["messages"]:
        content = turn["content"]
        blocks: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        words = "".join(block["text"] for block in blocks if block["type"] == "text")
        if turn["role"] == "assistant":
            told += [("assistant", words)] if words else []
            told += [("call", json.dumps([b["name"], b["input"]])) for b in blocks if b["type"] == "tool_use"]
            continue
        told += [("tool", _result(block)) for block in blocks if block["type"] == "tool_result" and _result(block)]
        for block in blocks:
            if block["type"] == "text" and block["text"]:
                told.append(("user", block["text"]))
            elif block["type"] == "image":
                told.append(("user", "image_url"))
            elif block["type"] == "document":
                source: dict[str, Any] = block["source"]
                head = "\n".join(block[name] for name in ("title", "context") if block.get(name))
                text = f"{head}\n\n{source['data']}" if head else source.get("data", "")
                told.append(("user", "file" if source["type"] == "base64" else text))
    return told


def _inner(block: dict[str, Any]) -> str:
    text: str = block.get("text") or f"The tool `{block['tool_name']}` can be used."
    return text


def _result(block: dict[str, Any]) -> str:
    content = block.get("content") or ""
    text = content if isinstance(content, str) else "\n".join(_inner(one) for one in content)
    return ("Error: " if block.get("is_error") else "") + text


@pytest.mark.parametrize("exchange", CHATS, ids=lambda one: one.name)
def test_answers(exchange: Exchange) -> None:
    """Whatever a chat really answered is a message with its words, its calls and its counts."""
    dialect = bridged()
    if not exchange.stream:
        native = json.loads(exchange.body)
        if native.get("error") or not native["choices"][0].get("message"):
            return
        told = json.loads(dialect.decode(call(), deployment(), exchange.headers, exchange.body).body)
        said = native["choices"][0]["message"]
        words, calls = said.get("content"), said.get("tool_calls") or []
        counted = native.get("usage") or {}
        if counted:
            usage = told["usage"]
            given = usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
            assert given == counted["prompt_tokens"]
    else:
        decoder = dialect.stream(call(stream=True), deployment())
        out = decoder.feed(exchange.body) + decoder.end()
        if decoder.failure is not None:
            assert b"message_stop" not in out
            return
        told = heard_of(out).message
        words, calls = _streamed(exchange.body)
    assert "".join(block["text"] for block in told["content"] if block["type"] == "text") == _text(words)
    uses = [(block["name"], block["input"]) for block in told["content"] if block["type"] == "tool_use"]
    assert uses == [(one["function"]["name"], _arguments(one["function"]["arguments"])) for one in calls]
    assert told["stop_reason"] in (("tool_use", "max_tokens") if calls else ("end_turn", "max_tokens", "refusal"))


def _arguments(text: str) -> Any:
    """Those of a call that was cut off are no JSON."""
    try:
        return json.loads(text or "{}")
    except json.JSONDecodeError:
        return text


NATIVE = [one for one in exchanges("anthropic", "messages") if one.status == 200]


@pytest.mark.parametrize("exchange", NATIVE, ids=lambda one: one.name)
def test_passed_through(exchange: Exchange) -> None:
    """Anthropic's own answers reach the client event by event as they came, and their counts are read."""
    asked, to = call(stream=exchange.stream), deployment("claude", "anthropic")
    if not exchange.stream:
        native = json.loads(exchange.body)
        reply = ANTHROPIC.decode(asked, to, exchange.headers, exchange.body)
        assert json.loads(reply.body) == {**native, "model": "asked"}
        assert reply.usage is not None
        assert reply.usage.output_tokens == native["usage"]["output_tokens"]
        return
    decoder = ANTHROPIC.stream(asked, to)
    out = decoder.feed(exchange.body) + decoder.end()
    assert decoder.complete
    came, went = _events(exchange.body), _events(out)
    came[0]["message"]["model"] = "asked"
    assert went == came
    assert decoder.usage is not None
    counted = next(event["usage"] for event in reversed(came) if event["type"] == "message_delta")
    assert decoder.usage.output_tokens == counted["output_tokens"]


def _events(body: bytes) -> list[Any]:
    return [json.loads(line[5:]) for line in body.decode().splitlines() if line.startswith("data:")]


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    return content or ""


def _streamed(body: bytes) -> tuple[str, list[dict[str, Any]]]:
    """Words and calls, read from the chunks themselves."""
    words = ""
    calls: dict[Any, dict[str, Any]] = {}
    for line in body.decode().splitlines():
        if not line.startswith("data:") or line[5:].strip() == "[DONE]":
            continue
        for choice in json.loads(line[5:]).get("choices") or ():
            delta = choice.get("delta") or {}
            words += _text(delta.get("content"))
            for part in delta.get("tool_calls") or ():
                key = part.get("index", 0)
                if part.get("id") and key in calls and calls[key]["id"] != part["id"]:
                    key = (key, part["id"])
                one = calls.setdefault(key, {"id": part.get("id"), "function": {"name": "", "arguments": ""}})
                function = part.get("function") or {}
                one["function"]["name"] = one["function"]["name"] or function.get("name") or ""
                one["function"]["arguments"] += function.get("arguments") or ""
    return words, list(calls.values())


def test_what_needs_anthropic_is_dropped_where_that_was_chosen() -> None:
    """Tools that Anthropic runs are left out with `unsupported: drop`; what stands in the conversation never is."""
    for exchange in ASKED:
        request = exchange.request
        assert request is not None
        if request.get("tools") and _own(request):
            try:
                body = _asked(exchange, "drop")
            except GatewayError:
                continue
            assert all(tool["type"] == "function" for tool in body.get("tools", ()))
