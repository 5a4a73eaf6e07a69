"""Bedrock's Converse, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

from tests.providers.recordings.exchanges import Exchange
from tests.providers.recordings.readers import Told
from tests.support.eventstream import messages

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "guardrail_intervened": "content_filter",
}
_WORDS = {"text", "document", "toolUse", "toolResult", "reasoningContent", "cachePoint"}


class Bedrock:
    """See `Reader`."""

    dialect = "bedrock"
    recorded = (("bedrock", "converse"), ("bedrock", "converse-stream"))

    def served(self, exchange: Exchange) -> bool:
        return True

    def told(self, exchange: Exchange) -> Told:
        if not exchange.stream:
            return whole(json.loads(exchange.body))
        return streamed([(headers[":event-type"], json.loads(body)) for headers, body in messages(exchange.body)])

    def asked(self, exchange: Exchange) -> dict[str, Any] | None:
        body = exchange.request
        if body is None or not _has_words(body):
            return None
        asked: dict[str, Any] = {"messages": _conversation(body)}
        config = body.get("inferenceConfig") or {}
        for ours, name in (
            ("max_tokens", "maxTokens"),
            ("temperature", "temperature"),
            ("top_p", "topP"),
            ("stop", "stopSequences"),
        ):
            if name in config:
                asked[ours] = config[name]
        more = body.get("additionalModelRequestFields") or {}
        if "thinking" in more:
            asked["thinking"] = more["thinking"]
        if "reasoning_config" in more:
            asked["reasoning_effort"] = more["reasoning_config"]
        tools = body.get("toolConfig") or {}
        if tools:
            asked["tools"] = _tools(tools["tools"])
        named = (tools.get("toolChoice") or {}).get("tool")
        if named is not None:
            asked["tool_choice"] = {"type": "function", "function": {"name": named["name"]}}
        form = (body.get("outputConfig") or {}).get("textFormat")
        if form is not None:
            told = form["structure"]["jsonSchema"]
            schema = {**told, "schema": json.loads(told["schema"])}
            asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        return asked

    def same(self, ours: bytes, recorded: dict[str, Any]) -> None:
        sent, wanted = _plain(json.loads(ours)), _plain(recorded)
        # A tier is sent only where it is not the default.
        wanted.pop("serviceTier", None)
        assert sent == wanted


def whole(reply: dict[str, Any]) -> Told:
    """A body of Converse, or of a model of Amazon's that was invoked."""
    told = Told(usage=_usage(reply["usage"]))
    for block in reply["output"]["message"]["content"]:
        if "text" in block:
            told.text += block["text"]
        elif "citationsContent" in block:
            told.text += "".join(part["text"] for part in block["citationsContent"]["content"])
        elif "reasoningContent" in block:
            told.reasoning += block["reasoningContent"]["reasoningText"]["text"]
        elif "toolUse" in block and block["toolUse"].get("type") != "server_tool_use":
            used = block["toolUse"]
            told.calls.append((used["toolUseId"], used["name"], used["input"]))
    told.finish = _finish(reply["stopReason"], told)
    return told


def streamed(events: list[tuple[str, dict[str, Any]]]) -> Told:
    """The events of a stream, by their types."""
    told = Told()
    uses: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = {}
    for kind, fields in events:
        if kind == "contentBlockStart" and fields["start"].get("toolUse", {}).get("type") == "server_tool_use":
            continue
        if kind == "contentBlockStart" and "toolUse" in fields["start"]:
            uses[fields["contentBlockIndex"]] = fields["start"]["toolUse"]
        elif kind == "contentBlockDelta":
            delta, index = fields["delta"], fields["contentBlockIndex"]
            told.text += delta.get("text", "")
            told.reasoning += delta.get("reasoningContent", {}).get("text", "")
            if "toolUse" in delta:
                inputs[index] = inputs.get(index, "") + delta["toolUse"]["input"]
        elif kind == "messageStop":
            told.finish = fields["stopReason"]
        elif kind == "metadata":
            told.usage = _usage(fields["usage"])
    for index, used in uses.items():
        told.calls.append((used["toolUseId"], used["name"], json.loads(inputs.get(index) or "{}")))
    told.finish = _finish(told.finish or "", told)
    return told


