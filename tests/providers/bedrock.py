"""Shorthand for tests of Bedrock: bodies as Converse gets them, streams as it sends them."""

from __future__ import annotations

from typing import Any

from tests.support.eventstream import event
from tests.support.translated import USER, Translated

from .contract.said import Read

CLAUDE = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
NEWER, OLDER = "global.anthropic.claude-opus-4-8", "anthropic.claude-3-haiku-20240307-v1:0"
NOVA, NOVA_2, LLAMA = "eu.amazon.nova-lite-v1:0", "us.amazon.nova-2-lite-v1:0", "us.meta.llama3-3-70b-instruct-v1:0"
QWEN, DEEPSEEK, OSS = "qwen.qwen3-32b-v1:0", "us.deepseek.r1-v1:0", "openai.gpt-oss-120b-1:0"
TITAN = "amazon.titan-text-express-v1"
PROFILE = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc123"
BEDROCK = Translated("bedrock", "https://bedrock-runtime.eu-west-1.amazonaws.com", CLAUDE, {"region": "eu-west-1"})
__all__ = ["USER"]


def sent(model: str = "", unsupported: str = "error", **fields: Any) -> dict[str, Any]:
    """The native body of a chat; `messages` is a user's `hi` unless given."""
    body: dict[str, Any] = BEDROCK.chat(*fields.pop("messages", ()), model=model, unsupported=unsupported, **fields)
    return body


def talk(*messages: dict[str, Any], model: str = "", **fields: Any) -> list[dict[str, Any]]:
    """The native messages of a conversation."""
    found: list[dict[str, Any]] = sent(model, messages=list(messages), **fields)["messages"]
    return found


def decoded(*content: dict[str, Any], stop: str = "end_turn", asked: dict[str, Any] | None = None) -> Read:
    """What a client reads of a whole answer with these blocks."""
    body = {"output": {"message": {"role": "assistant", "content": list(content)}}, "stopReason": stop}
    return BEDROCK.whole(body, **(asked or {}))


BEGIN = event("messageStart", role="assistant")
USAGE = event("metadata", usage={"inputTokens": 5, "outputTokens": 3, "totalTokens": 8}, metrics={"latencyMs": 1})


def delta(index: int = 0, **fields: Any) -> bytes:
    return event("contentBlockDelta", contentBlockIndex=index, delta=fields)


def call(index: int, name: str, *pieces: str, id_: str = "tooluse_1") -> bytes:
    """The events of one call."""
    start = event("contentBlockStart", contentBlockIndex=index, start={"toolUse": {"toolUseId": id_, "name": name}})
    return start + b"".join(delta(index, toolUse={"input": piece}) for piece in pieces) + stop(index)


def stop(index: int = 0) -> bytes:
    return event("contentBlockStop", contentBlockIndex=index)


def finish(reason: str = "end_turn") -> bytes:
    return event("messageStop", stopReason=reason)


def streamed(*frames: bytes, asked: dict[str, Any] | None = None) -> Read:
    """What a client reads of a stream with these events, its beginning and its counts around them."""
    return BEDROCK.streamed(BEGIN, *frames, USAGE, **(asked or {}))
