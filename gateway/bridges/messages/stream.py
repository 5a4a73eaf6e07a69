"""A chat's stream, chunk by chunk, as the events of a message."""

from __future__ import annotations

from typing import Any

from gateway.bridges.chats import Choice, Completion, Said
from gateway.bridges.messages.calls import MAX_HELD, Calls
from gateway.bridges.messages.events import Events
from gateway.bridges.messages.reply import FAILED, kept, stop_of
from gateway.bridges.messages.usage import estimated
from gateway.bridges.reading import ChatReader
from gateway.errors import UpstreamBadEvent, UpstreamEmpty, UpstreamServerError
from gateway.ports import StreamDecoder
from gateway.types import Call


class MessageStream(ChatReader):
    """See `ChatReader`."""

    __slots__ = ("_calls", "_end", "_events", "_held", "_later", "_refused", "_said")

    def __init__(self, call: Call, inner: StreamDecoder) -> None:
        super().__init__(call, inner)
        self._events = Events(call)
        self._calls = Calls(call, self._events)
        self._end = Choice()
        """With the finish reason that was told last."""
        self._refused = False
        self._said = 0
        self._later: list[tuple[bool, str]] = []
        """Words (or thoughts) that came between the arguments of a call."""
        self._held = 0
        """Their length."""

    def _taken(self) -> bytes:
        return self._events.taken()

    def _comment(self) -> None:
        self._events.ping()

    def _chunk(self, chunk: Completion) -> None:
        for choice in chunk.choices:
            if choice.index == 0:
                self._events.start()
                if choice.delta is not None:
                    self._delta(choice.delta)
                if choice.finish_reason is not None:
                    self._end = choice

    def _delta(self, said: Said) -> None:
        thought, text = said.thought, said.text
        if thought:
            self._say(thought, thought=True)
        for block in kept(said):
            self._block(block)
        if text:
            self._say(text, thought=False)
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
            self._held += len(text)
            if self._held > MAX_HELD:
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

    def _finished(self) -> None:
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
