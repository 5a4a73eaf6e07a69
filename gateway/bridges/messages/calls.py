"""Tool calls inside a stream: the fragments of OpenAI's may be interleaved, Anthropic's come one call after the other.

The first call stays open until its arguments are whole, and the others wait. So the calls of a provider that sends them
one by one are relayed as they come, and interleaved ones are put in order.
"""

from __future__ import annotations

import re

from gateway.bridges.chats import Called
from gateway.bridges.messages.events import Events
from gateway.bridges.messages.names import whole
from gateway.bridges.messages.provider_state import kept_extra
from gateway.bridges.messages.reply import made_id
from gateway.errors import UpstreamBadEvent
from gateway.types import Call

MAX_CALLS = 1024
MAX_HELD = 4 << 20
"""Characters that wait for their turn."""
_MARKS = re.compile(r'["\\{}\[\]]')


class _Use:
    """One call: what is known of it, and how far its arguments are."""

    __slots__ = ("_deep", "_escaped", "_text", "empty", "extra", "held", "id", "name", "number", "over", "whole")

    def __init__(self, number: int) -> None:
        self.number = number
        self.id = self.name = ""
        self.extra: object = None
        self.held: list[str] = []
        self.empty = True
        self.whole = False
        """Its arguments are a complete JSON value."""
        self.over = False
        self._deep = 0
        self._text = False
        self._escaped = False

    def follow(self, text: str) -> None:
        """Keep track of where the arguments end. `text` is not empty."""
        self.empty = False
        skip = 0 if self._escaped else -1
        for match in _MARKS.finditer(text):
            mark, at = match.group(), match.start()
            if at == skip:
                continue
            if self._text:
                if mark == "\\":
                    skip = at + 1
                elif mark == '"':
                    self._text = False
            elif mark == '"':
                self._text = True
            elif mark in "{[":
                self._deep += 1
            elif mark in "}]":
                self._deep -= 1
                self.whole = self.whole or self._deep <= 0
        self._escaped = skip == len(text)


class Calls:
    """The calls of one answer."""

    __slots__ = ("_by_index", "_call", "_current", "_events", "_held", "_waiting", "count")

    def __init__(self, call: Call, events: Events) -> None:
        self.count = 0
        self._call = call
        self._events = events
        self._by_index: dict[int, _Use] = {}
        self._current: _Use | None = None
        self._waiting: list[_Use] = []
        self._held = 0

    @property
    def under_way(self) -> bool:
        """Whether arguments are still to come, as far as can be told."""
        return bool(self._waiting) or (self._current is not None and not self._current.whole)

    def add(self, fragment: Called, position: int) -> None:
        """A fragment of a call. Raises UpstreamBadEvent for arguments of a call that is over, and for too much of
        them."""
        function = fragment.function
        name = (function.name if function is not None else None) or ""
        arguments = (function.arguments if function is not None else None) or ""
        use = self._use(position if fragment.index is None else fragment.index, fragment.id or "", name)
        use.id = use.id or fragment.id or ""
        use.name = use.name or name
        if fragment.extra_content is not None:
            use.extra = fragment.extra_content
        if arguments:
            self._arguments(use, arguments)
        self._advance()

    def finish(self) -> None:
        """No more will come: everything that waits is told. Raises UpstreamBadEvent for a call without a name."""
        while self._current is not None or self._waiting:
            if self._current is not None:
                self._close(self._current)
            elif not self._waiting[0].name:
                raise UpstreamBadEvent
            self._advance()

    def _use(self, index: int, id_: str, name: str) -> _Use:
        use = self._by_index.get(index)
        # Some providers number all their calls 0: another id with a name is another call.
        if use is None or (id_ and name and use.id and use.id != id_):
            if self.count >= MAX_CALLS:
                raise UpstreamBadEvent
            use = self._by_index[index] = _Use(self.count)
            self.count += 1
            self._waiting.append(use)
        return use

    def _arguments(self, use: _Use, text: str) -> None:
        if use.over:
            if text.strip():
                raise UpstreamBadEvent
            return
        use.follow(text)
        if use is self._current:
            self._events.arguments(text)
            return
        self._held += len(text)
        if self._held > MAX_HELD:
            raise UpstreamBadEvent
        use.held.append(text)

    def _advance(self) -> None:
        """Begin what can begin."""
        while self._waiting:
            if self._current is not None:
                if not self._current.whole:
                    return
                self._close(self._current)
            if not self._waiting[0].name:
                return
            self._begin(self._waiting.pop(0))

    def _begin(self, use: _Use) -> None:
        if use.extra is not None:
            self._events.whole(kept_extra(use.extra))
        self._events.use(use.id or made_id(self._call, use.number), whole(use.name, self._call))
        self._current = use
        if use.held:
            text = "".join(use.held)
            self._held -= len(text)
            use.held.clear()
            self._events.arguments(text)

    def _close(self, use: _Use) -> None:
        if use.empty:
            self._events.arguments("{}")
        self._events.close()
        use.over = True
        self._current = None
