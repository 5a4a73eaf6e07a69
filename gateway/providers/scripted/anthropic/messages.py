"""`/messages` and `/messages/count_tokens`, whole answers; `stream` has the events."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.providers.scripted.anthropic.stream import message_events
from gateway.providers.scripted.openai.fields import charge, need, positive, text_of, tokens_of
from gateway.providers.scripted.scenario import Asked, Charge, Json, Rejected, Reply, json_reply, stream_reply
from gateway.providers.scripted.tokens import count
from gateway.providers.scripted.turn import Ask, Tool, Turn, decide

_STOP = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def messages(asked: Asked) -> Reply:
    """One message, streamed if asked for."""
    ask = _ask(asked)
    turn = decide(ask, asked.script, asked.request.digest)
    streams = bool(asked.body.get("stream"))
    price = charge(asked, _input_tokens(asked.body), stream=streams)
    envelope: Json = {
        "id": f"msg_{asked.request.digest[:24]}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": _content(turn),
        "stop_reason": _STOP[turn.finish],
        "stop_sequence": None,
        "usage": _usage(price, turn),
    }
    if asked.script.no_usage:
        del envelope["usage"]
    if streams:
        return stream_reply(message_events(envelope, turn), price)
    return json_reply(envelope, price, turn.tokens)


def count_tokens(asked: Asked) -> Reply:
    """What a message would be charged on input; costs nothing."""
    return json_reply({"input_tokens": _input_tokens(asked.body)}, Charge(asked.service, asked.model))


def _ask(asked: Asked) -> Ask:
    body = asked.body
    said = _messages(body)
    _refuse_what_the_api_refuses(body, said)
    last = _blocks(said[-1])
    results = [block for block in last if block.get("type") == "tool_result"]
    spoken = "".join(text_of(block.get("content")) for block in results) if results else text_of(said[-1]["content"])
    choice = body.get("tool_choice") or {}
    kind = choice.get("type", "auto")
    limit = positive(body, "max_tokens")
    if limit is None:
        raise Rejected(400, "max_tokens: Field required")
    return Ask(
        model=need(body, "model", str),
        text=spoken,
        after_tool=bool(results),
        tools=tuple(Tool(tool["name"], tool.get("input_schema")) for tool in body.get("tools") or ()),
        tool_choice=f"={choice.get('name')}" if kind == "tool" else _CHOICES.get(kind, "auto"),
        parallel=not choice.get("disable_parallel_tool_use"),
        schema=((body.get("output_config") or {}).get("format") or {}).get("schema"),
        limit=limit,
        stop=tuple(body.get("stop_sequences") or ()),
    )


def _refuse_what_the_api_refuses(body: Json, said: list[Json]) -> None:
    """The rules that translators trip over. Raises Rejected in the API's words."""
    for index, (message, following) in enumerate(zip(said, [*said[1:], None], strict=True)):
        if message.get("role") not in ("user", "assistant"):
            raise Rejected(400, f'messages.{index}.role: Input should be "user" or "assistant"')
        for block in _blocks(message):
            if block.get("type") == "text" and not block.get("text"):
                raise Rejected(400, f"messages.{index}: text content blocks must be non-empty")
        blocks = _blocks(message)
        if blocks and all(block.get("type") == "text" and not block["text"].strip() for block in blocks):
            raise Rejected(400, f"messages.{index}: text content blocks must contain non-whitespace text")
        called = [block["id"] for block in _blocks(message) if block.get("type") == "tool_use"]
        answered = [str(b.get("tool_use_id")) for b in _blocks(following or {}) if b.get("type") == "tool_result"]
        if called and sorted(answered) != sorted(called):
            raise Rejected(
                400, f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after"
            )
    if body.get("temperature") is not None and body.get("top_p") is not None:
        raise Rejected(400, "`temperature` and `top_p` cannot both be specified for this model.")


def _messages(body: Json) -> list[Json]:
    said = [one for one in need(body, "messages", list) if isinstance(one, dict)]
    if not said:
        raise Rejected(400, "messages: at least one message is required")
    return said


def _blocks(message: Json) -> list[Json]:
    content = message.get("content")
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _input_tokens(body: Json) -> int:
    total = count(orjson.dumps(body["tools"]).decode()) if body.get("tools") else 0
    total += tokens_of(body.get("system"))
    for message in _messages(body):
        content = message.get("content")
        total += tokens_of(content) if isinstance(content, str) else sum(_block_tokens(b) for b in _blocks(message))
    return max(total, 1)


def _block_tokens(block: Json) -> int:
    kind = block.get("type")
    if kind == "tool_use":
        return count(str(block.get("name"))) + count(orjson.dumps(block.get("input")).decode())
    if kind == "tool_result":
        return tokens_of(block.get("content"))
    return 0 if kind in ("thinking", "redacted_thinking") else tokens_of([block])


def _content(turn: Turn) -> list[Json]:
    blocks: list[Json] = []
    if turn.reasoning:
        blocks.append({"type": "thinking", "thinking": turn.reasoning, "signature": "bW9jaw=="})
    if turn.text:
        blocks.append({"type": "text", "text": turn.text})
    return blocks + [
        {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": _object(call.arguments)}
        for call in turn.calls
    ]


def _id(given: str) -> str:
    return "toolu_" + given.removeprefix("call_")


def _object(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}  # cut off by the caller's limit


def _usage(price: Charge, turn: Turn) -> Json:
    return {
        "input_tokens": price.input_tokens - price.cached_input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": price.cached_input_tokens,
        "output_tokens": turn.tokens,
        "output_tokens_details": {"thinking_tokens": turn.reasoning_tokens},
        "service_tier": "standard",
    }
