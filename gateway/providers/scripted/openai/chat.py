"""`/chat/completions`, whole answers; `chat_stream` has the events."""

from __future__ import annotations

from typing import Any

from gateway.providers.scripted.openai.chat_stream import chat_events
from gateway.providers.scripted.openai.fields import (
    charge,
    choices,
    need,
    positive,
    schema_of,
    stops,
    text_of,
    tokens_of,
    tool_choice_of,
    tools_of,
    tools_tokens,
)
from gateway.providers.scripted.openai.usage import chat_usage, logprobs
from gateway.providers.scripted.scenario import Asked, Json, Reply, json_reply, stream_reply
from gateway.providers.scripted.tokens import count
from gateway.providers.scripted.turn import Ask, Turn, decide


def chat(asked: Asked) -> Reply:
    """One chat completion, streamed if asked for."""
    body, script = asked.body, asked.script
    ask = _ask(asked)
    turns = [decide(ask, script, asked.request.digest, index) for index in range(choices(asked, count(ask.text)))]
    streams = bool(body.get("stream"))
    price = charge(asked, _input_tokens(body), stream=streams)
    usage = None if script.no_usage else chat_usage(price, turns)
    if streams:
        return stream_reply(chat_events(asked, turns, usage), price)
    answer: Json = {
        "id": f"chatcmpl-{asked.request.digest[:24]}",
        "object": "chat.completion",
        "created": asked.request.created,
        "model": asked.model,
        "choices": [_choice(index, turn, body) for index, turn in enumerate(turns)],
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    }
    if usage:
        answer["usage"] = usage
    return json_reply(answer, price, sum(turn.tokens for turn in turns))


def _ask(asked: Asked) -> Ask:
    body = asked.body
    messages = _messages(body)
    last = messages[-1]
    after_tool = last.get("role") == "tool"
    spoken = last if after_tool else next((one for one in reversed(messages) if one.get("role") == "user"), last)
    return Ask(
        model=need(body, "model", str),
        text=text_of(spoken.get("content")),
        after_tool=after_tool,
        tools=tools_of(body),
        tool_choice=tool_choice_of(body),
        parallel=body.get("parallel_tool_calls") is not False,
        schema=schema_of(body.get("response_format")),
        limit=positive(body, "max_completion_tokens", "max_tokens"),
        stop=stops(body),
    )


def _messages(body: Json) -> list[Json]:
    messages = [one for one in need(body, "messages", list) if isinstance(one, dict)]
    if not messages:
        need({}, "messages", list)
    return messages


def _input_tokens(body: Json) -> int:
    total = tools_tokens(body)
    for message in _messages(body):
        total += tokens_of(message.get("content"))
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            total += tokens_of(function.get("name")) + tokens_of(function.get("arguments"))
    return max(total, 1)


def _choice(index: int, turn: Turn, body: Json) -> Json:
    message: Json = {"role": "assistant", "content": None if turn.calls else turn.text, "refusal": None}
    if turn.reasoning:
        message["reasoning_content"] = turn.reasoning
    if turn.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.calls
        ]
    probable: Any = logprobs(turn.text) if body.get("logprobs") else None
    return {"index": index, "message": message, "logprobs": probable, "finish_reason": turn.finish}
