"""The events of a streamed response, in neutral words."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from gateway.bridges.chat.places import Calls
from gateway.bridges.chat.said import Event, Item, citation, item_of
from gateway.errors import UpstreamServerError
from gateway.providers.chat import events as neutral
from gateway.providers.wire.errors import error_from_event


class _Kind(msgspec.Struct, gc=False):
    type: str = ""


_KIND = msgspec.json.Decoder(_Kind)
_EVENT = msgspec.json.Decoder(Event)
_NOTHING: tuple[neutral.Event, ...] = ()
_WORKING = (neutral.Working(),)
MAX_PARTS = 4096
"""Parts and calls that are told apart; nobody means more."""


class ResponseEvents:
    """One answer. Implements `gateway.providers.chat.stream.NativeStream`."""

    __slots__ = ("_calls", "_told")

    def __init__(self) -> None:
        self._calls = Calls()
        self._told: set[tuple[int, str, int]] = set()
        """Parts whose deltas came: what repeats them as a whole says nothing new."""

    def read(self, name: bytes, data: bytes) -> Iterable[neutral.Event]:
        """See `NativeStream`."""
        del name
        # Of the many kinds of events there are, others have the same fields with other types.
        reader = _READERS.get(_KIND.decode(data).type)
        return _NOTHING if reader is None else reader(self, _EVENT.decode(data))

    # -- words

    def _text(self, event: Event) -> Iterable[neutral.Event]:
        self._tell(event, "text", event.content_index)
        said: list[neutral.Event] = [neutral.TextDelta(event.delta or "")]
        if event.logprobs:
            said.append(neutral.Logprobs({"content": event.logprobs, "refusal": None}))
        return said

    def _text_done(self, event: Event) -> Iterable[neutral.Event]:
        if (event.output_index, "text", event.content_index) in self._told:
            return _NOTHING
        return (neutral.TextDelta(event.text or ""),)

    def _refusal(self, event: Event) -> Iterable[neutral.Event]:
        self._tell(event, "refusal", event.content_index)
        return (neutral.RefusalDelta(event.delta or ""),)

    def _refusal_done(self, event: Event) -> Iterable[neutral.Event]:
        if (event.output_index, "refusal", event.content_index) in self._told:
            return _NOTHING
        return (neutral.RefusalDelta(event.refusal or ""),)

    def _annotation(self, event: Event) -> Iterable[neutral.Event]:
        found = citation(event.annotation or {})
        return _NOTHING if found is None else (neutral.Annotations([found]),)

    def _summary(self, event: Event) -> Iterable[neutral.Event]:
        self._tell(event, "summary", 0)
        return (neutral.ReasoningDelta(event.delta or ""),)

    def _summary_part(self, event: Event) -> Iterable[neutral.Event]:
        return (neutral.ReasoningDelta("\n\n"),) if event.summary_index else _NOTHING

    def _thought(self, event: Event) -> Iterable[neutral.Event]:
        """Where both are shown, the summary is: as of a whole answer."""
        if (event.output_index, "summary", 0) in self._told:
            return _NOTHING
        return (neutral.ReasoningDelta(event.delta or ""),)

    def _tell(self, event: Event, kind: str, at: int) -> None:
        if len(self._told) < MAX_PARTS:
            self._told.add((event.output_index, kind, at))

    # -- items

    def _item_added(self, event: Event) -> Iterable[neutral.Event]:
        item = item_of(event.item)
        if item is None or item.type != "function_call":
            return _WORKING if item is not None and item.type == "reasoning" else _NOTHING
        return (self._begun(event, item),)

    def _begun(self, event: Event, item: Item) -> neutral.Event:
        call = self._calls.begin(event.output_index, item, told=bool(item.arguments))
        return neutral.ToolCallStart(call.number, item.call_id or "", item.name or "", item.arguments or "")

    def _arguments(self, event: Event) -> Iterable[neutral.Event]:
        call = self._calls.of_delta(event)
        if event.delta:
            call.told = True
        return (neutral.ToolCallDelta(call.number, event.delta or ""),)

    def _item_done(self, event: Event) -> Iterable[neutral.Event]:
        item = item_of(event.item)
        if item is None:
            return _NOTHING
        if item.type == "reasoning":
            sealed = item.sealed
            return _NOTHING if sealed is None else (neutral.ReasoningBlock(sealed),)
        if item.type != "function_call":
            return _NOTHING
        said: list[neutral.Event] = []
        call = self._calls.of_item(event.output_index, item)
        if call is None:
            said.append(self._begun(event, item))
            call = self._calls.at(event.output_index)
        elif not call.told:
            said.append(neutral.ToolCallDelta(call.number, item.arguments or ""))
        call.told = True
        return [*said, neutral.ToolCallEnd(call.number)]

    # -- the end

    def _over(self, event: Event) -> Iterable[neutral.Event]:
        response = event.response
        said: list[neutral.Event] = []
        usage = None
        if response is not None and response.usage is not None:
            usage = response.usage.counted(response.service_tier)
        if usage is not None:
            said.append(neutral.UsageUpdate(usage))
        finish = "stop" if response is None else response.finish
        return [*said, neutral.Finish(finish), neutral.Done()]

    def _failed(self, event: Event) -> Iterable[neutral.Event]:
        told = event.response.error if event.response is not None else None
        return (neutral.StreamError(error_from_event(told) if told else UpstreamServerError()),)


_READERS: dict[str, Callable[[ResponseEvents, Any], Iterable[neutral.Event]]] = {
    "response.output_text.delta": ResponseEvents._text,
    "response.output_text.done": ResponseEvents._text_done,
    "response.output_text.annotation.added": ResponseEvents._annotation,
    "response.refusal.delta": ResponseEvents._refusal,
    "response.refusal.done": ResponseEvents._refusal_done,
    "response.reasoning_summary_part.added": ResponseEvents._summary_part,
    "response.reasoning_summary_text.delta": ResponseEvents._summary,
    "response.reasoning_text.delta": ResponseEvents._thought,
    "response.output_item.added": ResponseEvents._item_added,
    "response.output_item.done": ResponseEvents._item_done,
    "response.function_call_arguments.delta": ResponseEvents._arguments,
    "response.completed": ResponseEvents._over,
    "response.incomplete": ResponseEvents._over,
    "response.failed": ResponseEvents._failed,
}
