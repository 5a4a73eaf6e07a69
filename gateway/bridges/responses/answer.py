"""A response as OpenAI's API shows it, around what was said: the request's own fields repeated, items, counts."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from gateway.bridges.responses.provider_state import UNSIGNED, ProviderState, packed
from gateway.types import Call, Usage

Json = dict[str, Any]

BYTES_PER_TOKEN = 4
_NULL = msgspec.Raw(b"null")
_NONE = msgspec.Raw(b"[]")
_SHORT = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Finish reasons of answers that are not whole, and what a response calls them."""


class _Echo(msgspec.Struct, gc=False):
    """Fields of a request that its response repeats, as they came."""

    instructions: msgspec.Raw = _NULL
    max_output_tokens: msgspec.Raw = _NULL
    metadata: msgspec.Raw = msgspec.Raw(b"{}")
    parallel_tool_calls: msgspec.Raw = msgspec.Raw(b"true")
    prompt_cache_key: msgspec.Raw = _NULL
    reasoning: msgspec.Raw = msgspec.Raw(b'{"effort":null,"summary":null}')
    safety_identifier: msgspec.Raw = _NULL
    temperature: msgspec.Raw = _NULL
    text: msgspec.Raw = msgspec.Raw(b'{"format":{"type":"text"}}')
    tool_choice: msgspec.Raw = msgspec.Raw(b'"auto"')
    tools: msgspec.Raw = _NONE
    top_logprobs: msgspec.Raw = msgspec.Raw(b"0")
    top_p: msgspec.Raw = _NULL
    user: msgspec.Raw = _NULL


_ECHO = msgspec.json.Decoder(_Echo)
_DEFAULTS = _Echo()


class Response:
    """The answer to one call. What is not known before its end is handed to `body`."""

    __slots__ = ("_call", "_fixed", "id")

    def __init__(self, call: Call) -> None:
        self.id = f"resp_{call.id}"
        self._call = call
        echo = _ECHO.decode(call.raw)
        self._fixed: Json = {
            "id": self.id,
            "object": "response",
            "created_at": int(time.time()),
            "model": call.model,
            "background": False,
            "error": None,
            "max_tool_calls": None,
            "previous_response_id": None,
            "service_tier": None,
            "store": False,
            "truncation": "disabled",
        }
        for name in _Echo.__struct_fields__:
            value: msgspec.Raw = getattr(echo, name)
            self._fixed[name] = getattr(_DEFAULTS, name) if bytes(value) == b"null" else value

    def begun(self) -> bytes:
        """Before anything was said."""
        begun = {**self._fixed, "status": "in_progress", "incomplete_details": None, "output": [], "usage": None}
        return _on_one_line(begun)

    def over(self, output: list[Json], finish: str | None, usage: Json, tier: str | None) -> bytes:
        """With everything that was said, and why it ended."""
        reason = _SHORT.get(finish or "")
        over = {
            **self._fixed,
            "status": "incomplete" if reason else "completed",
            "incomplete_details": {"reason": reason} if reason else None,
            "output": output,
            "usage": usage,
            "service_tier": tier,
        }
        if not reason:
            over["completed_at"] = int(time.time())
        return _on_one_line(over)


def _on_one_line(fields: Json) -> bytes:
    """What the client wrote in several lines would end an event. Line ends stand between values only: inside strings,
    JSON escapes them."""
    body = msgspec.json.encode(fields)
    return body.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in body or b"\r" in body else body


def is_short(finish: str | None) -> bool:
    """Whether an answer that ended so is not whole."""
    return finish in _SHORT


def usage_object(usage: Usage) -> Json:
    """As a response reports it."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total,
    }


def estimated(call: Call, output_bytes: int) -> Usage:
    """For a provider that tells nothing: clients are owed numbers, and unknown is not zero."""
    return Usage(call.input_tokens, max(1, output_bytes // BYTES_PER_TOKEN) if output_bytes else 0)


# -- items


def reasoning_item(id_: str, thought: str, provider_state: ProviderState) -> Json:
    """What the model thought, and what its provider wants back."""
    item: Json = {"id": id_, "type": "reasoning", "summary": [summary_part(thought)] if thought else []}
    kept = packed(provider_state) or (UNSIGNED if thought else None)
    if kept is not None:
        item["encrypted_content"] = kept
    return item


def summary_part(text: str) -> Json:
    return {"type": "summary_text", "text": text}


def message_item(id_: str, content: list[Json], status: str) -> Json:
    """What the model said."""
    return {"id": id_, "type": "message", "status": status, "role": "assistant", "content": content}


def text_part(text: str, annotations: list[Json], logprobs: list[Json]) -> Json:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs}


def refusal_part(text: str) -> Json:
    return {"type": "refusal", "refusal": text}


def call_item(id_: str, call_id: str, name: str, arguments: str, status: str) -> Json:
    """A function that the model calls."""
    return {
        "id": id_,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def custom_item(id_: str, call_id: str, name: str, given: str, status: str) -> Json:
    """A custom tool that the model calls."""
    return {"id": id_, "type": "custom_tool_call", "status": status, "call_id": call_id, "name": name, "input": given}


def picture_item(id_: str, kind: str, data: str | None, status: str) -> Json:
    """A picture that the model made; `data` is base64, None while it is at work."""
    form = kind.removeprefix("image/")
    return {"id": id_, "type": "image_generation_call", "status": status, "result": data, "output_format": form}


def annotation(chats: Json) -> Json:
    """A source of what was said: chat nests what a response does not."""
    inner = chats.get(str(chats.get("type")))
    return {"type": chats.get("type"), **inner} if isinstance(inner, dict) else chats
