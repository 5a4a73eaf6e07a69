"""A stream of the Messages API, event by event."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.providers.chat.events import (
    Alive,
    Begin,
    Done,
    Event,
    Finish,
    ReasoningBlock,
    ReasoningDelta,
    StreamError,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageUpdate,
    Working,
)
from gateway.providers.messages.reply import FINISH, Block, Message, WireUsage, thought
from gateway.providers.wire.errors import error_from_event

MAX_THOUGHT = 4 << 20
"""Characters of one block of thinking that are kept to be given back; a longer one is only shown."""


class _Delta(msgspec.Struct, gc=False):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""
    signature: str = ""
    stop_reason: str | None = None


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    index: int = 0
    delta: _Delta | None = None
    content_block: Block | None = None
    message: Message | None = None
    usage: WireUsage | None = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_NOTHING: tuple[Event, ...] = ()
_ALIVE = (Alive(),)


class MessageStream:
    """One answer. Implements `gateway.providers.chat.stream.NativeStream`."""

    __slots__ = ("_calls", "_kept", "_thoughts", "_usage")

    def __init__(self) -> None:
        self._usage = WireUsage()
        self._calls: set[int] = set()
        """Blocks that are calls of the client's tools, and open; the provider's own tools are its own business."""
        self._thoughts: dict[int, Block] = {}
        self._kept = 0

    def read(self, name: bytes, data: bytes) -> Iterable[Event]:
        """See `NativeStream`. The name is repeated in the data."""
        event = _EVENT.decode(data)
        kind = event.type
        if kind == "content_block_delta" and event.delta is not None:
            return self._delta(event.index, event.delta)
        if kind == "content_block_start" and event.content_block is not None:
            return self._start(event.index, event.content_block)
        if kind == "content_block_stop":
            return self._stop(event.index)
        if kind == "message_start" and event.message is not None:
            return (Begin(event.message.id), *self._count(event.message.usage, whole=False))
        if kind == "message_delta":
            return self._message(event)
        if kind == "message_stop":
            return (Done(),)
        if kind == "ping":
            return _ALIVE
        if kind == "error" or event.error:
            return (StreamError(error_from_event(event.error or {})),)
        return _NOTHING

    def _start(self, index: int, block: Block) -> Iterable[Event]:
        if block.type == "tool_use":
            self._calls.add(index)
            given = bytes(block.input)
            return (ToolCallStart(index, block.id, block.name, "" if given in (b"{}", b"null") else given.decode()),)
        if block.type == "text":
            return (TextDelta(block.text),) if block.text else _NOTHING
        if block.type in ("thinking", "redacted_thinking"):
            self._thoughts[index] = block
            # Its text may stay hidden, and the client would wait for a minute without a byte.
            return (Working(), ReasoningDelta(block.thinking))
        return _NOTHING

    def _delta(self, index: int, delta: _Delta) -> Iterable[Event]:
        kind = delta.type
        if kind == "text_delta":
            return (TextDelta(delta.text),)
        if kind == "input_json_delta":
            return (ToolCallDelta(index, delta.partial_json),) if index in self._calls else _NOTHING
        if kind == "thinking_delta":
            self._keep(index, delta.thinking)
            return (ReasoningDelta(delta.thinking),)
        if kind == "signature_delta" and index in self._thoughts:
            self._thoughts[index].signature += delta.signature
        return _NOTHING

    def _keep(self, index: int, text: str) -> None:
        block = self._thoughts.get(index)
        if block is None:
            return
        self._kept += len(text)
        if self._kept > MAX_THOUGHT:
            del self._thoughts[index]
        else:
            block.thinking += text

    def _stop(self, index: int) -> Iterable[Event]:
        if index in self._calls:
            self._calls.discard(index)
            return (ToolCallEnd(index),)
        block = self._thoughts.pop(index, None)
        return _NOTHING if block is None else (ReasoningBlock(thought(block)),)

    def _message(self, event: _Event) -> Iterable[Event]:
        reason = event.delta.stop_reason if event.delta is not None else None
        finish = _NOTHING if reason is None else (Finish(FINISH.get(reason, "stop")),)
        return (*self._count(event.usage, whole=True), *finish)

    def _count(self, usage: WireUsage | None, *, whole: bool) -> Iterable[Event]:
        if usage is None:
            return _NOTHING
        self._usage.update(usage)
        return (UsageUpdate(self._usage.counted(), whole),)
