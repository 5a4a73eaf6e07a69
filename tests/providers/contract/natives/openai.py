"""OpenAI's chat completions, and every provider that has the same."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from gateway.ports import RequestHead
from tests.providers.contract.said import Call, Heard, Said, Turn

_FINISH = {"stop": "stop", "length": "length", "calls": "tool_calls", "refused": "content_filter"}


class OpenAI:
    """See `Native`."""

    options: Mapping[str, Any] = {}
    base_url = "https://provider.invalid/v1"
    model = "gpt-native"
    refuses: Mapping[str, str] = {}
    silent: frozenset[str] = frozenset()

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        assert head.target.endswith(b"/chat/completions")
        fields = json.loads(body)
        heard = Heard(model=fields["model"], stream=bool(fields.get("stream")))
        for message in fields["messages"]:
            if message["role"] in ("system", "developer"):
                heard.system += _text(message["content"])
            else:
                heard.add(_turn(message))
        for tool in fields.get("tools") or ():
            function = tool["function"]
            heard.tools[function["name"]] = (function.get("description", ""), function.get("parameters"))
        choice = fields.get("tool_choice") or "auto"
        heard.choice = choice if isinstance(choice, str) else f"={choice['function']['name']}"
        heard.parallel = fields.get("parallel_tool_calls") is not False
        form = fields.get("response_format") or {}
        heard.schema = (form.get("json_schema") or {}).get("schema")
        heard.json_mode = form.get("type") in ("json_object", "json_schema")
        stop = fields.get("stop")
        heard.stop = (stop,) if isinstance(stop, str) else tuple(stop or ())
        heard.limit = fields.get("max_completion_tokens", fields.get("max_tokens"))
        heard.temperature, heard.top_p = fields.get("temperature"), fields.get("top_p")
        heard.n, heard.seed = fields.get("n", 1), fields.get("seed")
        heard.thinks = fields.get("reasoning_effort") not in (None, "none")
        return heard

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        message: dict[str, Any] = {"role": "assistant", "content": said.text or (None if said.calls else "")}
        if said.reasoning:
            message["reasoning_content"] = said.reasoning
        if said.calls:
            message["tool_calls"] = [call_of(call) for call in said.calls]
        choice = {"index": 0, "message": message, "finish_reason": _FINISH[said.finish], "logprobs": None}
        body = {**envelope("chat.completion"), "choices": [choice], "usage": usage_of(said)}
        return b"application/json", json.dumps(body, ensure_ascii=False).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        choices: list[dict[str, Any]] = [
            {"index": 0, "delta": delta, "finish_reason": None} for delta in self.deltas(said)
        ]
        choices.append({"index": 0, "delta": {}, "finish_reason": _FINISH[said.finish]})
        base = envelope("chat.completion.chunk")
        frames = [{**base, "choices": [choice], "usage": None} for choice in choices]
        frames.append({**base, "choices": [], "usage": usage_of(said)})
        return b"text/event-stream", [*(frame_of(frame) for frame in frames), b"data: [DONE]\n\n"]

    def deltas(self, said: Said) -> list[dict[str, Any]]:
        """What a stream adds, bit by bit, up to the finish reason."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": piece} for piece in _halves(said.reasoning)]
        deltas += [{"content": piece} for piece in _halves(said.text)]
        for index, call in enumerate(said.calls):
            whole = call_of(call)
            arguments = whole["function"]["arguments"]
            opening = {"index": index, **whole, "function": {"name": call.name, "arguments": ""}}
            deltas.append({"tool_calls": [opening]})
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in _halves(arguments)
            ]
        return deltas

    def refusal(self, status: int, message: str) -> bytes:
        return json.dumps({"error": {"message": message, "type": "some_error", "param": None, "code": None}}).encode()

    def broken(self) -> bytes:
        return frame_of({"error": {"message": "busy", "type": "overloaded_error", "code": None}})


def _turn(message: dict[str, Any]) -> Turn:
    content = message.get("content")
    if message["role"] == "tool":
        return Turn("user", results=[(message["tool_call_id"], _text(content))])
    calls = [
        Call(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"] or "{}"))
        for call in message.get("tool_calls") or ()
    ]
    images = [_image(part) for part in content if part["type"] == "image_url"] if isinstance(content, list) else []
    return Turn(message["role"], _text(content), images, calls)


def _image(part: dict[str, Any]) -> tuple[str, bytes]:
    head, _, data = part["image_url"]["url"].partition(";base64,")
    return head.removeprefix("data:"), base64.b64decode(data)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def envelope(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-native", "object": kind, "created": 1_700_000_000, "model": "gpt-native"}


def call_of(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": call.id, "type": "function", "function": function}


def usage_of(said: Said) -> dict[str, Any]:
    counts = said.counts
    return {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
        "prompt_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": counts.written},
        "completion_tokens_details": {"reasoning_tokens": counts.reasoning},
    }


def _halves(text: str) -> list[str]:
    middle = (len(text) + 1) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


def frame_of(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


NATIVE = OpenAI()
