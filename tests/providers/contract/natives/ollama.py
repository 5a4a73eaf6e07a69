"""Ollama: it ignores what it does not know, takes parts one by one, and once numbered every call 0."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.ports import RequestHead
from tests.providers.contract.said import Heard, Said

from .openai import OpenAI, call_of, envelope, frame_of, usage_of

_IGNORED = frozenset({"n", "tool_choice", "logit_bias", "parallel_tool_calls", "max_completion_tokens"})


class Ollama(OpenAI):
    """See `Native`."""

    refuses: Mapping[str, str] = {
        "n_two": "n",
        "no_parallel": "parallel_tool_calls",
        "tool_choice_required": "tool_choice",
        "tool_choice_named": "tool_choice",
    }
    silent = frozenset({"refused", "cached", "cache_written", "counted_reasoning"})

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        fields = json.loads(body)
        assert {name: value for name, value in fields.items() if name in _IGNORED and value not in ("auto", 1)} == {}
        for message in fields["messages"]:
            content = message.get("content")
            assert message["role"] in ("system", "user", "assistant", "tool")
            # A list is taken apart into messages: right for pictures, wrong for anything else.
            assert not isinstance(content, list) or any(part["type"] == "image_url" for part in content)
        heard = super().heard(head, body)
        heard.choice = "auto" if heard.tools else "none"
        return heard

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        content_type, body = super().reply(said)
        return content_type, body.replace(b'"reasoning_content"', b'"reasoning"')

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        pieces = [(name, piece) for name in ("reasoning", "text") for piece in getattr(said, name).split(" ") if piece]
        deltas: list[dict[str, Any]] = []
        for at, (name, piece) in enumerate(pieces):
            told = piece + " " * (at + 1 < len(pieces) and pieces[at + 1][0] == name)
            deltas.append({"role": "assistant", "content": "", **({"content": told} if name == "text" else {})})
            if name == "reasoning":
                deltas[-1]["reasoning"] = told
        blank = {"role": "assistant", "content": ""}
        deltas += [{**blank, "tool_calls": [{"index": 0, **call_of(call)}]} for call in said.calls]
        finish = {"stop": "stop", "length": "length", "calls": "stop"}[said.finish]
        base = envelope("chat.completion.chunk")
        choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        choices.append({"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": finish})
        frames = [{**base, "choices": [choice]} for choice in choices]
        frames.append({**base, "choices": [], "usage": usage_of(said)})
        return b"text/event-stream", [*(frame_of(frame) for frame in frames), b"data: [DONE]\n\n"]

    def refusal(self, status: int, message: str) -> bytes:
        return json.dumps({"error": message}).encode()


NATIVE = Ollama()
