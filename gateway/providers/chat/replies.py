"""A whole chat answer in neutral words, and its one encoder to OpenAI's `chat.completion`."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from gateway.types import Call, Usage


class Called(msgspec.Struct):
    """A tool call. `arguments` is JSON text; empty is `{}`."""

    id: str
    name: str
    arguments: str = ""
    extra: Any = None
    """What the provider wants back with the call; reaches the client as `extra_content`."""


class Picture(msgspec.Struct):
    """One that the model made."""

    url: str
    """A data URI."""
    extra: Any = None
    """What the provider wants back with it; reaches the client as `extra_content`."""

    def entry(self, index: int) -> dict[str, Any]:
        """As an entry of `images`, a word of OpenRouter's that clients know; OpenAI's chat has none."""
        told = {"type": "image_url", "image_url": {"url": self.url}, "index": index}
        return told if self.extra is None else {**told, "extra_content": self.extra}


class Choice(msgspec.Struct):
    """One answer. `finish` is OpenAI's word: stop, length, tool_calls or content_filter."""

    finish: str
    text: str = ""
    calls: list[Called] = []
    reasoning: str = ""
    reasoning_blocks: list[dict[str, Any]] = []
    refusal: str | None = None
    annotations: list[dict[str, Any]] = []
    logprobs: Any = None
    pictures: list[Picture] = []


class ChatReply(msgspec.Struct):
    """The whole answer; `id` is the provider's own."""

    choices: list[Choice]
    usage: Usage | None = None
    id: str = ""


def encode_reply(reply: ChatReply, call: Call) -> bytes:
    """As `/chat/completions` answers, under the model's name that the client used."""
    body: dict[str, Any] = {
        "id": reply.id or f"chatcmpl-{call.id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.model,
        "choices": [_choice(index, choice, call) for index, choice in enumerate(reply.choices)],
    }
    if reply.usage is not None:
        body["usage"] = usage_object(reply.usage)
    return msgspec.json.encode(body)


def usage_object(usage: Usage) -> dict[str, Any]:
    """As chat reports it."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": usage.audio_input_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": usage.audio_output_tokens,
        },
    }


def finish_of(reason: str, *, calls: bool) -> str:
    """The finish reason that fits what was said: providers tell `stop` after calls, or calls where none was made."""
    if calls:
        return "tool_calls" if reason == "stop" else reason
    return "stop" if reason == "tool_calls" else reason


def _choice(index: int, choice: Choice, call: Call) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.text or (None if choice.calls or choice.refusal else ""),
        "refusal": choice.refusal,
    }
    if choice.reasoning:
        message["reasoning_content"] = choice.reasoning
    if choice.reasoning_blocks:
        message["thinking_blocks"] = choice.reasoning_blocks
    if choice.annotations:
        message["annotations"] = choice.annotations
    if choice.pictures:
        message["images"] = [picture.entry(number) for number, picture in enumerate(choice.pictures)]
    if choice.calls:
        message["tool_calls"] = [_called(call, index, number, one) for number, one in enumerate(choice.calls)]
    finish = finish_of(choice.finish, calls=bool(choice.calls))
    return {"index": index, "message": message, "logprobs": choice.logprobs, "finish_reason": finish}


def _called(call: Call, index: int, number: int, called: Called) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": called.id or f"call_{call.id}_{index}_{number}",
        "type": "function",
        "function": {"name": called.name, "arguments": called.arguments or "{}"},
    }
    if called.extra is not None:
        entry["extra_content"] = called.extra
    return entry
