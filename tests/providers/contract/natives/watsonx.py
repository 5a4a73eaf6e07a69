"""IBM watsonx.ai's chat, as its own SDK speaks it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from gateway.ports import RequestHead
from tests.providers.contract.said import Call, Heard, Said, Turn

_FINISH = {"stop": "stop", "length": "length", "calls": "tool_calls"}


class Watsonx:
    """See `Native`."""

    options: Mapping[str, Any] = {"project_id": "mine", "version": "2025-10-25"}
    base_url = "https://provider.invalid"
    model = "ibm/granite-4-h-small"
    refuses: Mapping[str, str] = {"no_parallel": "parallel_tool_calls"}
    silent: frozenset[str] = frozenset({"refused", "cache_written", "counted_reasoning"})

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        path, _, query = head.target.partition(b"?")
        assert query == b"version=2025-10-25"
        assert path in (b"/ml/v1/text/chat", b"/ml/v1/text/chat_stream")
        assert dict(head.headers)[b"authorization"] == b"Bearer secret"
        fields = json.loads(body)
        assert fields["project_id"] == "mine"
        assert "stream" not in fields
        assert "model" not in fields
        limit = fields.get("max_completion_tokens") or None
        heard = Heard(model=fields["model_id"], stream=path.endswith(b"_stream"), limit=limit)
        for message in fields["messages"]:
            if message["role"] == "system":
                heard.system += message["content"]
            else:
                heard.add(_turn(message))
        for tool in fields.get("tools") or ():
            function = tool["function"]
            heard.tools[function["name"]] = (function.get("description", ""), function.get("parameters"))
        assert not {"tool_choice", "tool_choice_option"} <= fields.keys()
        named = fields.get("tool_choice")
        heard.choice = f"={named['function']['name']}" if named else fields.get("tool_choice_option", "auto")
        form = fields.get("response_format") or {}
        heard.json_mode = form.get("type") in ("json_object", "json_schema")
        heard.schema = form.get("json_schema", {}).get("schema")
        heard.stop = tuple(fields.get("stop") or ())
        heard.temperature, heard.top_p, heard.seed = fields.get("temperature"), fields.get("top_p"), fields.get("seed")
        heard.n = fields.get("n", 1)
        heard.thinks = fields.get("reasoning_effort") in ("low", "medium", "high")
        return heard

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        message: dict[str, Any] = {"role": "assistant"}
        if said.text or not said.calls:
            message["content"] = said.text
        if said.reasoning:
            message["reasoning_content"] = said.reasoning
        if said.calls:
            message["tool_calls"] = [_call(call) for call in said.calls]
        choice = {"index": 0, "message": message, "finish_reason": _FINISH[said.finish]}
        reply = {**_envelope("chat.completion"), "choices": [choice], "usage": _usage(said)}
        return b"application/json", json.dumps(reply, ensure_ascii=False).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        deltas += [{"reasoning_content": piece} for piece in _halves(said.reasoning)]
        deltas += [{"content": piece} for piece in _halves(said.text)]
        for index, call in enumerate(said.calls):
            whole = _call(call)
            text = whole["function"].pop("arguments")
            start = {**whole, "index": index, "function": {**whole["function"], "arguments": ""}}
            deltas.append({"tool_calls": [start]})
            pieces = _halves(text if call.arguments else "")
            deltas += [{"tool_calls": [{"index": index, "function": {"arguments": piece}}]} for piece in pieces]
        chunks: list[dict[str, Any]] = [
            {"choices": [{"index": 0, "finish_reason": None, "delta": delta}]} for delta in deltas
        ]
        chunks.append({"choices": [{"index": 0, "finish_reason": _FINISH[said.finish], "delta": {"content": ""}}]})
        chunks.append({"choices": [], "usage": _usage(said)})
        envelope = _envelope("chat.completion.chunk")
        frames = [_frame(number, "message", {**envelope, **chunk}) for number, chunk in enumerate(chunks, 1)]
        return b"text/event-stream", frames

    def refusal(self, status: int, message: str) -> bytes:
        errors = [{"code": "some_code", "message": message, "more_info": "https://cloud.ibm.com/apidocs/watsonx-ai"}]
        return json.dumps({"errors": errors, "trace": "t", "status_code": status}).encode()

    def broken(self) -> bytes:
        errors = [{"code": "downstream_request_failed", "message": "The model is overloaded"}]
        return _frame(9, "error", {"errors": errors, "trace": "t", "status_code": 503})


def _turn(message: dict[str, Any]) -> Turn:
    if message["role"] == "tool":
        return Turn("user", results=[(message["tool_call_id"], message["content"])])
    turn = Turn(message["role"])
    content: Any = message.get("content", [])
    parts: list[dict[str, Any]] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for part in parts:
        if part["type"] == "text":
            turn.text += part["text"]
        else:
            kind, data = part["image_url"]["url"].removeprefix("data:").split(";base64,")
            turn.images.append((kind, base64.b64decode(data)))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        turn.calls.append(Call(call["id"], function["name"], json.loads(function["arguments"])))
    return turn


def _call(call: Call) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _envelope(kind: str) -> dict[str, Any]:
    model = "ibm/granite-4-h-small"
    return {"id": "chatcmpl-n", "object": kind, "model_id": model, "model": model, "created": 1}


def _usage(said: Said) -> dict[str, Any]:
    counts = said.counts
    usage: dict[str, Any] = {"prompt_tokens": counts.input, "completion_tokens": counts.output}
    if counts.cached:
        usage["prompt_tokens_details"] = {"cached_tokens": counts.cached}
    return {**usage, "total_tokens": counts.input + counts.output}


def _halves(text: str) -> list[str]:
    middle = (len(text) + 1) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


def _frame(number: int, name: str, data: dict[str, Any]) -> bytes:
    return f"id: {number}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


NATIVE = Watsonx()
