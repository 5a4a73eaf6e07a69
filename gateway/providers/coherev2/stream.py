"""A stream of `/v2/chat`, event by event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.providers.chat.events import (
    Annotations,
    Begin,
    Done,
    Event,
    Finish,
    Logprobs,
    ReasoningDelta,
    StreamError,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageUpdate,
)
from gateway.providers.coherev2.errors import failure_of
from gateway.providers.coherev2.reply import (
    FAILED,
    FINISH,
    NULL,
    Citation,
    Content,
    LogprobItem,
    ToolCall,
    annotations_of,
    logprobs_of,
)
from gateway.providers.coherev2.usage import WireUsage


class _Message(msgspec.Struct, gc=False):
    """What is new; the opening event has lists where others have one object."""

    content: Content | list[Any] | None = None
    tool_plan: str | None = None
    tool_calls: ToolCall | list[Any] | None = None
    citations: Citation | list[Any] | None = None


class _Delta(msgspec.Struct, gc=False):
    message: _Message | None = None
    finish_reason: str | None = None
    usage: WireUsage | None = None
    error: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    id: str | None = None
    index: int = 0
    delta: _Delta | None = None
    logprobs: LogprobItem | None = None


_EVENT = msgspec.json.Decoder(_Event)
_NOTHING: tuple[Event, ...] = ()
_END = b"[DONE]"


class ChatStream:
    """One answer. Implements `gateway.providers.chat.stream.NativeStream`."""

    __slots__ = ("_silent",)

    def __init__(self) -> None:
        self._silent: set[int] = set()
        """Calls that were begun and have no arguments yet."""

    def read(self, name: bytes, data: bytes) -> Iterable[Event]:
        """See `NativeStream`. The name is repeated in the data."""
        if data == _END:
            return _NOTHING
        event = _EVENT.decode(data)
        kind, delta = event.type, event.delta
        message = delta.message if delta is not None else None
        if kind in ("content-delta", "content-start"):
            return _content(message.content, event.logprobs) if message is not None else _NOTHING
        if kind == "message-start":
            return (Begin(event.id or ""),)
        if kind == "tool-plan-delta":
            return (ReasoningDelta(message.tool_plan or ""),) if message is not None else _NOTHING
        if kind in ("tool-call-start", "tool-call-delta"):
            call = message.tool_calls if message is not None else None
            return self._called(kind, event.index, call) if isinstance(call, ToolCall) else _NOTHING
        if kind == "tool-call-end":
            return (ToolCallEnd(event.index),)
        if kind == "citation-start":
            cited = message.citations if message is not None else None
            return (Annotations(annotations_of(cited)),) if isinstance(cited, Citation) else _NOTHING
        if kind == "message-end" and delta is not None:
            return _ending(delta)
        return _NOTHING

    def _called(self, kind: str, index: int, call: ToolCall) -> Iterable[Event]:
        function = call.function
        given = (function.arguments or "") if function is not None else ""
        if kind == "tool-call-start":
            self._silent.add(index)
            begun = ToolCallStart(index, call.id, function.name if function is not None else "")
            return (begun, *self._arguments(index, given))
        return self._arguments(index, given)

    def _arguments(self, index: int, given: str) -> Iterable[Event]:
        if index in self._silent:
            if given in ("", NULL):
                return _NOTHING
            self._silent.discard(index)
        return (ToolCallDelta(index, given),)


def _content(content: Content | list[Any] | None, likelihood: LogprobItem | None) -> Iterable[Event]:
    if not isinstance(content, Content):
        return _NOTHING
    if not content.text:
        return (ReasoningDelta(content.thinking),) if content.thinking else _NOTHING
    if likelihood is None:
        return (TextDelta(content.text),)
    return (TextDelta(content.text), Logprobs(logprobs_of([likelihood])))


def _ending(delta: _Delta) -> Iterable[Event]:
    reason = delta.finish_reason
    if reason in FAILED or delta.error:
        return (StreamError(failure_of(str(reason), delta.error)),)
    counted = delta.usage.counted() if delta.usage is not None else None
    told = _NOTHING if counted is None else (UsageUpdate(counted),)
    finish = _NOTHING if reason is None else (Finish(FINISH.get(reason, "stop")),)
    return (*told, *finish, Done())
