"""`/converse` and `/converse-stream`: one answer, whole or in events, a token each."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.providers.scripted.amazon.frames import EVENT_STREAM, named
from gateway.providers.scripted.amazon.rules import check
from gateway.providers.scripted.openai.fields import charge, need, positive, text_of
from gateway.providers.scripted.scenario import Asked, Charge, Json, Reply, json_reply
from gateway.providers.scripted.tokens import count, pieces
from gateway.providers.scripted.turn import Ask, Tool, ToolCall, Turn, decide

_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}
_MEDIA_TOKENS = 85


def converse(asked: Asked) -> Reply:
    """The whole answer."""
    turn, price = _turn(asked), charge(asked, _input_tokens(asked.body))
    body: Json = {
        "metrics": {"latencyMs": 1},
        "output": {"message": {"role": "assistant", "content": _content(turn)}},
        "stopReason": _STOP[turn.finish],
    }
    if not asked.script.no_usage:
        body["usage"] = _usage(price, turn)
    return json_reply(body, price, turn.tokens)


def converse_stream(asked: Asked) -> Reply:
    """The same in events; the counts are the last one."""
    turn, price = _turn(asked), charge(asked, _input_tokens(asked.body), stream=True)
    frames = [named("messageStart", {"role": "assistant"})]
    for index, block in enumerate(_pieces(turn)):
        frames += [named(kind, {"contentBlockIndex": index, **fields}, tokens) for kind, fields, tokens in block]
        frames.append(named("contentBlockStop", {"contentBlockIndex": index}))
    frames.append(named("messageStop", {"stopReason": _STOP[turn.finish]}))
    closing: Json = {"metrics": {"latencyMs": 1}}
    if not asked.script.no_usage:
        closing["usage"] = _usage(price, turn)
    frames.append(named("metadata", closing, last=True))
    return Reply(tuple(frames), content_type=EVENT_STREAM, charge=price)


def _turn(asked: Asked) -> Turn:
    return decide(_ask(asked), asked.script, asked.request.digest)


def _ask(asked: Asked) -> Ask:
    body = asked.body
    messages = [message for message in need(body, "messages", list) if isinstance(message, dict)]
    check(body, messages)
    config = body.get("inferenceConfig") or {}
    last = messages[-1]["content"]
    results = [block["toolResult"] for block in last if "toolResult" in block]
    tools = body.get("toolConfig") or {}
    ((choice, chosen),) = (tools.get("toolChoice") or {"auto": {}}).items()
    own = (body.get("additionalModelRequestFields") or {}).get("tool_choice") or {}
    if own:
        choice, chosen = own["type"], own
    form = (body.get("outputConfig") or {}).get("textFormat") or {}
    return Ask(
        model=asked.model,
        text="".join(text_of(result["content"]) for result in results) if results else text_of(last),
        after_tool=bool(results),
        tools=tuple(_tools(tools)),
        tool_choice=f"={chosen.get('name')}" if choice == "tool" else {"any": "required"}.get(choice, "auto"),
        parallel=not own.get("disable_parallel_tool_use"),
        schema=orjson.loads(form["structure"]["jsonSchema"]["schema"]) if form else None,
        limit=positive(config, "maxTokens"),
        stop=tuple(config.get("stopSequences") or ()),
    )


def _tools(config: Json) -> list[Tool]:
    specs = [tool["toolSpec"] for tool in config.get("tools") or () if "toolSpec" in tool]
    return [Tool(spec["name"], spec["inputSchema"]["json"]) for spec in specs]


def _input_tokens(body: Json) -> int:
    total = count(orjson.dumps(body["toolConfig"]).decode()) if body.get("toolConfig") else 0
    total += count(text_of(body.get("system")))
    for message in body["messages"]:
        total += sum(_block_tokens(block) for block in message["content"])
    return max(total, 1)


def _block_tokens(block: Json) -> int:
    ((kind, value),) = block.items()
    if kind == "text":
        return count(value)
    if kind in ("toolUse", "toolResult"):
        return count(orjson.dumps(value).decode())
    return _MEDIA_TOKENS if kind in ("image", "document", "audio") else 0


def _content(turn: Turn) -> list[Json]:
    blocks: list[Json] = []
    if turn.reasoning:
        blocks.append({"reasoningContent": {"reasoningText": {"text": turn.reasoning, "signature": "bW9jaw=="}}})
    if turn.text:
        blocks.append({"text": turn.text})
    return blocks + [{"toolUse": {**_begun(call), "input": _object(call.arguments)}} for call in turn.calls]


def _pieces(turn: Turn) -> list[list[tuple[str, Json, int]]]:
    """Of each block the events before its end, with their tokens. Only calls have a start."""
    blocks: list[list[tuple[str, Json, int]]] = []
    if turn.reasoning:
        thoughts = [_delta({"reasoningContent": {"text": piece}}, 1) for piece in pieces(turn.reasoning)]
        blocks.append([*thoughts, _delta({"reasoningContent": {"signature": "bW9jaw=="}}, 0)])
    if turn.text:
        blocks.append([_delta({"text": piece}, 1) for piece in pieces(turn.text)])
    for call in turn.calls:
        start = ("contentBlockStart", {"start": {"toolUse": _begun(call)}}, count(call.name))
        blocks.append([start, *(_delta({"toolUse": {"input": piece}}, 1) for piece in pieces(call.arguments))])
    return blocks


def _delta(fields: Json, tokens: int) -> tuple[str, Json, int]:
    return "contentBlockDelta", {"delta": fields}, tokens


def _begun(call: ToolCall) -> Json:
    return {"toolUseId": "tooluse_" + call.id.removeprefix("call_"), "name": call.name}


def _object(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}  # cut off by the caller's limit


def _usage(price: Charge, turn: Turn) -> Json:
    return {
        "inputTokens": price.input_tokens - price.cached_input_tokens,
        "outputTokens": turn.tokens,
        "totalTokens": price.input_tokens + turn.tokens,
        "cacheReadInputTokens": price.cached_input_tokens,
        "cacheWriteInputTokens": 0,
    }
