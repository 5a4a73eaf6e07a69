"""`/v2/chat`, whole answers; `stream` has the events."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.providers.scripted.cohere.stream import chat_events
from gateway.providers.scripted.openai.fields import charge, need, positive, text_of, tokens_of, tools_of, tools_tokens
from gateway.providers.scripted.scenario import Asked, Charge, Json, Rejected, Reply, json_reply, stream_reply
from gateway.providers.scripted.tokens import count
from gateway.providers.scripted.turn import Ask, Turn, decide

PREAMBLE = 500
"""Tokens of the model's own in front of every prompt: counted, and not billed."""
_FINISH = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR"}
_ROLES = frozenset({"system", "user", "assistant", "tool"})
_FIELDS = frozenset({"model", "messages", "stream", "max_tokens", "stop_sequences", "temperature", "seed", "k", "p"})
_FIELDS |= {"tools", "strict_tools", "tool_choice", "response_format", "frequency_penalty", "presence_penalty"}
_FIELDS |= {"documents", "citation_options", "safety_mode", "logprobs", "thinking", "priority"}


def chat(asked: Asked) -> Reply:
    """One answer, streamed if asked for."""
    ask = _ask(asked)
    turn = decide(ask, asked.script, asked.request.digest)
    streams = bool(asked.body.get("stream"))
    price = charge(asked, _input_tokens(asked.body), stream=streams)
    id_ = asked.request.digest
    closing: Json = {"finish_reason": _FINISH[turn.finish]}
    if not asked.script.no_usage:
        closing["usage"] = _usage(price, turn)
    if streams:
        return stream_reply(chat_events(id_, turn, closing), price)
    return json_reply({"id": id_, "message": _message(turn), **closing}, price, turn.tokens)


def _ask(asked: Asked) -> Ask:
    body = asked.body
    said = [message for message in need(body, "messages", list) if isinstance(message, dict)]
    if not said:
        raise Rejected(400, "invalid request: at least one message is required")
    _refuse_what_the_api_refuses(body, said)
    results = _last_results(said)
    form = body.get("response_format") or {}
    schema = form.get("json_schema") or {"type": "object", "properties": {"echo": {"type": "string"}}}
    return Ask(
        model=need(body, "model", str),
        text="".join(text_of(message.get("content")) for message in results or said[-1:]),
        after_tool=bool(results),
        tools=tools_of(body),
        tool_choice=str(body.get("tool_choice") or "auto").lower(),
        schema=schema if form.get("type") == "json_object" else None,
        limit=positive(body, "max_tokens"),
        stop=tuple(body.get("stop_sequences") or ()),
    )


def _last_results(said: list[Json]) -> list[Json]:
    """What tools answered at the end of the conversation."""
    at = len(said)
    while at and said[at - 1].get("role") == "tool":
        at -= 1
    return said[at:]


def _refuse_what_the_api_refuses(body: Json, said: list[Json]) -> None:
    """The rules that translators trip over. Raises Rejected in the API's words."""
    for name in body:
        if name not in _FIELDS:
            raise Rejected(422, f"unknown field: parameter '{name}' is not a valid field")
    if body.get("tool_choice") not in (None, "REQUIRED", "NONE"):
        raise Rejected(400, "invalid request: tool_choice must be one of REQUIRED, NONE")
    for tool in body.get("tools") or ():
        if not isinstance(tool["function"].get("parameters"), dict):
            raise Rejected(400, "invalid request: tools: parameters must be a JSON schema")
    called: set[str] = set()
    for message in said:
        if message.get("role") not in _ROLES:
            raise Rejected(400, f"invalid request: role '{message.get('role')}' is not supported")
        called.update(call["id"] for call in message.get("tool_calls") or ())
        if message["role"] == "tool" and message.get("tool_call_id") not in called:
            raise Rejected(400, "invalid request: tool message refers to a tool call that was not made")
    if not 0.01 <= body.get("p", 0.75) <= 0.99:
        raise Rejected(400, "invalid request: p must be between 0.01 and 0.99 inclusive.")


def _input_tokens(body: Json) -> int:
    total = tools_tokens(body)
    for message in body["messages"]:
        total += tokens_of(message.get("content")) + count(str(message.get("tool_plan") or ""))
        for call in message.get("tool_calls") or ():
            total += count(call["function"]["name"]) + count(call["function"]["arguments"])
    documents: list[Any] = body.get("documents") or []
    return max(1, total + sum(count(orjson.dumps(document).decode()) for document in documents))


def _message(turn: Turn) -> Json:
    message: Json = {"role": "assistant"}
    blocks = [{"type": kind, kind: text} for kind, text in (("thinking", turn.reasoning), ("text", turn.text)) if text]
    if blocks:
        message["content"] = blocks
    if turn.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.calls
        ]
    return message


def _usage(price: Charge, turn: Turn) -> Json:
    return {
        "billed_units": {"input_tokens": price.input_tokens, "output_tokens": turn.tokens},
        "tokens": {"input_tokens": PREAMBLE + price.input_tokens, "output_tokens": turn.tokens + 2},
        **({"cached_tokens": PREAMBLE + price.cached_input_tokens} if price.cached_input_tokens else {}),
    }
