"""A chat's stream, chunk by chunk, as the events of a response."""

from __future__ import annotations

import msgspec

from gateway.bridges.chats import Choice, Completion, Made, Said
from gateway.bridges.reading import ChatReader
from gateway.bridges.responses.answer import Json, annotation, estimated, is_short, usage_object
from gateway.bridges.responses.calls import Calls
from gateway.bridges.responses.events import Events
from gateway.bridges.responses.provider_state import ProviderState
from gateway.errors import UpstreamEmpty, UpstreamServerError
from gateway.ports import StreamDecoder
from gateway.types import Call


class ResponseStream(ChatReader):
    """See `ChatReader`."""

    __slots__ = ("_blocks", "_calls", "_events", "_finish", "_pictures", "_tier")

    def __init__(self, call: Call, inner: StreamDecoder) -> None:
        super().__init__(call, inner)
        self._events = Events(call)
        self._calls = Calls(call, self._events)
        self._blocks: list[Json] = []
        """The provider's own reasoning, until the reasoning's end."""
        self._finish: str | None = None
        self._pictures = 0
        self._tier: str | None = None

    @property
    def number(self) -> int:
        """See `gateway.ports.Numbering`."""
        return self._events.number

    def _taken(self) -> bytes:
        return self._events.taken()

    def _comment(self) -> None:
        self._events.comment()

    def _chunk(self, chunk: Completion) -> None:
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
        for made in said.images or ():
            self._picture(made)
        for position, fragment in enumerate(said.tool_calls or ()):
            self._calls.add(fragment, position, self._blocks)

    def _picture(self, made: Made) -> None:
        """A picture, and before it what its provider wants back with it."""
        parts = made.parts
        if parts is not None:
            id_ = f"ig_{self._call.id}_{self._pictures}"
            self._pictures += 1
            blocks, self._blocks = self._blocks, []
            extras = {} if made.extra_content is None else {id_: made.extra_content}
            self._events.close(ProviderState(blocks, extras))
            self._events.picture(id_, *parts)

    def _keep(self) -> None:
        """The reasoning is over: what its provider wants back ends it."""
        if self._blocks:
            blocks, self._blocks = self._blocks, []
            self._events.close(ProviderState(blocks))

    def _finished(self) -> None:
        """The answer is whole: what is open is closed, and all of it said once more."""
        events, short = self._events, is_short(self._finish)
        if not events.begun:
            raise UpstreamEmpty
        events.close(ProviderState(self._blocks), "incomplete" if short else "completed")
        self._calls.finish(short=short)
        if not events.output and not short:
            events.text("")
            events.close(ProviderState())
        usage = self._inner.usage or estimated(self._call, (self._inner.text or (0, self._inner.relayed_bytes))[1])
        output = [item for item in events.output if item is not None]
        over = events.response.over(output, self._finish, usage_object(usage), self._tier)
        events.say("response.incomplete" if short else "response.completed", {"response": msgspec.Raw(over)})
