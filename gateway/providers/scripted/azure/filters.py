"""What Azure's filters say of chats: before the answer, beside it, or in its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from gateway.providers.scripted.openai.fields import text_of
from gateway.providers.scripted.scenario import Asked, Handler, Json, Rejected, Reply, Send, event

WORD = "content-filter"
"""A prompt that holds it is refused."""
_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_PROMPT = [{"prompt_index": 0, "content_filter_results": _SAFE}]
_NOTHING_YET = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": _PROMPT}


def filtered(handler: Handler) -> Handler:
    """The same chat, looked at by the filters."""

    def serve(asked: Asked) -> Reply:
        if any(WORD in text_of(one.get("content")) for one in _messages(asked)):
            raise Rejected(
                400,
                "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
                code="content_filter",
            )
        reply = handler(asked)
        if reply.stream:
            return replace(reply, frames=(event(_NOTHING_YET), *map(_marked, reply.frames)))
        (frame,) = reply.frames
        body: Json = {**_with_results(orjson.loads(frame.data)), "prompt_filter_results": _PROMPT}
        return replace(reply, frames=(replace(frame, data=orjson.dumps(body)),))

    return serve


def _messages(asked: Asked) -> list[Json]:
    messages: Any = asked.body.get("messages")
    return [one for one in messages if isinstance(one, dict)] if isinstance(messages, list) else []


def _marked(frame: Send) -> Send:
    if not frame.data.startswith(b"data: {"):
        return frame
    return replace(event(_with_results(orjson.loads(frame.data[6:])), frame.tokens), last=frame.last)


def _with_results(body: Json) -> Json:
    return {**body, "choices": [{**choice, "content_filter_results": _SAFE} for choice in body["choices"]]}
