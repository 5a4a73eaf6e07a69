"""Neutral events to OpenAI's chat chunks. Every dialect that translates writes its streams with this one encoder.

It holds what OpenAI's SDKs rely on (wire: one `data:` line a chunk, same id, created and model in each):

- the first chunk of a choice says the role; it waits for something to say, so that a stream which fails before its
  first word can still fail over;
- tool calls are numbered densely from 0 in each choice, whatever the provider calls them; the first fragment of a call
  has id and name, and a call without arguments has `{}`;
- one finish reason per choice, the last one told, after everything else of it; `tool_calls` exactly if a call was made;
- one usage chunk if the client asked for it, then `[DONE]`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.errors import UpstreamBadEvent
from gateway.providers.chat.events import (
    Alive,
    Annotations,
    Begin,
    Done,
    Event,
    Finish,
    Logprobs,
    PictureMade,
    ReasoningBlock,
    ReasoningDelta,
    RefusalDelta,
    StreamError,
    TextDelta,
    ToolCallDelta,
    ToolCallEnd,
    ToolCallStart,
    UsageUpdate,
    Working,
)
from gateway.providers.chat.replies import finish_of, usage_object
from gateway.types import Call, Usage

DONE = b"data: [DONE]\n\n"
COMMENT = b": alive\n\n"
MAX_CALLS = 1024
"""Tool calls of one choice, and choices of one answer: nobody means more."""
_ROLE = b'{"role":"assistant","content":""}'
_json = msgspec.json.Encoder().encode


class _Called:
    """A tool call that was begun."""

    __slots__ = ("empty", "index", "over")

    def __init__(self, index: int) -> None:
        self.index = index
        self.empty = True
        self.over = False


class _Choice:
    """What of one choice has been told."""

    __slots__ = ("calls", "finish", "head", "index", "pictures", "spoken")

    def __init__(self, index: int, head: bytes) -> None:
        self.index = index
        self.head = head
        self.spoken = False
        self.calls: dict[int | str, _Called] = {}
        self.pictures = 0
        self.finish: str | None = None


class ChunkEncoder:
    """The chunks of one answer."""

    __slots__ = (
        "_call",
        "_choices",
        "_head",
        "_tail",
        "error",
        "frames",
        "over",
        "text_bytes",
        "texts",
        "usage",
        "usage_whole",
    )

    def __init__(self, call: Call) -> None:
        self.usage: Usage | None = None
        self.usage_whole = False
        self.error: StreamError | None = None
        self.over = False
        self.frames = 0
        self.texts = 0
        self.text_bytes = 0
        """Chunks that carry text, and how many bytes it is: for estimates where no usage is told."""
        self._call = call
        self._choices: dict[int, _Choice] = {}
        self._head = self._opening(f"chatcmpl-{call.id}")
        self._tail = (
            b',"finish_reason":null}],"usage":null}\n\n' if call.include_usage else b',"finish_reason":null}]}\n\n'
        )

    @property
    def finished(self) -> bool:
        """Whether every choice that was begun has its finish reason."""
        return bool(self._choices) and all(choice.finish is not None for choice in self._choices.values())

    def encode(self, event: Event) -> bytes:
        """The chunks for one event, perhaps none. Raises UpstreamBadEvent for arguments of a call that never began."""
        return _WRITERS[type(event)](self, event)

    def end(self) -> bytes:
        """The answer is complete: what is still owed, the finish reasons, usage, `[DONE]`."""
        self.over = True
        out = [part for choice in self._choices.values() for part in self._closing(choice)]
        if self._call.include_usage and self.usage is not None:
            usage = _json(usage_object(self.usage))
            out.append(self._head + b'],"usage":' + usage + b"}\n\n")
        return b"".join(out) + DONE

    def _opening(self, id_: str) -> bytes:
        fixed = {"id": id_, "object": "chat.completion.chunk", "created": int(time.time()), "model": self._call.model}
        return b"data: " + _json(fixed)[:-1] + b',"choices":['

    def _closing(self, choice: _Choice) -> list[bytes]:
        out = [self._opened(choice)]
        out += [self._closed(choice, called) for called in choice.calls.values()]
        reason = _json(finish_of(choice.finish or "stop", calls=bool(choice.calls)))
        tail = b',"finish_reason":' + reason + self._tail.removeprefix(b',"finish_reason":null')
        out.append(choice.head + b"{}" + tail)
        return out

    def _choice(self, index: int) -> _Choice:
        choice = self._choices.get(index)
        if choice is None:
            if len(self._choices) >= MAX_CALLS:
                raise UpstreamBadEvent
            choice = self._choices[index] = _Choice(index, self._head + b'{"index":%d,"delta":' % index)
        return choice

    def _opened(self, choice: _Choice) -> bytes:
        if choice.spoken:
            return b""
        choice.spoken = True
        self.frames += 1
        return choice.head + _ROLE + self._tail

    def _said(self, index: int, delta: bytes, size: int) -> bytes:
        choice = self._choices.get(index) or self._choice(index)
        self.frames += 1
        if size:
            self.texts += 1
            self.text_bytes += size
        chunk = choice.head + delta + self._tail
        return chunk if choice.spoken else self._opened(choice) + chunk

    # -- one writer per event

    def _begin(self, event: Begin) -> bytes:
        if event.id and not self._choices:
            self._head = self._opening(event.id)
        return b""

    def _working(self, event: Working) -> bytes:
        return self._opened(self._choice(event.choice))

    def _alive(self, event: Alive) -> bytes:
        del event
        return COMMENT if self.frames else b""

    def _text(self, event: TextDelta) -> bytes:
        if not event.text:
            return b""
        text = _json(event.text)
        return self._said(event.choice, b'{"content":' + text + b"}", len(text) - 2)

    def _refusal(self, event: RefusalDelta) -> bytes:
        if not event.text:
            return b""
        text = _json(event.text)
        return self._said(event.choice, b'{"refusal":' + text + b"}", len(text) - 2)

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        if not event.text:
            return b""
        text = _json(event.text)
        return self._said(event.choice, b'{"reasoning_content":' + text + b"}", len(text) - 2)

    def _block(self, event: ReasoningBlock) -> bytes:
        return self._said(event.choice, _json({"thinking_blocks": [event.block]}), 0)

    def _picture(self, event: PictureMade) -> bytes:
        choice = self._choice(event.choice)
        entry = event.picture.entry(choice.pictures)
        choice.pictures += 1
        return self._said(event.choice, _json({"images": [entry]}), 0)

    def _annotations(self, event: Annotations) -> bytes:
        return self._said(event.choice, _json({"annotations": event.annotations}), 0) if event.annotations else b""

    def _logprobs(self, event: Logprobs) -> bytes:
        choice = self._choice(event.choice)
        opened = self._opened(choice)
        self.frames += 1
        return opened + choice.head + b'{},"logprobs":' + _json(event.logprobs) + self._tail

    def _call_start(self, event: ToolCallStart) -> bytes:
        choice = self._choice(event.choice)
        called = choice.calls.get(event.key)
        if called is not None:
            return self._arguments(choice, called, event.arguments)
        if len(choice.calls) >= MAX_CALLS:
            raise UpstreamBadEvent
        called = choice.calls[event.key] = _Called(len(choice.calls))
        called.empty = not event.arguments
        call: dict[str, Any] = {
            "index": called.index,
            "id": event.id or f"call_{self._call.id}_{event.choice}_{called.index}",
            "type": "function",
            "function": {"name": event.name, "arguments": event.arguments},
        }
        if event.extra is not None:
            call["extra_content"] = event.extra
        return self._said(event.choice, _json({"tool_calls": [call]}), len(event.name) + len(event.arguments))

    def _call_delta(self, event: ToolCallDelta) -> bytes:
        choice = self._choice(event.choice)
        called = choice.calls.get(event.key)
        if called is None:
            raise UpstreamBadEvent
        return self._arguments(choice, called, event.arguments)

    def _arguments(self, choice: _Choice, called: _Called, arguments: str) -> bytes:
        if not arguments:
            return b""
        called.empty = False
        text = _json(arguments)
        fragment = b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (called.index, text)
        return self._said(choice.index, fragment, len(text) - 2)

    def _call_end(self, event: ToolCallEnd) -> bytes:
        choice = self._choice(event.choice)
        called = choice.calls.get(event.key)
        return b"" if called is None else self._closed(choice, called)

    def _closed(self, choice: _Choice, called: _Called) -> bytes:
        if called.over:
            return b""
        called.over = True
        return self._arguments(choice, called, "{}") if called.empty else b""

    def _finish(self, event: Finish) -> bytes:
        self._choice(event.choice).finish = event.reason
        return b""

    def _usage(self, event: UsageUpdate) -> bytes:
        self.usage = event.usage
        self.usage_whole = self.usage_whole or event.whole
        return b""

    def _failed(self, event: StreamError) -> bytes:
        self.error = event
        return b""

    def _done(self, event: Done) -> bytes:
        del event
        self.over = True
        return b""


_WRITERS: dict[type[Event], Callable[[ChunkEncoder, Any], bytes]] = {
    Begin: ChunkEncoder._begin,
    Working: ChunkEncoder._working,
    Alive: ChunkEncoder._alive,
    TextDelta: ChunkEncoder._text,
    RefusalDelta: ChunkEncoder._refusal,
    ReasoningDelta: ChunkEncoder._reasoning,
    ReasoningBlock: ChunkEncoder._block,
    PictureMade: ChunkEncoder._picture,
    Annotations: ChunkEncoder._annotations,
    Logprobs: ChunkEncoder._logprobs,
    ToolCallStart: ChunkEncoder._call_start,
    ToolCallDelta: ChunkEncoder._call_delta,
    ToolCallEnd: ChunkEncoder._call_end,
    Finish: ChunkEncoder._finish,
    UsageUpdate: ChunkEncoder._usage,
    StreamError: ChunkEncoder._failed,
    Done: ChunkEncoder._done,
}
