"""Anthropic's answers, and those of Claude on Vertex (the same bodies)."""

from __future__ import annotations

import json
from typing import Any

from tests.providers.recordings.exchanges import Exchange
from tests.providers.recordings.readers import Told

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "content_filter",
}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class Anthropic:
    """See `Reader`."""

    dialect = "anthropic"
    recorded = (("anthropic", "messages"), ("vertex", "rawPredict"))

    def served(self, exchange: Exchange) -> bool:
        return exchange.provider == "anthropic" or "/publishers/anthropic/" in exchange.path

    def told(self, exchange: Exchange) -> Told:
        return _streamed(exchange.body) if exchange.stream else _whole(json.loads(exchange.body))

    def asked(self, exchange: Exchange) -> dict[str, Any] | None:
        body = exchange.request
        if body is None or not _has_words(body):
            return None
        asked: dict[str, Any] = {"messages": _system(body) + _messages(body), "max_tokens": body["max_tokens"]}
        for name in ("temperature", "thinking"):
            if name in body:
                asked[name] = body[name]
        if body.get("stop_sequences"):
            asked["stop"] = body["stop_sequences"]
        if body.get("metadata"):
            asked["user"] = body["metadata"]["user_id"]
        if body.get("tools"):
            asked["tools"] = [_tool(tool) for tool in body["tools"]]
        choice = body.get("tool_choice")
        if choice is not None:
            named = {"type": "function", "function": {"name": choice.get("name")}}
            asked["tool_choice"] = named if choice["type"] == "tool" else _CHOICES[choice["type"]]
        form = (body.get("output_config") or {}).get("format")
        if form is not None:
            schema = {"name": "x", "schema": form["schema"]}
            asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        return asked

    def same(self, ours: bytes, recorded: dict[str, Any]) -> None:
        sent, wanted = _plain(json.loads(ours)), _plain(recorded)
        # Vertex has the version in the body and the model in the path; a tier is a hint.
        for name in ("anthropic_version", "service_tier", "model", "stream"):
            sent.pop(name, None)
            wanted.pop(name, None)
        assert sent == wanted


def _whole(reply: dict[str, Any]) -> Told:
    if reply["type"] == "error":
        return Told(failed=True)
    told = Told(finish=_finish(reply["stop_reason"], reply["content"]), usage=_usage(reply["usage"]))
    for block in reply["content"]:
        _add(told, block, block.get("input"))
    return told


def _streamed(body: bytes) -> Told:
    told = Told(failed=True)
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = {}
    usage: dict[str, Any] = {}
    for line in body.decode().splitlines():
        if not line.startswith("data:"):
            continue
        event = json.loads(line[5:])
        if event["type"] == "error":
            return Told(failed=True)
        if event["type"] == "message_start":
            usage.update(event["message"]["usage"])
        elif event["type"] == "content_block_start":
            blocks[event["index"]] = dict(event["content_block"])
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            for name in ("text", "thinking"):
                if name in delta:
                    blocks[event["index"]][name] += delta[name]
            inputs[event["index"]] = inputs.get(event["index"], "") + delta.get("partial_json", "")
        elif event["type"] == "message_delta":
            usage.update({name: value for name, value in event["usage"].items() if value is not None})
            told.finish = _finish(event["delta"]["stop_reason"], list(blocks.values()))
        elif event["type"] == "message_stop":
            told.failed = False
    for index, block in sorted(blocks.items()):
        _add(told, block, json.loads(inputs.get(index) or "{}"))
    told.usage = _usage(usage)
    return told


def _add(told: Told, block: dict[str, Any], arguments: Any) -> None:
    if block["type"] == "text":
        told.text += block["text"]
    elif block["type"] == "thinking":
        told.reasoning += block["thinking"]
    elif block["type"] == "tool_use":
        told.calls.append((block["id"], block["name"], arguments))


def _finish(reason: str, blocks: list[dict[str, Any]]) -> str:
    """Where the model made calls and then ended its turn, clients must hear of the calls."""
    calls = any(block["type"] == "tool_use" for block in blocks)
    return "tool_calls" if calls and _FINISH[reason] == "stop" else _FINISH[reason]


def _usage(usage: dict[str, Any]) -> tuple[int, int, int, int, int]:
    read, written = usage.get("cache_read_input_tokens") or 0, usage.get("cache_creation_input_tokens") or 0
    thought = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return usage["input_tokens"] + read + written, usage["output_tokens"], read, written, thought


