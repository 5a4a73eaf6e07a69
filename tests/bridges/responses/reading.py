"""Reading responses as strictly as OpenAI's SDKs and their users need: every promise about their form is asserted."""

from __future__ import annotations

import json
from typing import Any

from tests.providers.contract.said import Read

FINISHES = {None: "stop", "max_output_tokens": "length", "content_filter": "content_filter"}
ALWAYS = {
    "id", "object", "created_at", "status", "background", "error", "incomplete_details", "instructions",
    "max_output_tokens", "metadata", "model", "output", "parallel_tool_calls", "previous_response_id", "reasoning",
    "service_tier", "store", "temperature", "text", "tool_choice", "tools", "top_p", "truncation", "usage", "user",
}  # fmt: skip


def whole(body: bytes, model: str) -> Read:
    """A `response` that is over."""
    reply = json.loads(body)
    _check_envelope(reply, model)
    assert reply["status"] in ("completed", "incomplete")
    return _read(reply)


def _check_envelope(reply: dict[str, Any], model: str) -> None:
    assert reply.keys() >= ALWAYS
    assert reply["object"] == "response"
    assert reply["model"] == model
    assert reply["id"].startswith("resp_")
    assert isinstance(reply["created_at"], int)
    assert reply["error"] is None
    assert reply["store"] is False


