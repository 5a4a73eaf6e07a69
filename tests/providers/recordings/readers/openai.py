"""OpenAI's chat completions, and the base of readers for those who imitate them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.providers.recordings.exchanges import Exchange
from tests.providers.recordings.readers import Told, said

FINISH = {"model_length": "length"}
ADDED = {"stream_options"}
"""What the gateway asks for beside what the client does."""


class OpenAI:
    """See `Reader`."""

    dialect = "openai"
    recorded: tuple[tuple[str, str], ...] = (("openai", "chat"),)
    names: Mapping[str, str] = {}
    """The provider's names of parameters, and OpenAI's."""
    left_out: frozenset[str] = frozenset()
    """Parameters of recorded requests that OpenAI has no words for."""

    def served(self, exchange: Exchange) -> bool:
        # What came before tools: no client of today makes such requests.
        return "functions" not in (exchange.request or {})

    def told(self, exchange: Exchange) -> Told:
        if not exchange.stream:
            return self._whole(json.loads(exchange.body))
        told, calls = Told(), _Calls()
        events, told.failed = _events(exchange.body)
        for event in events:
            usage = event.get("usage") or (event.get("x_groq") or {}).get("usage")
            told.usage = counts(usage) if usage else told.usage
            for choice in event.get("choices") or ():
                delta = choice.get("delta") or {}
                told.text += _text(delta.get("content"))
                told.reasoning += _thought(delta)
                for fragment in delta.get("tool_calls") or ():
                    calls.add(fragment)
                told.finish = choice.get("finish_reason") or told.finish
        told.calls = calls.told()
        told.finish = _finish(told.finish, called=bool(told.calls))
        told.failed = told.failed or told.finish is None
        return told

    def _whole(self, body: dict[str, Any]) -> Told:
        (choice,) = body["choices"][:1]
        message = choice["message"]
        calls = _Calls()
        for call in message.get("tool_calls") or ():
            calls.add({**call, "index": None})
        found = calls.told()
        usage = counts(body["usage"]) if body.get("usage") else None
        finish = _finish(choice["finish_reason"], called=bool(found))
        return Told(_text(message.get("content")), _thought(message), found, finish, usage)

    def asked(self, exchange: Exchange) -> dict[str, Any] | None:
        if exchange.request is None:
            return None
        return {
            self.names.get(name, name): value
            for name, value in exchange.request.items()
            if name != "model" and name not in self.left_out
        }

    def same(self, ours: bytes, recorded: dict[str, Any]) -> None:
        """Their own requests are OpenAI's: nothing is changed but the model's name, and usage is asked for."""
        given = json.loads(ours)
        for name in ADDED - recorded.keys():
            given.pop(name, None)
        wanted = {name: value for name, value in recorded.items() if name not in self.left_out}
        if "stream_options" in recorded and "stream_options" in given:
            wanted["stream_options"] = {**recorded["stream_options"], "include_usage": True}
        elif "stream_options" in recorded:
            del wanted["stream_options"]
        assert {**given, "model": None} == {**self.taken(wanted), "model": None}

    def taken(self, recorded: dict[str, Any]) -> dict[str, Any]:
        """The recorded request with what is documented as another way to say it."""
        return recorded


def counts(usage: dict[str, Any]) -> tuple[int, int, int, int, int]:
    """Input, output, cached, written, reasoning: written down independently of the code under test."""
    given, made = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    before = usage.get("prompt_tokens_details") or {}
    after = usage.get("completion_tokens_details") or {}
    thought = after.get("reasoning_tokens")
    thought = (usage.get("reasoning_tokens") if thought is None else thought) or 0
    total = usage.get("total_tokens")
    if thought and (total == given + made + thought or thought > made):
        made += thought
    cached = before.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or usage.get("cached_tokens") or 0
    written = before.get("cache_write_tokens") or usage.get("cache_creation_input_tokens") or 0
    return given, made, cached, written, thought


class _Calls:
    """Calls put together from fragments: one that has an id and a name begins, all else goes on."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []

    def add(self, fragment: dict[str, Any]) -> None:
        function = fragment["function"]
        name, arguments = function.get("name"), function.get("arguments") or ""
        known = next((one for one in self.begun if fragment.get("id") and one["id"] == fragment["id"]), None)
        if known is None and name:
            known = {"id": fragment.get("id"), "index": fragment.get("index"), "name": name, "arguments": ""}
            self.begun.append(known)
        elif known is None:
            known = [one for one in self.begun if one["index"] == fragment.get("index")][-1]
        known["arguments"] += arguments

    def told(self) -> list[tuple[str | None, str, Any]]:
        return [(one["id"], one["name"], said(one["arguments"])) for one in self.begun]


def _events(body: bytes) -> tuple[list[dict[str, Any]], bool]:
    """The events up to the end or an error, and whether it is one."""
    found: list[dict[str, Any]] = []
    for line in body.decode().splitlines():
        if not line.startswith("data:") or "{" not in line:
            continue
        event = json.loads(line[5:])
        if event.get("error"):
            return found, True
        found.append(event)
    return found, not found


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def _thought(said: dict[str, Any]) -> str:
    parts = said["content"] if isinstance(said.get("content"), list) else []
    inner = [one["text"] for part in parts if part["type"] == "thinking" for one in part["thinking"]]
    return said.get("reasoning_content") or said.get("reasoning") or "".join(inner)


def _finish(reason: str | None, *, called: bool) -> str | None:
    reason = FINISH.get(reason or "", reason)
    return "tool_calls" if called and reason == "stop" else reason


READER = OpenAI()
