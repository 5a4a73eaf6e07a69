"""The events of a streamed chat completion, one token each; several choices take turns."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from gateway.providers.scripted.openai.usage import logprobs
from gateway.providers.scripted.scenario import DONE, Asked, Json, Send, event
from gateway.providers.scripted.tokens import count, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.providers.scripted.turn import ToolCall, Turn

Delta = tuple[Json, int]
"""What changes, and how many tokens it carries."""


def chat_events(asked: Asked, turns: list[Turn], usage: Json | None) -> list[Send]:
    """Every event up to and with `[DONE]`; the usage chunk only if `stream_options.include_usage` asks for it.

    `usage-unasked` puts the usage beside the finish reason, whatever was asked, as Mistral does.
    """
    options = asked.body.get("stream_options")
    include = isinstance(options, dict) and bool(options.get("include_usage")) and usage is not None
    base: Json = {
        "id": f"chatcmpl-{asked.request.digest[:24]}",
        "object": "chat.completion.chunk",
        "created": asked.request.created,
        "model": asked.model,
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    }
    tail: Json = {"usage": None} if include else {}
    rows = [_choice(index, turn, asked) for index, turn in enumerate(turns)]
    frames = [event({**base, "choices": [choice], **tail}, tokens) for choice, tokens in interleave(rows)]
    if asked.script.usage_unasked and usage is not None:
        finish = {"index": len(turns) - 1, "delta": {}, "logprobs": None, "finish_reason": turns[-1].finish}
        frames[-1] = event({**base, "choices": [finish], "usage": usage})
    elif include:
        frames.append(event({**base, "choices": [], "usage": usage}))
    return [*frames, DONE]


def interleave(rows: list[Iterator[Delta]]) -> Iterator[Delta]:
    """One of each row in turn, until all are empty."""
    if len(rows) == 1:
        yield from rows[0]
        return
    for group in zip_longest(*rows):
        yield from (item for item in group if item is not None)


def _choice(index: int, turn: Turn, asked: Asked) -> Iterator[Delta]:
    probable = bool(asked.body.get("logprobs"))
    for delta, tokens in _deltas(turn, together=asked.script.interleave):
        chances: Any = logprobs(delta["content"]) if probable and delta.get("content") else None
        yield {"index": index, "delta": delta, "logprobs": chances, "finish_reason": None}, tokens
    yield {"index": index, "delta": {}, "logprobs": None, "finish_reason": turn.finish}, 0


def _deltas(turn: Turn, *, together: bool) -> Iterator[Delta]:
    yield {"role": "assistant", "content": None if turn.calls else "", "refusal": None}, 0
    for piece in pieces(turn.reasoning):
        yield {"reasoning_content": piece}, 1
    for piece in pieces(turn.text):
        yield {"content": piece}, 1
    rows = [_call(number, call) for number, call in enumerate(turn.calls)]
    if together and rows:
        yield from interleave(rows)
    else:
        for row in rows:
            yield from row


def _call(number: int, call: ToolCall) -> Iterator[Delta]:
    opening = {"index": number, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
    yield {"tool_calls": [opening]}, count(call.name)
    for piece in pieces(call.arguments):
        yield {"tool_calls": [{"index": number, "function": {"arguments": piece}}]}, 1
