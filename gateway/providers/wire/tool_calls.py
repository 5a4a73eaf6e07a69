"""Tool calls as OpenAI tells them: dense numbers per choice, id and name once, arguments as text."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]
_FIRST = frozenset({"id", "type", "index", "function"})
MAX_CALLS = 1024
"""Calls of one choice that are told apart; more are a mistake of the provider's."""


def whole_calls(calls: list[Any], prefix: str) -> list[Json]:
    """The calls of a whole message, each complete."""
    found = []
    for number, call in enumerate(call for call in calls if isinstance(call, dict)):
        function = _function(call)
        arguments = arguments_text(function.get("arguments")) or "{}"
        told = {**function, "arguments": arguments} if function or call.get("type") in (None, "function") else None
        rest = {name: value for name, value in call.items() if name not in ("id", "type", "function")}
        named: Json = {"id": call.get("id") or f"{prefix}_{number}", "type": call.get("type") or "function"}
        found.append({**named, **({"function": told} if told is not None else {}), **rest})
    return found


def arguments_text(arguments: Any) -> str:
    """Arguments as JSON text, whatever form they came in."""
    if isinstance(arguments, str):
        return arguments
    return "" if arguments is None else msgspec.json.encode(arguments).decode()


class CallNumbers:
    """Which call each fragment of one choice's stream belongs to."""

    __slots__ = ("_by_index", "_functions", "_ids", "_named", "_prefix")

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._ids: list[str] = []
        self._named: list[bool] = []
        self._functions: list[bool] = []
        """Which of them call functions; others (`custom`) say in a member of their own what they call."""
        self._by_index: dict[Any, int] = {}

    def __bool__(self) -> bool:
        return bool(self._ids)

    def numbered(self, fragments: list[Any]) -> list[Json]:
        """The fragments as OpenAI would send them."""
        return [self._one(fragment) for fragment in fragments if isinstance(fragment, dict)]

    def _one(self, fragment: Json) -> Json:
        function = _function(fragment)
        given, index, kind = fragment.get("id"), fragment.get("index"), fragment.get("type")
        name = function.get("name") or _own(fragment, kind).get("name")
        number = self._number(given if isinstance(given, str) else "", index, bool(name))
        arguments = arguments_text(function.get("arguments"))
        rest = {key: value for key, value in fragment.items() if key not in _FIRST}
        if number is None:
            number = self._open(given, index, bool(name))
            self._functions.append(bool(function) or kind in (None, "", "function"))
            called: Json = {"function": {"name": name if isinstance(name, str) else "", "arguments": arguments}}
            head = {"index": number, "id": self._ids[number], "type": kind or "function"}
            return {**head, **(called if self._functions[number] else {}), **rest}
        if not function and not self._functions[number]:
            return {"index": number, **rest}
        told = {"arguments": arguments}
        if name and not self._named[number]:
            self._named[number] = True
            told = {"name": name, **told}
        return {"index": number, "function": told, **rest}

    def _number(self, given: str, index: Any, named: bool) -> int | None:
        """The call that a fragment goes on with; None for a new one."""
        if len(self._ids) >= MAX_CALLS:
            return len(self._ids) - 1
        if given in self._ids:
            return self._ids.index(given)
        if given and named:
            return None
        if isinstance(index, int):
            # An id alone opens nothing: some invent another one for every fragment.
            return self._by_index.get(index)
        # Without a number: a name begins a call, anything else goes on with the last one.
        return None if named or not self._ids else len(self._ids) - 1

    def _open(self, given: Any, index: Any, named: bool) -> int:
        number = len(self._ids)
        self._ids.append(given if isinstance(given, str) and given else f"{self._prefix}_{number}")
        self._named.append(named)
        if isinstance(index, int):
            # Some number every call 0: the number is the latest call's.
            self._by_index[index] = number
        return number


def _function(call: Json) -> Json:
    return _own(call, "function")


def _own(call: Json, kind: Any) -> Json:
    """What a call of this type says of itself, in the member of that name."""
    own = call.get(kind) if isinstance(kind, str) else None
    return own if isinstance(own, dict) else {}