# ---- requests --------------------------------------------------------------------------------------------------------


def _has_words(body: dict[str, Any]) -> bool:
    """Whether everything in it can be said to OpenAI's API."""
    known = {"text", "image", "tool_use", "tool_result", "thinking", "redacted_thinking"}
    blocks = [block for message in body["messages"] for block in _list(message["content"])]
    tools = body.get("tools") or ()
    return (
        all(block["type"] in known for block in blocks)
        and all(tool.get("type", "custom") == "custom" and not tool.get("defer_loading") for tool in tools)
        and "container" not in body
        # Effort and thinking are one in OpenAI's words: we ask for both.
        and "effort" not in (body.get("output_config") or {})
        and body["max_tokens"] > 0
    )


def _list(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _mark(block: dict[str, Any]) -> dict[str, Any]:
    return {"cache_control": block["cache_control"]} if block.get("cache_control") else {}


def _system(body: dict[str, Any]) -> list[dict[str, Any]]:
    system = body.get("system")
    return [{"role": "system", "content": [_part(block) for block in _list(system)]}] if system else []


def _part(block: dict[str, Any]) -> dict[str, Any]:
    if block["type"] == "text":
        return {"type": "text", "text": block["text"], **_mark(block)}
    source = block["source"]
    url = source.get("url") or f"data:{source['media_type']};base64,{source['data']}"
    return {"type": "image_url", "image_url": {"url": url}, **_mark(block)}


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for message in body["messages"]:
        blocks = _list(message["content"])
        if message["role"] == "assistant":
            found.append(_assistant(blocks))
            continue
        for block in blocks:
            if block["type"] == "tool_result":
                content = [_part(part) for part in _list(block.get("content") or "")]
                found.append({"role": "tool", "tool_call_id": block["tool_use_id"], "content": content, **_mark(block)})
        parts = [_part(block) for block in blocks if block["type"] != "tool_result"]
        if parts:
            found.append({"role": "user", "content": parts})
    return found


def _assistant(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    calls = [
        {"id": b["id"], "type": "function", "function": {"name": b["name"], "arguments": json.dumps(b["input"])}}
        for b in blocks
        if b["type"] == "tool_use"
    ]
    thoughts = [block for block in blocks if "thinking" in block["type"]]
    message: dict[str, Any] = {"role": "assistant", "content": [_part(b) for b in blocks if b["type"] == "text"]}
    return {
        **message,
        **({"tool_calls": calls} if calls else {}),
        **({"thinking_blocks": thoughts} if thoughts else {}),
    }


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = {"name": tool["name"], "parameters": tool["input_schema"]}
    for name in ("description", "strict"):
        if name in tool:
            function[name] = tool[name]
    return {"type": "function", "function": function, **_mark(tool)}


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """One spelling for what the API takes in two: text as a string or as blocks, defaults told or left out."""
    body = json.loads(json.dumps(body))
    if body.get("system"):
        body["system"] = _joined(_list(body["system"]))
    for message in body["messages"]:
        message["content"] = [_plain_block(block) for block in _list(message["content"])]
    if body.get("tool_choice", {}).get("disable_parallel_tool_use") is False:
        del body["tool_choice"]["disable_parallel_tool_use"]
    if body.get("tool_choice") == {"type": "auto"}:
        del body["tool_choice"]
    for tool in body.get("tools") or ():
        tool.pop("type", None)
        tool.pop("eager_input_streaming", None)
        if tool.get("description") == "" or tool.get("strict") is False:
            tool.pop("description" if tool.get("description") == "" else "strict")
    return {name: value for name, value in body.items() if value not in (None, [], "")}


def _joined(blocks: list[dict[str, Any]]) -> Any:
    marked = any("cache_control" in block for block in blocks)
    return blocks if marked else "\n\n".join(block["text"] for block in blocks)


def _plain_block(block: dict[str, Any]) -> dict[str, Any]:
    block = dict(block)
    if block["type"] == "tool_result":
        block["content"] = _list(block.get("content") or [])
        if not block.get("is_error"):
            block.pop("is_error", None)
    block.pop("caller", None)
    if block.get("citations") is None:
        block.pop("citations", None)
    return block


READER = Anthropic()
