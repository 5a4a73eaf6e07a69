"""OpenAI's Responses API, played by hand: how its provider hears requests and words its answers."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from gateway.ports import RequestHead
from tests.providers.contract.said import Call, Heard, Said, Turn

_SHORT = {"length": "max_output_tokens", "refused": "content_filter"}


class Responses:
    """See `tests.providers.contract.natives.Native`."""

    options: Mapping[str, Any] = {}
    base_url = "https://provider.invalid/v1"
    model = "gpt-native"
    refuses: Mapping[str, str] = {"stop_word": "stop", "stop_words": "stop", "n_two": "n", "seed": "seed"}
    silent: frozenset[str] = frozenset()

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        assert head.target.endswith(b"/responses")
        fields = json.loads(body)
        assert fields["store"] is False
        assert None not in fields.values()
        heard = Heard(model=fields["model"], stream=bool(fields.get("stream")))
        for item in fields["input"]:
            if item.get("role") in ("system", "developer"):
                heard.system += _text(item["content"])
            else:
                heard.add(_turn(item))
        for tool in fields.get("tools") or ():
            assert tool["strict"] is False
            heard.tools[tool["name"]] = (tool.get("description") or "", tool["parameters"])
        choice = fields.get("tool_choice") or "auto"
        heard.choice = choice if isinstance(choice, str) else f"={choice['name']}"
        heard.parallel = fields.get("parallel_tool_calls") is not False
        form = (fields.get("text") or {}).get("format") or {}
        heard.schema = form.get("schema")
        heard.json_mode = form.get("type") in ("json_object", "json_schema")
        heard.limit = fields.get("max_output_tokens")
        heard.temperature, heard.top_p = fields.get("temperature"), fields.get("top_p")
        heard.thinks = (fields.get("reasoning") or {}).get("effort") not in (None, "none")
        return heard

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        return b"application/json", json.dumps(_response(said), ensure_ascii=False).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        whole = _response(said)
        begun = {**whole, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
        told: list[dict[str, Any]] = [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
        ]
        for index, item in enumerate(whole["output"]):
            told += _item_events(index, item)
        told.append({"type": f"response.{whole['status']}", "response": whole})
        return b"text/event-stream", [_frame({**event, "sequence_number": n}) for n, event in enumerate(told)]

    def refusal(self, status: int, message: str) -> bytes:
        return json.dumps({"error": {"message": message, "type": "some_error", "param": None, "code": None}}).encode()

    def broken(self) -> bytes:
        return _frame({"type": "error", "code": "overloaded_error", "message": "busy", "param": None})


def _turn(item: dict[str, Any]) -> Turn:
    kind = item.get("type", "message")
    if kind == "function_call":
        return Turn("assistant", calls=[Call(item["call_id"], item["name"], json.loads(item["arguments"]))])
    if kind == "function_call_output":
        return Turn("user", results=[(item["call_id"], _text(item["output"]))])
    if kind == "reasoning":
        return Turn("assistant", reasoning=[item])
    content = item["content"]
    images = [_image(part) for part in content if part["type"] == "input_image"] if isinstance(content, list) else []
    return Turn(item["role"], _text(content), images)


def _image(part: dict[str, Any]) -> tuple[str, bytes]:
    head, _, data = part["image_url"].partition(";base64,")
    return head.removeprefix("data:"), base64.b64decode(data)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part["type"] in ("input_text", "output_text"))
    return content or ""


def _response(said: Said) -> dict[str, Any]:
    counts = said.counts
    reason = _SHORT.get(said.finish)
    return {
        "id": "resp_native",
        "object": "response",
        "created_at": 1_700_000_000,
        "model": "gpt-native",
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "error": None,
        "output": _output(said),
        "usage": {
            "input_tokens": counts.input,
            "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": counts.written},
            "output_tokens": counts.output,
            "output_tokens_details": {"reasoning_tokens": counts.reasoning},
            "total_tokens": counts.input + counts.output,
        },
    }


def _output(said: Said) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if said.reasoning:
        summary = [{"type": "summary_text", "text": said.reasoning}]
        items.append({"type": "reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "gAAA"})
    if said.text or not said.calls:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        items.append({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]})
    for call in said.calls:
        arguments = json.dumps(call.arguments, ensure_ascii=False)
        items.append({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments})
    return items


def _item_events(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    kind = item["type"]
    at = {"output_index": index}
    events: list[dict[str, Any]] = []
    if kind == "function_call":
        begun = {**item, "arguments": ""}
        name = "response.function_call_arguments"
        events += [{"type": f"{name}.delta", **at, "delta": piece} for piece in _halves(item["arguments"])]
        events.append({"type": f"{name}.done", **at, "arguments": item["arguments"]})
    elif kind == "reasoning":
        begun = {**item, "summary": [], "encrypted_content": None}
        text = item["summary"][0]["text"]
        events.append({"type": "response.reasoning_summary_part.added", **at, "summary_index": 0})
        name = "response.reasoning_summary_text"
        events += [{"type": f"{name}.delta", **at, "summary_index": 0, "delta": piece} for piece in _halves(text)]
        events.append({"type": f"{name}.done", **at, "summary_index": 0, "text": text})
    else:
        begun = {**item, "content": []}
        text = item["content"][0]["text"]
        at |= {"content_index": 0}
        events.append({"type": "response.content_part.added", **at, "part": {"type": "output_text", "text": ""}})
        events += [{"type": "response.output_text.delta", **at, "delta": piece} for piece in _halves(text)]
        events.append({"type": "response.output_text.done", **at, "text": text})
    return [
        {"type": "response.output_item.added", "output_index": index, "item": begun},
        *events,
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def _halves(text: str) -> list[str]:
    middle = (len(text) + 1) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


def _frame(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\n".encode() + b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


NATIVE = Responses()
