"""Cohere's API, version 2."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.ports import RequestHead
from tests.providers.contract.said import Call, Heard, Said, Turn

_FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "calls": "TOOL_CALL"}


class _OneOfOne(str):
    """A call that is required where one tool is offered: that is the only way to name it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return other == "required" or str(self) == str(other)

    __hash__ = str.__hash__


class Cohere:
    """See `Native`."""

    options: Mapping[str, Any] = {}
    base_url = "https://provider.invalid/v2"
    model = "command-a-reasoning-08-2025"
    refuses: Mapping[str, str] = {"n_two": "n", "no_parallel": "parallel_tool_calls"}
    silent: frozenset[str] = frozenset({"refused", "cache_written", "counted_reasoning"})

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        assert head.target == b"/v2/chat"
        assert dict(head.headers)[b"authorization"] == b"Bearer secret"
        fields = json.loads(body)
        heard = Heard(model=fields["model"], stream=fields.get("stream", False), limit=fields.get("max_tokens"))
        for message in fields["messages"]:
            if message["role"] == "system":
                heard.system += message["content"]
            else:
                heard.add(_turn(message))
        for tool in fields.get("tools") or ():
            assert tool["type"] == "function"
            function = tool["function"]
            assert isinstance(function["parameters"], dict), "parameters are required"
            heard.tools[function["name"]] = (function.get("description", ""), function["parameters"])
        heard.choice = {None: "auto", "NONE": "none", "REQUIRED": "required"}[fields.get("tool_choice")]
        if heard.choice == "required" and len(heard.tools) == 1:
            heard.choice = _OneOfOne(f"={next(iter(heard.tools))}")
        form = fields.get("response_format") or {}
        heard.json_mode, heard.schema = form.get("type") == "json_object", form.get("json_schema")
        heard.stop = tuple(fields.get("stop_sequences") or ())
        heard.temperature, heard.top_p, heard.seed = fields.get("temperature"), fields.get("p"), fields.get("seed")
        heard.thinks = (fields.get("thinking") or {}).get("type") == "enabled"
        return heard

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        message: dict[str, Any] = {"role": "assistant"}
        if blocks := list(_blocks(said)):
            message["content"] = blocks
        if said.calls:
            message["tool_calls"] = [_call(call, json.dumps(call.arguments)) for call in said.calls]
        reply = {"id": "n", "message": message, "finish_reason": _FINISH[said.finish], "usage": _usage(said)}
        return b"application/json", json.dumps(reply, ensure_ascii=False).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        opening = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        frames = [_frame("message-start", id="n", delta={"message": opening})]
        for index, block in enumerate(_blocks(said)):
            kind = block["type"]
            frames.append(_said("content-start", index, content={"type": kind, kind: ""}))
            frames += [_said("content-delta", index, content={kind: piece}) for piece in _halves(block[kind])]
            frames.append(_frame("content-end", index=index))
        for index, call in enumerate(said.calls):
            frames.append(_said("tool-call-start", index, tool_calls=_call(call, "")))
            text = json.dumps(call.arguments, ensure_ascii=False) if call.arguments else ""
            frames += [
                _said("tool-call-delta", index, tool_calls={"function": {"arguments": piece}})
                for piece in _halves(text)
            ]
            frames.append(_frame("tool-call-end", index=index))
        closing = {"finish_reason": _FINISH[said.finish], "usage": _usage(said)}
        return b"text/event-stream", [*frames, _frame("message-end", delta=closing), b"data: [DONE]\n\n"]

    def refusal(self, status: int, message: str) -> bytes:
        return json.dumps({"id": "e", "message": message}).encode()

    def broken(self) -> bytes:
        closing = {"finish_reason": "ERROR", "usage": {}, "error": "The model is overloaded."}
        return _frame("message-end", delta=closing)


def _turn(message: dict[str, Any]) -> Turn:
    if message["role"] == "tool":
        return Turn("user", results=[(message["tool_call_id"], message["content"])])
    turn = Turn(message["role"])
    content: Any = message.get("content", [])
    parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        if part["type"] == "text":
            turn.text += part["text"]
        elif part["type"] == "image_url":
            kind, data = part["image_url"]["url"].removeprefix("data:").split(";base64,")
            turn.images.append((kind, base64.b64decode(data)))
        else:
            assert part["type"] == "thinking"
            turn.reasoning.append(part)
    for call in message.get("tool_calls") or ():
        function = call["function"]
        turn.calls.append(Call(call["id"], function["name"], json.loads(function["arguments"])))
    return turn


def _blocks(said: Said) -> Iterator[dict[str, str]]:
    if said.reasoning:
        yield {"type": "thinking", "thinking": said.reasoning}
    if said.text:
        yield {"type": "text", "text": said.text}


def _call(call: Call, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _usage(said: Said) -> dict[str, Any]:
    """With a preamble of 500 tokens that is counted, cached and not billed."""
    counts = said.counts
    return {
        "billed_units": {"input_tokens": float(counts.input), "output_tokens": float(counts.output)},
        "tokens": {"input_tokens": 500.0 + counts.input, "output_tokens": 9.0 + counts.output},
        "cached_tokens": 500.0 + counts.cached,
    }


def _halves(text: str) -> list[str]:
    middle = (len(text) + 1) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


def _said(kind: str, index: int, **message: Any) -> bytes:
    return _frame(kind, index=index, delta={"message": message})


def _frame(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, ensure_ascii=False)}\n\n".encode()


NATIVE = Cohere()
