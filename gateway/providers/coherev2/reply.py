"""A whole answer of `/v2/chat`, and what its stream shares."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.errors import UpstreamBadResponse
from gateway.providers.chat.replies import Called, ChatReply, Choice
from gateway.providers.coherev2.errors import failure_of
from gateway.providers.coherev2.usage import WireUsage

FINISH = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}
"""OpenAI's word for each finish reason; an unknown one is `stop`."""
FAILED = frozenset({"ERROR", "TIMEOUT"})
NULL = "null"
"""What some models write for no arguments."""


class Function(msgspec.Struct, gc=False):
    name: str = ""
    arguments: str | None = ""


class ToolCall(msgspec.Struct, gc=False):
    id: str = ""
    function: Function | None = None


class Content(msgspec.Struct, gc=False):
    """A block: `text` or `thinking`, whichever is there."""

    text: str | None = None
    thinking: str | None = None


class Source(msgspec.Struct, gc=False):
    type: str = ""
    id: str = ""
    document: Any = None


class Citation(msgspec.Struct, gc=False):
    """What part of the text goes back to which sources."""

    start: int = 0
    end: int = 0
    sources: list[Source] = []


class LogprobItem(msgspec.Struct, gc=False):
    text: str = ""
    logprobs: list[float] | None = None


class Message(msgspec.Struct, gc=False):
    content: list[Content] | None = None
    tool_plan: str | None = None
    tool_calls: list[ToolCall] | None = None
    citations: list[Citation] | None = None


class Reply(msgspec.Struct, gc=False):
    id: str = ""
    message: Message | None = None
    finish_reason: str | None = None
    usage: WireUsage | None = None
    logprobs: list[LogprobItem] | None = None


_REPLY = msgspec.json.Decoder(Reply)


def read_reply(body: bytes) -> ChatReply:
    """Raises UpstreamBadResponse, the failure that a finish reason tells, or what decoding raises."""
    reply = _REPLY.decode(body)
    message, reason = reply.message, reply.finish_reason
    if reason in FAILED:
        raise failure_of(str(reason), None)
    if message is None or reason is None:
        raise UpstreamBadResponse
    content = message.content or []
    choice = Choice(
        FINISH.get(reason, "stop"),
        "".join(block.text or "" for block in content),
        [called(call) for call in message.tool_calls or ()],
        "".join(block.thinking or "" for block in content) + (message.tool_plan or ""),
        annotations=[note for citation in message.citations or () for note in annotations_of(citation)],
    )
    if reply.logprobs:
        choice.logprobs = logprobs_of(reply.logprobs)
    return ChatReply([choice], reply.usage.counted() if reply.usage is not None else None, reply.id)


def called(call: ToolCall) -> Called:
    """Raises UpstreamBadResponse for a call of nothing."""
    if call.function is None:
        raise UpstreamBadResponse
    arguments = call.function.arguments or ""
    return Called(call.id, call.function.name, "" if arguments == NULL else arguments)


def annotations_of(citation: Citation) -> list[dict[str, Any]]:
    """OpenAI's `url_citation` for each document that is cited: its `url` where it has one, else its id. Results of
    tools are not cited: the caller sent them."""
    found: list[dict[str, Any]] = []
    for source in citation.sources:
        if source.type != "document":
            continue
        document = source.document if isinstance(source.document, dict) else {}
        cited = {
            "start_index": citation.start,
            "end_index": citation.end,
            "title": str(document.get("title") or source.id),
            "url": str(document.get("url") or source.id),
        }
        found.append({"type": "url_citation", "url_citation": cited})
    return found


def logprobs_of(items: list[LogprobItem]) -> dict[str, Any]:
    """OpenAI's `logprobs` of a choice. A piece of text may be several tokens: it is as likely as all of them."""
    return {
        "content": [
            {
                "token": item.text,
                "logprob": sum(item.logprobs or ()),
                "bytes": list(item.text.encode()),
                "top_logprobs": [],
            }
            for item in items
        ],
        "refusal": None,
    }