def _read(reply: dict[str, Any]) -> Read:
    read = Read(usage=reply["usage"])
    ids = [item["id"] for item in reply["output"]]
    assert len(ids) == len(set(ids)), "items have ids of their own"
    for item in reply["output"]:
        if item["type"] == "reasoning":
            assert all(part["type"] == "summary_text" for part in item["summary"])
            read.reasoning += "".join(part["text"] for part in item["summary"])
            if item.get("encrypted_content") is not None:
                read.extras.setdefault("encrypted", []).append(item["encrypted_content"])
        elif item["type"] == "message":
            read.text += _message(item, read)
            assert item["status"] in ("completed", reply["status"])
        elif item["type"] == "function_call":
            assert item["status"] in ("completed", reply["status"])
            read.calls.append((item["call_id"], item["name"], item["arguments"]))
        else:
            assert item["type"] == "custom_tool_call"
            assert item["status"] == "completed"
            read.extras.setdefault("custom", []).append((item["call_id"], item["name"], item["input"]))
    details = reply["incomplete_details"]
    assert (details is not None) == (reply["status"] == "incomplete")
    read.finish = FINISHES[details and details["reason"]]
    usage = reply["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert usage["input_tokens_details"].keys() == {"cached_tokens", "cache_write_tokens"}
    assert usage["output_tokens_details"].keys() == {"reasoning_tokens"}
    return read


def _message(item: dict[str, Any], read: Read) -> str:
    assert item["role"] == "assistant"
    text = ""
    for part in item["content"]:
        if part["type"] == "refusal":
            read.extras["refusal"] = read.extras.get("refusal", "") + part["refusal"]
            continue
        assert part.keys() == {"type", "text", "annotations", "logprobs"}
        assert part["type"] == "output_text"
        text += part["text"]
        if part["annotations"]:
            read.extras["annotations"] = part["annotations"]
        if part["logprobs"]:
            read.extras["logprobs"] = part["logprobs"]
    return text


def events(body: bytes) -> list[dict[str, Any]]:
    """The events of a stream: a name and one line of data each, the name repeated, numbered without gaps."""
    found: list[dict[str, Any]] = []
    for frame in body.removesuffix(b"\n\n").split(b"\n\n") if body else ():
        if frame.startswith(b":"):
            continue
        name, data = frame.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        assert event["sequence_number"] == len(found)
        found.append(event)
    return found


def streamed(body: bytes, model: str) -> Read:
    """A whole stream: what its events build up is what its last one says, and each stands where it may."""
    assert body.endswith(b"\n\n")
    told = events(body)
    assert [event["type"] for event in told[:2]] == ["response.created", "response.in_progress"]
    for event in told[:2]:
        _check_envelope(event["response"], model)
        assert event["response"]["status"] == "in_progress"
        assert event["response"]["output"] == []
        assert event["response"]["usage"] is None
    last = told[-1]
    final = last["response"]
    assert last["type"] == f"response.{final['status']}"
    assert final["id"] == told[0]["response"]["id"]
    items = Items()
    for event in told[2:-1]:
        items.take(event)
    assert items.over == final["output"]
    _check_envelope(final, model)
    return _read(final)


class Items:
    """The items of a stream as an SDK puts them together."""

    def __init__(self) -> None:
        self.open: dict[int, dict[str, Any]] = {}
        self.done: dict[int, dict[str, Any]] = {}
        self.parts: dict[int, str] = {}
        """The kind of part that is open in an item."""

    @property
    def over(self) -> list[dict[str, Any]]:
        assert not self.open
        assert not self.parts
        assert sorted(self.done) == list(range(len(self.done))), "places are dense"
        return [self.done[index] for index in sorted(self.done)]

    def take(self, event: dict[str, Any]) -> None:
        kind = event["type"].removeprefix("response.")
        index = event["output_index"]
        if kind == "output_item.added":
            assert index == len(self.open) + len(self.done), "items begin one after the other"
            item = self.open[index] = json.loads(json.dumps(event["item"]))
            assert item.get("status", "in_progress") == "in_progress"
            assert not any(item.get(name) for name in ("content", "summary", "arguments", "input"))
            return
        item = self.open[index]
        if kind == "output_item.done":
            self._finish(index, item, event["item"])
            return
        assert event["item_id"] == item["id"]
        place = getattr(self, "_" + kind.replace(".", "_"))
        place(index, item, event)

    def _finish(self, index: int, item: dict[str, Any], whole: dict[str, Any]) -> None:
        assert index not in self.parts
        built = {**item, "status": whole.get("status")} if "status" in item else item
        if "encrypted_content" in whole:
            built["encrypted_content"] = whole["encrypted_content"]
        assert built == whole
        self.done[index] = whole
        del self.open[index]

    def _opened(self, index: int, parts: list[dict[str, Any]], at: int, part: dict[str, Any]) -> None:
        assert index not in self.parts
        assert at == len(parts), "parts are numbered without gaps"
        parts.append(part)
        self.parts[index] = part["type"]

    def _closed(self, index: int, built: dict[str, Any], part: dict[str, Any]) -> None:
        assert built == part
        assert self.parts.pop(index) == part["type"]

    def _content_part_added(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        self._opened(index, item["content"], event["content_index"], event["part"])

    def _content_part_done(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        self._closed(index, item["content"][event["content_index"]], event["part"])

    def _output_text_delta(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        assert self.parts[index] == "output_text"
        part = item["content"][event["content_index"]]
        part["text"] += event["delta"]
        part["logprobs"] += event["logprobs"]

    def _output_text_annotation_added(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        part = item["content"][event["content_index"]]
        assert event["annotation_index"] == len(part["annotations"])
        part["annotations"].append(event["annotation"])

    def _output_text_done(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        part = item["content"][event["content_index"]]
        assert (event["text"], event["logprobs"]) == (part["text"], part["logprobs"])

    def _refusal_delta(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        assert self.parts[index] == "refusal"
        item["content"][event["content_index"]]["refusal"] += event["delta"]

    def _refusal_done(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        assert event["refusal"] == item["content"][event["content_index"]]["refusal"]

    def _reasoning_summary_part_added(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        self._opened(index, item["summary"], event["summary_index"], event["part"])

    def _reasoning_summary_part_done(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        self._closed(index, item["summary"][event["summary_index"]], event["part"])

    def _reasoning_summary_text_delta(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        item["summary"][event["summary_index"]]["text"] += event["delta"]

    def _reasoning_summary_text_done(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        assert event["text"] == item["summary"][event["summary_index"]]["text"]

    def _function_call_arguments_delta(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        item["arguments"] += event["delta"]

    def _function_call_arguments_done(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        assert (event["name"], event["arguments"]) == (item["name"], item["arguments"])

    def _custom_tool_call_input_delta(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        item["input"] += event["delta"]

    def _custom_tool_call_input_done(self, index: int, item: dict[str, Any], event: dict[str, Any]) -> None:
        assert event["input"] == item["input"]
