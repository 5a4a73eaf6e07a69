"""Cohere's `/v2/chat`."""

from __future__ import annotations

import json
from typing import Any

from tests.providers.recordings.exchanges import Exchange
from tests.providers.recordings.readers import Told

_FINISH = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}


class Cohere:
    """See `Reader`."""

    dialect = "cohere"
    recorded: tuple[tuple[str, str], ...] = (("cohere", "chat"),)

    def served(self, exchange: Exchange) -> bool:
        return True

    def told(self, exchange: Exchange) -> Told:
        return _streamed(exchange.body) if exchange.stream else _whole(json.loads(exchange.body))

    def asked(self, exchange: Exchange) -> dict[str, Any] | None:
        body = exchange.request
        if body is None:
            return None
        asked: dict[str, Any] = {"messages": [_message(message) for message in body["messages"]]}
        for ours, name in _SAME.items():
            if name in body:
                asked[ours] = body[name]
        if "tool_choice" in body:
            asked["tool_choice"] = body["tool_choice"].lower()
        if "tools" in body:
            strict = {"strict": True} if body.get("strict_tools") else {}
            tools = [{**tool, "function": {**tool["function"], **strict}} for tool in body["tools"]]
            asked["tools"] = tools
        if "json_schema" in body.get("response_format", {}):
            schema = {"name": "x", "schema": body["response_format"]["json_schema"]}
            asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        return asked

    def same(self, ours: bytes, recorded: dict[str, Any]) -> None:
        assert _plain(json.loads(ours)) == _plain(recorded)


_SAME = {
    name: name for name in ("max_tokens", "temperature", "seed", "logprobs", "response_format", "documents", "stream")
}
_SAME |= {"stop": "stop_sequences", "top_p": "p", "top_k": "k"}


def _whole(body: dict[str, Any]) -> Told:
    message, told = body["message"], Told(finish=_FINISH[body["finish_reason"]], usage=_usage(body["usage"]))
    for block in message.get("content") or ():
        told.text += block.get("text", "")
        told.reasoning += block.get("thinking", "")
    told.reasoning += message.get("tool_plan", "")
    for call in message.get("tool_calls") or ():
        # Some models write `null` for no arguments: clients read an object, as everywhere.
        arguments = json.loads(call["function"]["arguments"]) or {}
        told.calls.append((call["id"], call["function"]["name"], arguments))
    return told


def _streamed(body: bytes) -> Told:
    told = Told()
    calls: dict[int, list[str]] = {}
    for line in body.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        event = json.loads(line[6:])
        delta = event.get("delta", {})
        message = delta.get("message", {})
        if event["type"] in ("content-start", "content-delta"):
            told.text += message["content"].get("text", "")
            told.reasoning += message["content"].get("thinking", "")
        elif event["type"] == "tool-plan-delta":
            told.reasoning += message["tool_plan"]
        elif event["type"] == "tool-call-start":
            call = message["tool_calls"]
            calls[event["index"]] = [call["id"], call["function"]["name"], call["function"]["arguments"]]
        elif event["type"] == "tool-call-delta":
            calls[event["index"]][2] += message["tool_calls"]["function"]["arguments"]
        elif event["type"] == "message-end":
            told.failed = delta["finish_reason"] == "ERROR"
            told.finish = _FINISH.get(delta["finish_reason"])
            told.usage = _usage(delta["usage"])
    told.calls = [(id_, name, json.loads(text)) for id_, name, text in calls.values()]
    return told


def _usage(usage: dict[str, Any]) -> tuple[int, int, int, int, int] | None:
    """What is billed: what is counted beyond it is the model's own preamble, which is the first to be cached."""
    if not usage:
        return None
    billed, counted = usage["billed_units"], usage["tokens"]
    preamble = counted["input_tokens"] - billed["input_tokens"]
    return (billed["input_tokens"], billed["output_tokens"], max(0, usage.get("cached_tokens", 0) - preamble), 0, 0)


def _message(message: dict[str, Any]) -> dict[str, Any]:
    given = dict(message)
    if "tool_plan" in given:
        given["reasoning_content"] = given.pop("tool_plan")
    return given


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """One spelling for what the API takes in several: parts or text, what is left out or told as absent."""
    plain = {name: value for name, value in body.items() if value is not None and value is not False}
    if "tool_choice" in plain:
        plain["tool_choice"] = plain["tool_choice"].upper()
    plain["messages"] = [_said(message) for message in body["messages"]]
    return plain


def _said(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, list) and all(part["type"] == "text" for part in content):
        content = "".join(part["text"] for part in content)
    return {**{name: value for name, value in message.items() if name != "content"}, "content": content or ""}


READER = Cohere()
