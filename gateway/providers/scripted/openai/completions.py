"""`/completions`: the older text API."""

from __future__ import annotations

from typing import Any

from gateway.providers.scripted.openai.chat_stream import interleave
from gateway.providers.scripted.openai.fields import charge, choices, need, positive, stops
from gateway.providers.scripted.openai.usage import chat_usage
from gateway.providers.scripted.scenario import DONE, Asked, Json, Reply, Send, event, json_reply, stream_reply
from gateway.providers.scripted.tokens import count, pieces
from gateway.providers.scripted.turn import Ask, Turn, decide


def completions(asked: Asked) -> Reply:
    """`n` choices for every prompt, streamed if asked for."""
    body, script = asked.body, asked.script
    prompts = prompts_of(need(body, "prompt", (str, list)))
    spoken = sum(tokens for _, tokens in prompts)
    number = choices(asked, spoken, len(prompts))
    turns = [
        decide(_ask(asked, prompt), script, asked.request.digest, index)
        for prompt, _ in prompts
        for index in range(number)
    ]
    streams = bool(body.get("stream"))
    price = charge(asked, max(1, spoken), stream=streams)
    usage = None if script.no_usage else chat_usage(price, turns)
    base: Json = {
        "id": f"cmpl-{asked.request.digest[:24]}",
        "object": "text_completion",
        "created": asked.request.created,
        "model": asked.model,
    }
    if streams:
        return stream_reply(_events(asked, base, turns, usage), price)
    listed = [_choice(index, turn.text, turn.finish) for index, turn in enumerate(turns)]
    answer = {**base, "choices": listed, **({"usage": usage} if usage else {})}
    return json_reply(answer, price, sum(turn.tokens for turn in turns))


def prompts_of(value: Any) -> list[tuple[str, int]]:
    """Text and token count of every prompt or input: a string, strings, token ids, or lists of them."""
    if isinstance(value, str):
        return [(value, count(value))]
    if value and all(isinstance(item, int) for item in value):
        return [(" ".join(map(str, value)), len(value))]
    return [one for item in value if isinstance(item, str | list) for one in prompts_of(item)]


def _ask(asked: Asked, prompt: str) -> Ask:
    body = asked.body
    return Ask(need(body, "model", str), prompt, limit=positive(body, "max_tokens"), stop=stops(body))


def _choice(index: int, text: str, finish: str | None) -> Json:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def _events(asked: Asked, base: Json, turns: list[Turn], usage: Json | None) -> list[Send]:
    options = asked.body.get("stream_options")
    include = isinstance(options, dict) and bool(options.get("include_usage")) and usage is not None
    tail: Json = {"usage": None} if include else {}
    rows = [
        iter([*((_choice(at, piece, None), 1) for piece in pieces(turn.text)), (_choice(at, "", turn.finish), 0)])
        for at, turn in enumerate(turns)
    ]
    frames = [event({**base, "choices": [choice], **tail}, tokens) for choice, tokens in interleave(rows)]
    if include:
        frames.append(event({**base, "choices": [], "usage": usage}))
    return [*frames, DONE]
