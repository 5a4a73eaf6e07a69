"""A provider that is another framework: whatever models PydanticAI can reach, behind OpenAI's API.

A model's name here is PydanticAI's, such as `openai:gpt-4o` or `bedrock:…`; `test` is its model for tests. It carries
text; what else a conversation may hold is refused, so that nothing is lost silently.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    SystemPromptPart,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)
from pydantic_ai.settings import ModelSettings

from gateway.errors import UnsupportedParameter
from gateway.ports import LocalAnswer, LocalRequest
from gateway.providers.wire.openai import OpenAIDialect
from gateway.types import Service

_CARRIED = frozenset({"model", "messages", "stream", "stream_options", "temperature", "top_p", "seed", "user"})
_CAPS = ("max_completion_tokens", "max_tokens")


class PydanticAIDialect(OpenAIDialect):
    """OpenAI's API on the outside; `answer` in place of a server."""

    def __init__(self) -> None:
        super().__init__("pydantic_ai", services=frozenset({Service.CHAT}))

    async def answer(self, request: LocalRequest) -> LocalAnswer:
        """One chat completion, whole or streamed."""
        asked = json.loads(request.body)
        history, settings = _history(asked), _settings(asked)
        if asked.get("stream"):
            return LocalAnswer(_events(asked["model"], history, settings), "text/event-stream")
        reply = await model_request(asked["model"], history, model_settings=settings)
        text = "".join(part.content for part in reply.parts if isinstance(part, TextPart))
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        whole = {**_frame("chat.completion", asked["model"]), "choices": [choice], "usage": _usage(reply.usage)}
        return LocalAnswer(json.dumps(whole).encode())


def _history(asked: dict[str, Any]) -> list[ModelMessage]:
    for name in asked.keys() - _CARRIED - {*_CAPS}:
        raise UnsupportedParameter(f"`{name}` is not carried by this provider.", param=name)
    history: list[ModelMessage] = []
    for at, message in enumerate(asked["messages"]):
        role, content = message["role"], message.get("content")
        if not isinstance(content, str) or role not in ("system", "developer", "user", "assistant"):
            raise UnsupportedParameter("This provider carries text only.", param=f"messages[{at}]")
        if role == "assistant":
            history.append(ModelResponse(parts=[TextPart(content)]))
        elif role == "user":
            history.append(ModelRequest(parts=[UserPromptPart(content)]))
        else:
            history.append(ModelRequest(parts=[SystemPromptPart(content)]))
    return history


def _settings(asked: dict[str, Any]) -> ModelSettings:
    settings = ModelSettings()
    cap = next((asked[name] for name in _CAPS if asked.get(name) is not None), None)
    if cap is not None:
        settings["max_tokens"] = cap
    if asked.get("temperature") is not None:
        settings["temperature"] = asked["temperature"]
    if asked.get("top_p") is not None:
        settings["top_p"] = asked["top_p"]
    if asked.get("seed") is not None:
        settings["seed"] = asked["seed"]
    return settings


async def _events(model: str, history: list[ModelMessage], settings: ModelSettings) -> AsyncIterator[bytes]:
    frame = _frame("chat.completion.chunk", model)
    yield _event({**frame, "choices": [_delta({"role": "assistant", "content": ""})]})
    async with model_request_stream(model, history, model_settings=settings) as stream:
        async for event in stream:
            text = ""
            if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                text = event.part.content
            elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                text = event.delta.content_delta
            if text:
                yield _event({**frame, "choices": [_delta({"content": text})]})
        yield _event({**frame, "choices": [_delta({}, "stop")]})
        yield _event({**frame, "choices": [], "usage": _usage(stream.get().usage)})
    yield b"data: [DONE]\n\n"


def _delta(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": finish}


def _frame(kind: str, model: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def _usage(usage: Any) -> dict[str, int]:
    tokens = {"prompt_tokens": usage.input_tokens, "completion_tokens": usage.output_tokens}
    return {**tokens, "total_tokens": usage.input_tokens + usage.output_tokens}


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


DIALECT = PydanticAIDialect()
