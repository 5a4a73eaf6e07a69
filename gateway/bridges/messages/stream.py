"""A chat's stream, chunk by chunk, as the events of a message."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.bridges.messages.calls import MAX_HELD, Calls
from gateway.bridges.messages.events import Events
from gateway.bridges.messages.reply import FAILED, Choice, Said, stop_of
from gateway.bridges.messages.usage import estimated
from gateway.errors import UpstreamBadEvent, UpstreamEmpty, UpstreamError, UpstreamServerError
from gateway.ports import StreamDecoder
from gateway.providers.wire.frames import parse_frame
from gateway.types import Call, Usage

_OPEN = b"data: "
_DONE = b"[DONE]"


class _Chunk(msgspec.Struct, gc=False):
    choices: list[Choice] = []


_CHUNK = msgspec.json.Decoder(_Chunk)


class MessageStream:
    """Reads what `inner` hands on, which is chunks. Implements `gateway.ports.StreamDecoder`."""

    __slots__ = (
        "_call",
        "_calls",
        "_end",
        "_events",
        "_inner",
        "_later",
        "_refused",
        "_said",
        "complete",
        "failure",
        "relayed_bytes",
    )

    def __init__(self, call: Call, inner: StreamDecoder) -> None:
        self.complete = False
        self.failure: UpstreamError | None = None
        self.relayed_bytes = 0
        self._call = call
        self._inner = inner
        self._events = Events(call)
        self._calls = Calls(call, self._events)
        self._end = Choice()
        """With the finish reason that was told last."""
        self._refused = False
        self._said = 0
        self._later: list[tuple[bool, str]] = []
        """Words (or thoughts) that came between the arguments of a call."""

    @property
    def usage(self) -> Usage | None:
        """See `gateway.ports.StreamDecoder`."""
        return self._inner.usage

    @property
    def events(self) -> int:
        """See `gateway.ports.StreamDecoder`."""
        return self._inner.events

    @property
    def text(self) -> tuple[int, int] | None:
        """See `gateway.ports.StreamDecoder`."""
        return self._inner.text

    def feed(self, data: bytes) -> bytes:
        """See `gateway.ports.StreamDecoder`."""
        return self._translated(self._inner.feed(data)) if not self._closed() else b""

    def end(self) -> bytes:
        """See `gateway.ports.StreamDecoder`."""
        return self._translated(self._inner.end()) if not self._closed() else b""

    def _closed(self) -> bool:
        return self.complete or self.failure is not None

    def _translated(self, frames: bytes) -> bytes:
        try:
            if frames:
                for frame in frames.split(b"\n\n"):
                    if frame:
                        self._frame(frame)
            if self._inner.failure is not None:
                self.failure = self._inner.failure
            elif self._inner.complete:
                self._finish()
        except UpstreamError as error:
            self.failure = error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.failure = UpstreamBadEvent()
        # Of the chunks, as are the events: what estimates go by.
        self.relayed_bytes = self._inner.relayed_bytes
        return self._events.taken()

    def _frame(self, frame: bytes) -> None:
        if frame.startswith(_OPEN) and b"\n" not in frame:
            payload: bytes | None = frame[len(_OPEN) :]
        else:
            payload, _ = parse_frame(frame)
        if payload is None:
            self._events.ping()
        elif payload != _DONE:
            self._chunk(_CHUNK.decode(payload))

    def _chunk(self, chunk: _Chunk) -> None:
        for choice in chunk.choices:
            if choice.index == 0:
                self._events.start()
                if choice.delta is not None:
                    self._delta(choice.delta)
                if choice.finish_reason is not None:
                    self._end = choice

    def _delta(self, said: Said) -> None:
        if said.thought:
            self._say(said.thought, thought=True)
        for block in said.signed:
            self._block(block)
        if said.text:
            self._say(said.text, thought=False)
        if said.refusal:
            self._refused = True
            self._say(said.refusal, thought=False)
        for position, fragment in enumerate(said.tool_calls or ()):
            self._calls.add(fragment, position)
            function = fragment.function
            self._said += len((function.arguments if function is not None else None) or "")

    def _say(self, text: str, *, thought: bool) -> None:
        self._said += len(text)
        if self._calls.under_way:
            self._later.append((thought, text))
            if sum(len(held) for _, held in self._later) > MAX_HELD:
                raise UpstreamBadEvent
            return
        self._calls.finish()
        if thought:
            self._events.thought(text)
        else:
            self._events.text(text)

    def _block(self, block: dict[str, Any]) -> None:
        self._calls.finish()
        self._events.thought_block(block)

    def _finish(self) -> None:
        """The answer is whole. Raises UpstreamEmpty for one that never began, UpstreamServerError for one that the
        provider gave up."""
        if not self._events.started:
            raise UpstreamEmpty
        if self._end.finish_reason == FAILED:
            raise UpstreamServerError
        self._calls.finish()
        for thought, text in self._later:
            (self._events.thought if thought else self._events.text)(text)
        reason, sequence = stop_of(self._call, self._end, calls=self._calls.count > 0, refused=self._refused)
        self._events.end(reason, sequence, self._inner.usage or estimated(self._call, self._said))
        self.complete = True
