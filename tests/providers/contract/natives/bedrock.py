"""Amazon Bedrock's Converse, whole and as a binary event stream."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from gateway.ports import RequestHead
from tests.providers.contract.said import Call, Heard, Said, Turn
from tests.support.eventstream import event, exception

_STOP = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use", "refused": "content_filtered"}


class Bedrock:
    """See `Native`."""

    options: Mapping[str, Any] = {"region": "eu-west-1"}
    base_url = "https://provider.invalid"
    model = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
    refuses: Mapping[str, str] = {"n_two": "n", "seed": "seed"}
    silent = frozenset({"counted_reasoning"})

    def heard(self, head: RequestHead, body: bytes) -> Heard:
        _, place, model, method = head.target.decode().split("/")
        assert place == "model"
        assert method in ("converse", "converse-stream")
        assert dict(head.headers)[b"authorization"] == b"Bearer secret"
        fields = json.loads(body)
        assert fields.get("system") != []
        heard = Heard(model=unquote(model), stream=method == "converse-stream")
        heard.system = "".join(block["text"] for block in fields.get("system") or ())
        for before, message in zip([None, *fields["messages"]], fields["messages"], strict=False):
            assert message["role"] in ("user", "assistant")
            assert before is None or before["role"] != message["role"], "turns alternate"
            heard.add(_turn(message))
        _choose(heard, fields.get("toolConfig"))
        own = (fields.get("additionalModelRequestFields") or {}).get("tool_choice") or {}
        assert not own or "toolChoice" not in fields["toolConfig"], "two choices are refused"
        heard.parallel = not own.get("disable_parallel_tool_use")
        config = fields.get("inferenceConfig") or {}
        heard.stop = tuple(config.get("stopSequences") or ())
        heard.limit = config.get("maxTokens")
        heard.temperature, heard.top_p = config.get("temperature"), config.get("topP")
        form = (fields.get("outputConfig") or {}).get("textFormat")
        if form is not None:
            assert form["type"] == "json_schema"
            heard.schema = json.loads(form["structure"]["jsonSchema"]["schema"])
        heard.json_mode = form is not None or "JSON" in heard.system
        heard.thinks = (fields.get("additionalModelRequestFields") or {}).get("thinking", {}).get("type") == "enabled"
        return heard

    def reply(self, said: Said) -> tuple[bytes, bytes]:
        body = {
            "metrics": {"latencyMs": 7},
            "output": {"message": {"role": "assistant", "content": list(_blocks(said))}},
            "stopReason": _STOP[said.finish],
            "usage": _usage(said),
        }
        return b"application/json", json.dumps(body, ensure_ascii=False).encode()

    def stream(self, said: Said) -> tuple[bytes, list[bytes]]:
        frames = [event("messageStart", role="assistant")]
        for index, block in enumerate(_blocks(said)):
            frames += _block_frames(index, block)
        frames.append(event("messageStop", stopReason=_STOP[said.finish]))
        frames.append(event("metadata", usage=_usage(said), metrics={"latencyMs": 7}))
        return b"application/vnd.amazon.eventstream", frames

    def refusal(self, status: int, message: str) -> bytes:
        return json.dumps({"message": message}).encode()

    def broken(self) -> bytes:
        return exception("serviceUnavailableException", "Bedrock is unable to process your request.")


def _turn(message: dict[str, Any]) -> Turn:
    turn = Turn(message["role"])
    assert message["content"]
    for block in message["content"]:
        ((kind, value),) = block.items()
        if kind == "text":
            assert value, "empty text is refused"
            turn.text += value
        elif kind == "image":
            turn.images.append((f"image/{value['format']}", base64.b64decode(value["source"]["bytes"])))
        elif kind == "toolUse":
            turn.calls.append(Call(value["toolUseId"], value["name"], value["input"]))
        elif kind == "toolResult":
            assert not turn.text, "results stand first"
            turn.results.append((value["toolUseId"], "".join(part["text"] for part in value["content"])))
        else:
            assert kind == "reasoningContent"
            assert not turn.text
            turn.reasoning.append(value)
    return turn


def _choose(heard: Heard, config: dict[str, Any] | None) -> None:
    if config is None:
        heard.choice = "none"
        return
    assert config["tools"], "no tools at all is refused"
    for tool in config["tools"]:
        spec = tool["toolSpec"]
        assert spec.get("description") != ""
        assert spec["inputSchema"]["json"]["type"] == "object"
        heard.tools[spec["name"]] = (spec.get("description", ""), spec["inputSchema"]["json"])
    ((kind, value),) = config.get("toolChoice", {"auto": {}}).items()
    heard.choice = f"={value['name']}" if kind == "tool" else {"auto": "auto", "any": "required"}[kind]


def _blocks(said: Said) -> Iterator[dict[str, Any]]:
    if said.reasoning:
        yield {"reasoningContent": {"reasoningText": {"text": said.reasoning, "signature": "sig=="}}}
    if said.text:
        yield {"text": said.text}
    for call in said.calls:
        yield {"toolUse": {"toolUseId": call.id, "name": call.name, "input": call.arguments}}


def _block_frames(index: int, block: dict[str, Any]) -> Iterator[bytes]:
    """Of text and reasoning there is no start."""
    ((kind, value),) = block.items()
    deltas: list[dict[str, Any]]
    if kind == "text":
        deltas = [{"text": piece} for piece in _halves(value)]
    elif kind == "reasoningContent":
        told = value["reasoningText"]
        deltas = [{"reasoningContent": {"text": piece}} for piece in _halves(told["text"])]
        deltas.append({"reasoningContent": {"signature": told["signature"]}})
    else:
        start = {"toolUse": {"toolUseId": value["toolUseId"], "name": value["name"]}}
        yield event("contentBlockStart", contentBlockIndex=index, start=start)
        text = json.dumps(value["input"], ensure_ascii=False) if value["input"] else ""
        deltas = [{"toolUse": {"input": piece}} for piece in ["", *_halves(text)]]
    for delta in deltas:
        yield event("contentBlockDelta", contentBlockIndex=index, delta=delta)
    yield event("contentBlockStop", contentBlockIndex=index)


def _usage(said: Said) -> dict[str, int]:
    counts = said.counts
    given = counts.input - counts.cached - counts.written
    return {
        "inputTokens": given,
        "outputTokens": counts.output,
        "totalTokens": counts.input + counts.output,
        "cacheReadInputTokens": counts.cached,
        "cacheWriteInputTokens": counts.written,
    }


def _halves(text: str) -> list[str]:
    middle = (len(text) + 1) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


NATIVE = Bedrock()
