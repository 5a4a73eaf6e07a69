"""A stream of ConverseStream, event by event. The counts come last, after the model's stop reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from gateway.errors import UpstreamBadEvent, UpstreamServerError
from gateway.providers.amazon.eventstream import FAILED
from gateway.providers.chat.events import (
    Annotations,
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
from gateway.providers.converse.citations import Citation, annotation_of
from gateway.providers.converse.errors import error_in_stream
from gateway.providers.converse.names import function_of
from gateway.providers.converse.reply import SERVERS_OWN, ServiceTier, ToolUse, WireUsage, finish_of, thought
from gateway.types import Call

MAX_THOUGHT = 4 << 20
"""Characters of one block of reasoning that are kept to be given back; a longer one is only shown."""
MAX_THOUGHTS = 256
"""Blocks of reasoning that are open at once: nobody means more."""
_NOTHING: tuple[Event, ...] = ()


class _Start(msgspec.Struct, gc=False, rename="camel"):
    tool_use: ToolUse | None = None


class _Input(msgspec.Struct, gc=False):
    input: str = ""


class _Reasoning(msgspec.Struct, gc=False, rename="camel"):
    text: str = ""
    signature: str = ""
    redacted_content: str = ""


class _Delta(msgspec.Struct, gc=False, rename="camel"):
    text: str | None = None
    tool_use: _Input | None = None
    reasoning_content: _Reasoning | None = None
    citation: Citation | None = None


class _Block(msgspec.Struct, gc=False, rename="camel"):
    """`contentBlockStart`, `contentBlockDelta`, `contentBlockStop`."""

    content_block_index: int = 0
    start: _Start | None = None
    delta: _Delta | None = None


class _Stop(msgspec.Struct, gc=False, rename="camel"):
    stop_reason: str = ""


class _Metadata(msgspec.Struct, gc=False, rename="camel"):
    usage: WireUsage | None = None
    service_tier: ServiceTier | None = None


class _Thought:
    """A block of reasoning as far as it came."""

    __slots__ = ("redacted", "signature", "size", "texts")

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.signature = ""
        self.redacted = ""
        self.size = 0


_BLOCK = msgspec.json.Decoder(_Block)
_STOP = msgspec.json.Decoder(_Stop)
_METADATA = msgspec.json.Decoder(_Metadata)


class ConverseStream:
    """One answer. Implements `gateway.providers.chat.stream.NativeStream`."""

    __slots__ = ("_call", "_calls", "_said", "_spoken", "_thoughts")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._calls: set[int] = set()
        """Blocks that are calls for the client, and not over."""
        self._thoughts: dict[int, _Thought] = {}
        self._said = 0
        self._spoken = (-1, 0)
        """The block of text that was told last, and where in the answer it begins: citations are for it."""

    def read(self, name: bytes, data: bytes) -> Iterable[Event]:
        """See `NativeStream`."""
        reader = _READERS.get(name)
        if reader is not None:
            return reader(self, data)
        if name.startswith(FAILED):
            return (StreamError(error_in_stream(name[1:].decode("latin-1"), data)),)
        return _NOTHING

    def _begin(self, data: bytes) -> Iterable[Event]:
        return (Begin(),)

    def _start(self, data: bytes) -> Iterable[Event]:
        event = _BLOCK.decode(data)
        used = event.start.tool_use if event.start is not None else None
        if used is None or used.type == SERVERS_OWN:
            return _NOTHING
        index = event.content_block_index
        self._calls.add(index)
        return (ToolCallStart(index, used.tool_use_id, function_of(used.name, self._call)),)

    def _delta(self, data: bytes) -> Iterable[Event]:
        event = _BLOCK.decode(data)
        delta, index = event.delta, event.content_block_index
        if delta is None:
            return _NOTHING
        if delta.text is not None:
            if self._spoken[0] != index:
                self._spoken = (index, self._said)
            self._said += len(delta.text)
            return (TextDelta(delta.text),)
        if delta.tool_use is not None:
            return (ToolCallDelta(index, delta.tool_use.input),) if index in self._calls else _NOTHING
        if delta.reasoning_content is not None:
            return self._reason(index, delta.reasoning_content)
        if delta.citation is not None:
            annotation = annotation_of(delta.citation, self._spoken[1], self._said)
            return (Annotations([annotation]),) if annotation is not None else _NOTHING
        return _NOTHING

    def _reason(self, index: int, delta: _Reasoning) -> Iterable[Event]:
        if len(self._thoughts) > MAX_THOUGHTS:
            raise UpstreamBadEvent
        kept = self._thoughts.setdefault(index, _Thought())
        kept.size += len(delta.text) + len(delta.signature) + len(delta.redacted_content)
        if kept.size <= MAX_THOUGHT:
            kept.texts.append(delta.text)
            kept.signature += delta.signature
            kept.redacted += delta.redacted_content
        else:
            kept.texts.clear()
            kept.signature = kept.redacted = ""
        # Its text may stay hidden, and the client would wait for a minute without a byte.
        return (ReasoningDelta(delta.text),) if delta.text else (Working(),)

    def _stop(self, data: bytes) -> Iterable[Event]:
        index = _BLOCK.decode(data).content_block_index
        if index in self._calls:
            self._calls.discard(index)
            return (ToolCallEnd(index),)
        kept = self._thoughts.pop(index, None)
        block = thought("".join(kept.texts), kept.signature, kept.redacted) if kept is not None else None
        return (ReasoningBlock(block),) if block is not None else _NOTHING

    def _finish(self, data: bytes) -> Iterable[Event]:
        try:
            return (Finish(finish_of(_STOP.decode(data).stop_reason)),)
        except UpstreamServerError as error:
            return (StreamError(error),)

    def _metadata(self, data: bytes) -> Iterable[Event]:
        told = _METADATA.decode(data)
        counted = told.usage.counted(told.service_tier) if told.usage is not None else None
        return (Done(),) if counted is None else (UsageUpdate(counted), Done())


_READERS: dict[bytes, Callable[[ConverseStream, bytes], Iterable[Event]]] = {
    b"messageStart": ConverseStream._begin,
    b"contentBlockStart": ConverseStream._start,
    b"contentBlockDelta": ConverseStream._delta,
    b"contentBlockStop": ConverseStream._stop,
    b"messageStop": ConverseStream._finish,
    b"metadata": ConverseStream._metadata,
}
