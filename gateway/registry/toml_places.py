"""Where the keys and values of a TOML document stand; tomllib tells only what they are."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.registry.problems import Trail
    from gateway.registry.source import Mark

_BLANK = re.compile(r"(?:[ \t\n]+|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}'
    r"|'''(?:[^']|'(?!''))*'{3,5}"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'"
    r"|[^,\]}#\n]+",
    re.DOTALL,
)


class TomlPlaces:
    """The places in a document that tomllib has read, and that nests no deeper than what is read after it."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._lines = [0, *(found.end() for found in re.finditer("\n", self._text))]
        self._entries: dict[Trail, int] = {}
        """The last entry of each `[[list of tables]]`."""
        self.keys: dict[Trail, Mark] = {}
        self.values: dict[Trail, Mark] = {}
        self._document()

    def _document(self) -> None:
        table: Trail = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            table = self._heading() if self._text[self._at] == "[" else self._pair(table)
            self._skip(_BLANK)

    def _heading(self) -> Trail:
        """`[a.b]` or `[[a.b]]`: the table that the lines below it belong to."""
        listed = self._text.startswith("[[", self._at)
        self._at += 2 if listed else 1
        parent, name, mark = self._path((), "]")
        self._at += 2 if listed else 1
        table = (*parent, name)
        if listed:
            self.keys.setdefault(table, mark)
            self.values.setdefault(table, mark)
            self._entries[table] = entry = self._entries.get(table, -1) + 1
            table = (*table, entry)
        # A table that a longer heading has made before in passing stands at its own.
        self.keys[table] = self.values[table] = mark
        return table

    def _pair(self, table: Trail) -> Trail:
        parent, name, mark = self._path(table, "=")
        self._at += 1
        self._skip(_SPACE)
        self.keys[*parent, name] = mark
        self._value((*parent, name))
        return table

    def _path(self, trail: Trail, end: str) -> tuple[Trail, str, Mark]:
        """A dotted key up to its `end`: the table that it names something in, the name and its place."""
        while True:
            self._skip(_SPACE)
            mark = self._mark()
            name = _name(self._take(_KEY))
            self._skip(_SPACE)
            if self._text[self._at] == end:
                return trail, name, mark
            self._at += 1
            trail = (*trail, name)
            self.keys.setdefault(trail, mark)
            self.values.setdefault(trail, mark)
            if trail in self._entries:
                trail = (*trail, self._entries[trail])

    def _value(self, trail: Trail) -> None:
        self.values[trail] = self._mark()
        first = self._text[self._at]
        if first not in "[{":
            self._take(_SCALAR)
            return
        self._at += 1
        end, count = ("]" if first == "[" else "}"), 0
        while self._next_is_not(end):
            if first == "[":
                self._value((*trail, count))
                count += 1
            else:
                self._pair(trail)
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._at += 1
        self._at += 1

    def _next_is_not(self, end: str) -> bool:
        self._skip(_BLANK)
        return self._text[self._at] != end

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found is not None else self._at

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:  # tomllib would have refused it
            raise ValueError(f"no TOML at {self._mark()}")
        self._at = found.end()
        return found[0]

    def _mark(self) -> Mark:
        line = bisect_right(self._lines, self._at)
        return line, self._at - self._lines[line - 1] + 1


def _name(written: str) -> str:
    if written[0] == '"' and "\\" in written:
        import tomllib  # noqa: PLC0415 — most keys are bare

        return str(tomllib.loads(f"name = {written}")["name"])
    return written[1:-1] if written[0] in "\"'" else written
