"""A chat's stream, chunk by chunk, as the events of a response."""

from __future__ import annotations

import msgspec

from gateway.bridges.chats import Choice, Completion, Said
from gateway.bridges.responses.answer import Json, annotation, estimated, is_short, usage_object
from gateway.bridges.responses.calls import Calls
from gateway.bridges.responses.events import Events
from gateway.bridges.responses.keepsakes import Keepsake
from gateway.errors import UpstreamBadEvent, UpstreamEmpty, UpstreamError, UpstreamServerError
from gateway.ports import StreamDecoder
from gateway.providers.wire.frames import parse_frame
from gateway.types import Call, Usage

_OPEN = b"data: "
_DONE = b"[DONE]"
_CHUNK = msgspec.json.Decoder(Completion)


class ResponseStream:
    """Reads what `inner` hands on, which is chunks. Implements `gateway.ports.StreamDecoder`."""

    __slots__ = (
        "_blocks",
        "_call",
        "_calls",
        "_events",
        "_finish",
        "_inner",
        "_tier",
        "complete",
        "failure",
    )

    def __init__(self, call: Call, inner: StreamDecoder) -> None:
        self.complete = False
        self.failure: UpstreamError | None = None
        self._call = call
        self._inner = inner
        self._events = Events(call)
        self._calls = Calls(call, self._events)
        self._blocks: list[Json] = []
        """The provider's own reasoning, until the reasoning's end."""
        self._finish: str | None = None
        self._tier: str | None = None

    @property
    def usage(self) -> Usage | None:
        """See `gateway.ports.StreamDecoder`."""
        return self._inner.usage

    @property
    def events(self) -> int:
        """See `gateway.ports.StreamDecoder`."""
        return self._inner.events

    @property
    def relayed_bytes(self) -> int:
        """Of the chunks, as are the events: what estimates go by."""
        return self._inner.relayed_bytes

    @property
    def text(self) -> tuple[int, int] | None:
        """See `gateway.ports.StreamDecoder`."""
        return self._inner.text

    @property
    def number(self) -> int:
        """See `gateway.ports.Numbering`."""
        return self._events.number

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
                self._end()
        except UpstreamError as error:
            self.failure = error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.failure = UpstreamBadEvent()
        return self._events.taken()

    def _frame(self, frame: bytes) -> None:
        if frame.startswith(_OPEN) and b"\n" not in frame:
            payload: bytes | None = frame[len(_OPEN) :]
        else:
            payload, _ = parse_frame(frame)
        if payload is None:
            self._events.comment()
        elif payload.strip() != _DONE:
            chunk = _CHUNK.decode(payload)
            self._tier = chunk.service_tier or self._tier
            for choice in chunk.choices:
                if choice.index == 0:
                    self._events.start()
                    self._choice(choice)

    def _choice(self, choice: Choice) -> None:
        if choice.delta is not None:
            self._delta(choice.delta, choice)
        if choice.finish_reason is not None:
            if choice.finish_reason == "error":
                raise UpstreamServerError
            self._finish = choice.finish_reason

    def _delta(self, said: Said, choice: Choice) -> None:
        content = said.content
        text = content if isinstance(content, str) else said.text if content else ""
        thought = said.thought
        if thought:
            if self._blocks:
                self._keep()
            self._events.thought(thought)
        if said.thinking_blocks:
            self._blocks += said.thinking_blocks
            self._events.weigh(len(str(said.thinking_blocks)))
        likely = choice.logprobs.content if choice.logprobs is not None else None
        if text or likely:
            self._keep()
            self._events.text(text, likely)
        if said.refusal:
            self._keep()
            self._events.refusal(said.refusal)
        if said.annotations:
            self._events.annotate([annotation(one) for one in said.annotations])
        for position, fragment in enumerate(said.tool_calls or ()):
            self._calls.add(fragment, position, self._blocks)

    def _keep(self) -> None:
        """The reasoning is over: what its provider wants back ends it."""
        if self._blocks:
            blocks, self._blocks = self._blocks, []
            self._events.close(Keepsake(blocks))

    def _end(self) -> None:
        """The answer is whole: what is open is closed, and all of it said once more."""
        events, short = self._events, is_short(self._finish)
        if not events.begun:
            raise UpstreamEmpty
        events.close(Keepsake(self._blocks), "incomplete" if short else "completed")
        self._calls.finish(short=short)
        if not events.output and not short:
            events.text("")
            events.close(Keepsake())
        usage = self._inner.usage or estimated(self._call, (self._inner.text or (0, self._inner.relayed_bytes))[1])
        output = [item for item in events.output if item is not None]
        over = events.response.over(output, self._finish, usage_object(usage), self._tier)
        events.say("response.incomplete" if short else "response.completed", {"response": msgspec.Raw(over)})
        self.complete = True
