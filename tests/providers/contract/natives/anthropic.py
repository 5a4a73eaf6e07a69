"""Anthropic's Messages API."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.ports import RequestHead
from tests.providers.contract.said import Call, Heard, Said, Turn

_STOP = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use", "refused": "refusal"}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Anthropic:
    """See `Native`."""

    options: Mapping[str, Any] = {}
    base_url = "https://provider.invalid/v1"
    model = "claude-sonnet-4-6"
    refuses: Mapping[str, str] = {"n_two": "n", "seed": "seed"}
    silent: frozenset[str] = frozenset()

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        assert head.target == b"/v1/messages"
        headers = dict(head.headers)
        assert headers[b"x-api-key"] == b"secret"
        assert headers[b"anthropic-version"] == b"2023-06-01"
        fields = json.loads(body)
        assert isinstance(fields["max_tokens"], int)
        assert fields["max_tokens"] > 0
        heard = Heard(model=fields["model"], stream=fields.get("stream", False), limit=fields["max_tokens"])
        system = fields.get("system", "")
        heard.system = system if isinstance(system, str) else "".join(block["text"] for block in system)
        for before, message in zip([None, *fields["messages"]], fields["messages"], strict=False):
            assert message["role"] in ("user", "assistant")
            assert before is None or before["role"] != message["role"], "turns alternate"
            heard.add(_turn(message))
        for tool in fields.get("tools") or ():
            assert tool["input_schema"]["type"] == "object"
            heard.tools[tool["name"]] = (tool.get("description", ""), tool["input_schema"])
        choice = fields.get("tool_choice") or {"type": "auto"}
        words = {"auto": "auto", "any": "required", "none": "none"}
        heard.choice = f"={choice['name']}" if choice["type"] == "tool" else words[choice["type"]]
        heard.parallel = not choice.get("disable_parallel_tool_use")
        form = (fields.get("output_config") or {}).get("format") or {}
        heard.schema = form.get("schema")
        heard.json_mode = form.get("type") == "json_schema" or "JSON" in heard.system
        heard.stop = tuple(fields.get("stop_sequences") or ())
        heard.temperature, heard.top_p = fields.get("temperature"), fields.get("top_p")
        heard.thinks = (fields.get("thinking") or {}).get("type") in ("enabled", "adaptive")
        return heard

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        message = {
            **_envelope(),
            "content": list(_blocks(said)),
            "stop_reason": _STOP[said.finish],
            "usage": _usage(said),
        }
        return b"application/json", json.dumps(message, ensure_ascii=False).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        opening = {**_envelope(), "content": [], "stop_reason": None, "usage": {**_usage(said), "output_tokens": 1}}
        frames = [_frame("message_start", message=opening), _frame("ping")]
        for index, block in enumerate(_blocks(said)):
            frames += _block_frames(index, block)
        closing = {"stop_reason": _STOP[said.finish], "stop_sequence": None}
        frames.append(_frame("message_delta", delta=closing, usage=_usage(said)))
        return b"text/event-stream; charset=utf-8", [*frames, _frame("message_stop")]

    def refusal(self, status: int, message: str) -> bytes:
        error = {"type": _TYPES.get(status, "api_error"), "message": message}
        return json.dumps({"type": "error", "error": error, "request_id": "req_1"}).encode()

    def broken(self) -> bytes:
        return _frame("error", error={"type": "overloaded_error", "message": "Overloaded"})


def _turn(message: dict[str, Any]) -> Turn:
    turn = Turn(message["role"])
    for block in message["content"]:
        kind = block["type"]
        if kind == "text":
            assert block["text"], "empty text is refused"
            turn.text += block["text"]
        elif kind == "image":
            source = block["source"]
            assert source["type"] == "base64"
            turn.images.append((source["media_type"], base64.b64decode(source["data"])))
        elif kind == "tool_use":
            turn.calls.append(Call(block["id"], block["name"], block["input"]))
        elif kind == "tool_result":
            assert not turn.text, "results stand first"
            content = block.get("content", "")
            text = content if isinstance(content, str) else "".join(part["text"] for part in content)
            turn.results.append((block["tool_use_id"], text))
        else:
            assert kind in ("thinking", "redacted_thinking")
            assert not turn.text
            assert not turn.calls
            turn.reasoning.append(block)
    return turn


def _blocks(said: Said) -> Iterator[dict[str, Any]]:
    if said.reasoning:
        yield {"type": "thinking", "thinking": said.reasoning, "signature": "sig=="}
    if said.text:
        yield {"type": "text", "text": said.text}
    for call in said.calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}


def _block_frames(index: int, block: dict[str, Any]) -> Iterator[bytes]:
    empty: dict[str, dict[str, Any]] = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    kind = block["type"]
    yield _frame("content_block_start", index=index, content_block={**block, **empty[kind]})
    if kind == "text":
        deltas = [{"type": "text_delta", "text": piece} for piece in _halves(block["text"])]
    elif kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _halves(block["thinking"])]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    else:
        text = json.dumps(block["input"], ensure_ascii=False) if block["input"] else ""
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *_halves(text)]]
    for delta in deltas:
        yield _frame("content_block_delta", index=index, delta=delta)
    yield _frame("content_block_stop", index=index)


def _envelope() -> dict[str, Any]:
    return {"id": "msg_native", "type": "message", "role": "assistant", "model": "claude-sonnet-4-6"}


def _usage(said: Said) -> dict[str, Any]:
    counts = said.counts
    return {
        "input_tokens": counts.input - counts.cached - counts.written,
        "cache_read_input_tokens": counts.cached,
        "cache_creation_input_tokens": counts.written,
        "output_tokens": counts.output,
        "output_tokens_details": {"thinking_tokens": counts.reasoning},
    }


def _halves(text: str) -> list[str]:
    middle = (len(text) + 1) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


def _frame(kind: str, **fields: Any) -> bytes:
    data = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {data}\n\n".encode()


NATIVE = Anthropic()
