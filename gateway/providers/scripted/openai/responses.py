"""`/responses`: items instead of messages, named events instead of chunks."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.providers.scripted.openai.fields import (
    charge,
    choices,
    need,
    positive,
    schema_of,
    text_of,
    tokens_of,
    tool_choice_of,
    tools_of,
    tools_tokens,
)
from gateway.providers.scripted.openai.responses_stream import response_events
from gateway.providers.scripted.openai.usage import responses_usage
from gateway.providers.scripted.scenario import Asked, Json, Reply, json_reply, stream_reply
from gateway.providers.scripted.tokens import count
from gateway.providers.scripted.turn import Ask, Turn, decide


def responses(asked: Asked) -> Reply:
    """One response, streamed if asked for."""
    body = asked.body
    ask = _ask(asked)
    choices(asked, count(ask.text))
    turn = decide(ask, asked.script, asked.request.digest)
    price = charge(asked, _input_tokens(body), stream=bool(body.get("stream")))
    answer = _response(asked, turn)
    if not asked.script.no_usage:
        answer["usage"] = responses_usage(price, turn)
    if price.stream:
        return stream_reply(response_events(answer, turn), price)
    return json_reply(answer, price, turn.tokens)


def _items(body: Json) -> list[Json]:
    given = need(body, "input", (str, list))
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [item for item in given if isinstance(item, dict)]


def _ask(asked: Asked) -> Ask:
    body = asked.body
    items = _items(body)
    last = items[-1] if items else {}
    after_tool = last.get("type") == "function_call_output"
    user = next((item for item in reversed(items) if item.get("role") == "user"), {})
    text = _said(last.get("output")) if after_tool else text_of(user.get("content"))
    form = body.get("text")
    return Ask(
        model=need(body, "model", str),
        text=text,
        after_tool=after_tool,
        tools=tools_of(body),
        tool_choice=tool_choice_of(body),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=schema_of(form.get("format")) if isinstance(form, dict) else None,
        limit=positive(body, "max_output_tokens"),
    )


def _said(output: Any) -> str:
    return output if isinstance(output, str) else text_of(output)


def _input_tokens(body: Json) -> int:
    total = tools_tokens(body) + tokens_of(body.get("instructions"))
    for item in _items(body):
        total += tokens_of(item.get("content"))
        for name in ("name", "arguments", "output"):
            value = item.get(name)
            total += count(value if isinstance(value, str) else orjson.dumps(value).decode()) if value else 0
    return max(total, 1)


def _response(asked: Asked, turn: Turn) -> Json:
    body = asked.body
    short = turn.finish in {"length", "content_filter"}
    reason = "max_output_tokens" if turn.finish == "length" else "content_filter"
    return {
        "id": f"resp_{asked.request.digest}",
        "object": "response",
        "created_at": asked.request.created,
        "status": "incomplete" if short else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if short else None,
        "instructions": body.get("instructions"),
        "metadata": body.get("metadata") or {},
        "model": asked.model,
        "output": _output(asked.request.digest, turn),
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "temperature": body.get("temperature", 1.0),
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "max_output_tokens": body.get("max_output_tokens"),
        "previous_response_id": body.get("previous_response_id"),
        "store": False,
        "text": body.get("text") or {"format": {"type": "text"}},
        "truncation": "disabled",
    }


def _output(digest: str, turn: Turn) -> list[Json]:
    items: list[Json] = []
    if turn.reasoning:
        summary = [{"type": "summary_text", "text": turn.reasoning}]
        items.append({"id": f"rs_{digest}", "type": "reasoning", "summary": summary})
    for number, call in enumerate(turn.calls):
        items.append(
            {
                "id": f"fc_{digest}{number}",
                "type": "function_call",
                "status": "completed",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
        )
    if not turn.calls:
        content = [{"type": "output_text", "text": turn.text, "annotations": [], "logprobs": []}]
        status = "completed" if turn.finish == "stop" else "incomplete"
        message = {"id": f"msg_{digest}", "type": "message", "status": status, "role": "assistant", "content": content}
        items.append(message)
    return items
