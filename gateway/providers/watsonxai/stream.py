"""A stream of a chat: named events of OpenAI's chunks, the counts in the last one; the end of the body is its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from gateway.errors import UpstreamServerError
from gateway.providers.chat.events import (
    Begin,
    Done,
    Event,
    Finish,
    Logprobs,
    ReasoningDelta,
    RefusalDelta,
    StreamError,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageUpdate,
)
from gateway.providers.watsonxai.errors import error_in_stream
from gateway.providers.watsonxai.reply import Message, ToolCall, finish_of
from gateway.providers.wire.usage import WireUsage


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: Message | None = None
    finish_reason: str | None = None
    logprobs: dict[str, Any] | None = None


class _Chunk(msgspec.Struct, gc=False):
    id: str = ""
    choices: list[_Choice] | None = None
    usage: WireUsage | None = None
    errors: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_END = b"[DONE]"


class ChunkReader:
    """One answer. Implements `gateway.providers.chat.stream.NativeStream`."""

    __slots__ = ("_begun", "_calls")

    def __init__(self) -> None:
        self._begun = False
        self._calls: dict[tuple[int, int], tuple[str, str]] = {}
        """By choice and index: the key of the call that is told there now, and its id."""

    def read(self, name: bytes, data: bytes) -> Iterable[Event]:
        """See `NativeStream`."""
        if data == _END:
            return (Done(),)
        if name == b"error":
            return (StreamError(error_in_stream(data)),)
        chunk = _CHUNK.decode(data)
        if chunk.errors:
            return (StreamError(error_in_stream(data)),)
        events: list[Event] = []
        if not self._begun:
            self._begun = True
            events.append(Begin(chunk.id))
        if chunk.usage is not None and (counted := chunk.usage.counted()) is not None:
            # Counts that grow with the answer are told before it is over, too.
            events.append(UsageUpdate(counted, not chunk.choices or chunk.choices[0].finish_reason is not None))
        for choice in chunk.choices or ():
            self._choice(events, choice)
        return events

    def _choice(self, events: list[Event], choice: _Choice) -> None:
        delta, index = choice.delta, choice.index
        if delta is not None:
            if delta.reasoning_content:
                events.append(ReasoningDelta(delta.reasoning_content, index))
            if delta.content:
                events.append(TextDelta(delta.content, index))
            if delta.refusal:
                events.append(RefusalDelta(delta.refusal, index))
            for number, call in enumerate(delta.tool_calls or ()):
                events.append(self._called(call, index, number))
        if choice.logprobs:
            events.append(Logprobs(choice.logprobs, index))
        if choice.finish_reason is not None:
            try:
                events.append(Finish(finish_of(choice.finish_reason), index))
            except UpstreamServerError as error:
                # An event, so that what was said with it is still told.
                events.append(StreamError(error))

    def _called(self, call: ToolCall, choice: int, number: int) -> Event:
        """A piece of a call; another id at the same index is another call."""
        place = (choice, number if call.index is None else call.index)
        function = call.function
        arguments = (function.arguments or "") if function is not None else ""
        key, known = self._calls.get(place, ("", ""))
        given = call.id or ""
        name = (function.name or "") if function is not None else ""
        # Some servers of its kind invent another id for every fragment: a call begins with its name.
        if key and (not given or given == known or not name):
            return ToolCallDelta(key, arguments, choice)
        key = f"{place[1]}:{given}"
        self._calls[place] = (key, given)
        return ToolCallStart(key, given, name, arguments, None, choice)
