"""Calls of tools inside a stream. One ends when the next begins and its arguments are whole, else with the answer."""

from __future__ import annotations

import msgspec

from gateway.bridges.chats import Called
from gateway.bridges.responses.answer import Json, call_item, custom_item
from gateway.bridges.responses.events import Events
from gateway.bridges.responses.provider_state import ProviderState
from gateway.bridges.responses.tools import customs, is_whole, unwrapped
from gateway.errors import UpstreamBadEvent
from gateway.types import Call

_json = msgspec.json.Encoder().encode


class _Use:
    """One call: where it stands, and its arguments so far."""

    __slots__ = ("arguments", "call_id", "custom", "head", "id", "index", "name", "over")

    def __init__(self, place: tuple[int, str], call_id: str, name: str, *, custom: bool) -> None:
        self.index, self.id = place
        self.call_id = call_id
        self.name = name
        self.custom = custom
        self.arguments: list[str] = []
        self.over = False
        kind = "response.function_call_arguments.delta"
        at = {"type": kind, "item_id": self.id, "output_index": self.index}
        self.head = b"event: " + kind.encode() + b"\ndata: " + _json(at)[:-1]

    def item(self, text: str, status: str) -> Json:
        if self.custom:
            return custom_item(self.id, self.call_id, self.name, text, status)
        return call_item(self.id, self.call_id, self.name, text, status)


class Calls:
    """The calls of one answer."""

    __slots__ = ("_by_index", "_call", "_customs", "_events", "_open", "count")

    def __init__(self, call: Call, events: Events) -> None:
        self.count = 0
        self._call = call
        self._events = events
        self._customs: frozenset[str] | None = None
        self._by_index: dict[int, _Use] = {}
        self._open: list[_Use] = []

    def add(self, fragment: Called, position: int, blocks: list[Json]) -> None:
        """A fragment of a call; one that begins takes the reasoning `blocks` before it along, emptying them. Raises
        UpstreamBadEvent for a call without a name, and for arguments of one that is over."""
        function = fragment.function
        name = (function.name if function is not None else None) or ""
        arguments = (function.arguments if function is not None else None) or ""
        index = position if fragment.index is None else fragment.index
        use = self._by_index.get(index)
        # Some providers number all their calls 0: another id with a name is another call.
        if use is None or (fragment.id and name and use.call_id != fragment.id):
            use = self._begin(fragment, index, name, blocks)
        if not arguments:
            return
        if use.over:
            if arguments.strip():
                raise UpstreamBadEvent
            return
        self._events.weigh(len(arguments))
        use.arguments.append(arguments)
        if not use.custom:
            self._events.raw(use.head, arguments)

    def finish(self, *, short: bool) -> None:
        """No more will come; an answer that is cut `short` may end in the middle of a call."""
        for use in self._open:
            text = "".join(use.arguments)
            self._close(use, text, "incomplete" if short and text and not is_whole(text) else "completed")
        self._open.clear()

    def _begin(self, fragment: Called, index: int, name: str, blocks: list[Json]) -> _Use:
        if not name:
            raise UpstreamBadEvent
        if self._customs is None:
            self._customs = customs(self._call.raw)
        self._close_whole()
        call_id = fragment.id or f"call_{self._call.id}_{self.count}"
        self.count += 1
        extras = {} if fragment.extra_content is None else {call_id: fragment.extra_content}
        self._events.close(ProviderState(list(blocks), extras))
        blocks.clear()
        custom = name in self._customs
        use = _Use(self._events.open_item("ctc" if custom else "fc"), call_id, name, custom=custom)
        self._by_index[index] = use
        self._open.append(use)
        self._events.added(use.index, use.item("", "in_progress"))
        return use

    def _close_whole(self) -> None:
        """End the calls whose arguments are a whole JSON value: nothing but blanks can follow."""
        for use in list(self._open):
            text = "".join(use.arguments)
            if is_whole(text):
                self._close(use, text, "completed")
                self._open.remove(use)

    def _close(self, use: _Use, text: str, status: str) -> None:
        use.over = True
        at = {"item_id": use.id, "output_index": use.index}
        if use.custom:
            text = unwrapped(text)
            self._events.say("response.custom_tool_call_input.delta", {**at, "delta": text})
            self._events.say("response.custom_tool_call_input.done", {**at, "input": text})
        else:
            if not text:
                text = "{}"
                self._events.raw(use.head, text)
            done = {**at, "name": use.name, "arguments": text}
            self._events.say("response.function_call_arguments.done", done)
        self._events.done(use.index, use.item(text, status))
