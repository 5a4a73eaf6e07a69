"""Mistral: it refuses what it does not know, has ids of nine letters and digits, thinks in parts of the content."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from gateway.ports import RequestHead
from tests.providers.contract.said import Heard, Said

from .openai import OpenAI, envelope, frame_of, usage_of

_KNOWN = frozenset(
    [
        "frequency_penalty",
        "guardrails",
        "max_tokens",
        "messages",
        "metadata",
        "min_tokens",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_mode",
        "random_seed",
        "reasoning_effort",
        "repetition_penalty",
        "response_format",
        "safe_prompt",
        "service_tier",
        "stop",
        "stream",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
        "logprobs",
        "top_logprobs",
    ]
)
_MEMBERS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "prefix"},
    "tool": {"role", "content", "tool_call_id", "name"},
}
_ID = re.compile(r"[a-zA-Z0-9]{9}")
_GIVEN = ("call_aaaa1", "call_bbbb2")
"""The ids of the cases, in order: their short forms are told apart, not foreseen."""


class Mistral(OpenAI):
    """See `Native`."""

    silent = frozenset({"refused", "cache_written", "counted_reasoning"})

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        fields = json.loads(body)
        assert fields.keys() <= _KNOWN, "extra inputs are not permitted"
        assert None not in fields.values()
        ids: list[str] = []
        for message in fields["messages"]:
            assert message.keys() <= _MEMBERS[message["role"]]
            for call in message.get("tool_calls") or ():
                ids.append(call["id"])
                call["id"] = _GIVEN[len(ids) - 1]
            if message["role"] == "tool":
                message["tool_call_id"] = _GIVEN[ids.index(message["tool_call_id"])]
        assert all(_ID.fullmatch(one) for one in ids)
        if "random_seed" in fields:
            fields["seed"] = fields.pop("random_seed")
        return super().heard(head, json.dumps(fields).encode())

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        content: Any = said.text
        if said.reasoning:
            content = [_thinking(said.reasoning), {"type": "text", "text": said.text}]
        calls = [_call(call) for call in _calls(said)] or None
        message = {"role": "assistant", "content": content, "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": _finish(said)}
        body = {**envelope("chat.completion"), "choices": [choice], "usage": _usage(said)}
        return b"application/json", json.dumps(body).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if said.reasoning:
            deltas += [{"content": [_thinking(said.reasoning[:3])]}, {"content": [_thinking(said.reasoning[3:])]}]
        middle = len(said.text) // 2
        deltas += [{"content": piece} for piece in (said.text[:middle], said.text[middle:]) if piece]
        if said.calls:
            deltas.append({"tool_calls": [_call(call) for call in _calls(said)]})
        base = envelope("chat.completion.chunk")
        choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices[-1]["finish_reason"] = _finish(said)
        frames = [{**base, "choices": [choice]} for choice in choices]
        frames[-1]["usage"] = _usage(said)
        return b"text/event-stream", [*(frame_of(frame) for frame in frames), b"data: [DONE]\n\n"]

    def refusal(self, status: int, message: str) -> bytes:
        return json.dumps({"object": "error", "message": message, "type": "x", "param": None, "code": "1"}).encode()

    def broken(self) -> bytes:
        return frame_of({"object": "error", "message": "busy", "type": "service_unavailable", "code": "3505"})


def _calls(said: Said) -> list[dict[str, Any]]:
    return [{"id": call.id, "name": call.name, "arguments": json.dumps(call.arguments)} for call in said.calls]


def _call(call: dict[str, Any]) -> dict[str, Any]:
    return {"id": call["id"], "function": {"name": call["name"], "arguments": call["arguments"]}}


def _thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}]}


def _finish(said: Said) -> str:
    return {"stop": "stop", "length": "model_length", "calls": "tool_calls"}[said.finish]


def _usage(said: Said) -> Mapping[str, Any]:
    usage = usage_of(said)
    del usage["completion_tokens_details"], usage["prompt_tokens_details"]["cache_write_tokens"]
    return usage


NATIVE = Mistral()