def _finish(reason: str, told: Told) -> str:
    finish = _FINISH[reason]
    return "tool_calls" if finish == "stop" and told.calls else finish


def _usage(usage: dict[str, Any]) -> tuple[int, int, int, int, int]:
    read, written = usage.get("cacheReadInputTokens", 0), usage.get("cacheWriteInputTokens", 0)
    return usage["inputTokens"] + read + written, usage["outputTokens"], read, written, 0


# ---- requests --------------------------------------------------------------------------------------------------------


def _has_words(body: dict[str, Any]) -> bool:
    """Whether everything in it can be said to OpenAI's API: no text to be guarded, no search results, no tools of
    Amazon's own."""
    blocks = [block for message in body["messages"] for block in message["content"]]
    results = [part for block in blocks for part in block.get("toolResult", {}).get("content", ())]
    tools = (body.get("toolConfig") or {}).get("tools", ())
    return (
        all(block.keys() <= _WORDS for block in blocks)
        and not any("searchResult" in part for part in results)
        and not any("systemTool" in tool for tool in tools)
        and not any("type" in block.get("toolUse", {}) for block in blocks)
    )


def _conversation(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if body.get("system"):
        found.append({"role": "system", "content": _parts(body["system"])})
    for message in body["messages"]:
        blocks = message["content"]
        if message["role"] == "assistant":
            found.append(_assistant(blocks))
            continue
        for block in blocks:
            if "toolResult" in block:
                content = [
                    {"type": "text", "text": part["text"] if "text" in part else json.dumps(part["json"])}
                    for part in block["toolResult"]["content"]
                ]
                found.append({"role": "tool", "tool_call_id": block["toolResult"]["toolUseId"], "content": content})
        parts = _parts([block for block in blocks if "toolResult" not in block])
        if parts:
            found.append({"role": "user", "content": parts})
    return found


def _parts(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A mark for the cache is the part's before it. Two of a row cannot be said; none was recorded."""
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if "cachePoint" in block:
            parts[-1]["cache_control"] = {"type": "ephemeral"}
        elif "document" in block:
            given = block["document"]
            file = {"file_data": given["source"]["bytes"], "filename": f"{given['name']}.{given['format']}"}
            parts.append({"type": "file", "file": file})
        else:
            parts.append({"type": "text", "text": block["text"]})
    return parts


def _assistant(blocks: list[dict[str, Any]]) -> dict[str, Any]:
    thoughts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for block in blocks:
        if "reasoningContent" in block:
            told = block["reasoningContent"]["reasoningText"]
            thoughts.append({"type": "thinking", "thinking": told["text"], "signature": told["signature"]})
        elif "toolUse" in block:
            used = block["toolUse"]
            function = {"name": used["name"], "arguments": json.dumps(used["input"])}
            calls.append({"id": used["toolUseId"], "type": "function", "function": function})
    return {
        "role": "assistant",
        "content": _parts([block for block in blocks if "text" in block]),
        **({"thinking_blocks": thoughts} if thoughts else {}),
        **({"tool_calls": calls} if calls else {}),
    }


def _tools(tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for tool in tools:
        if "cachePoint" in tool:
            found[-1]["cache_control"] = {"type": "ephemeral"}
            continue
        spec = tool["toolSpec"]
        function = {"name": spec["name"], "parameters": spec["inputSchema"]["json"]}
        for name in ("description", "strict"):
            if name in spec:
                function[name] = spec[name]
        found.append({"type": "function", "function": function})
    return found


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """One spelling for what the API takes in several: defaults told or left out, results as text or as JSON."""
    body = json.loads(json.dumps(body))
    if (body.get("toolConfig") or {}).get("toolChoice") == {"auto": {}}:
        del body["toolConfig"]["toolChoice"]
    for message in body["messages"]:
        for block in message["content"]:
            result = block.get("toolResult")
            if result is not None:
                if result.get("status") == "success":
                    del result["status"]
                result["content"] = [
                    {"text": json.dumps(part["json"])} if "json" in part else part for part in result["content"]
                ]
    form = (body.get("outputConfig") or {}).get("textFormat")
    if form is not None:
        told = form["structure"]["jsonSchema"]
        told["schema"] = json.loads(told["schema"])
    return {name: value for name, value in body.items() if value not in (None, [], {})}


READER = Bedrock()
