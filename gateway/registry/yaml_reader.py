"""YAML 1.2 to plain data with places. Safe by construction: no tags, no objects, bounded depth and size."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.registry.problems import ConfigError, Problem, Trail, shown
from gateway.registry.source import MAX_DEPTH, MAX_VALUES, Mark, Source, broken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_INT = re.compile(r"[-+]?[0-9]{1,18}|0o[0-7]{1,20}|0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}\.[0-9]{0,40}|[0-9]{1,40}(?=[eE]))([eE][-+]?[0-9]{1,3})?")
_WORDS = {"null": None, "true": True, "false": False, "~": None, "": None}
_TEXT_TAG = "tag:yaml.org,2002:str"


@dataclass(slots=True)
class _Scalar:
    value: Any
    mark: Mark


@dataclass(slots=True)
class _List:
    mark: Mark
    items: list[_Node] = field(default_factory=list)


@dataclass(slots=True)
class _Table:
    mark: Mark
    items: dict[str, tuple[Mark, _Node]] = field(default_factory=dict)
    merged: list[_Node] = field(default_factory=list)


_Node = _Scalar | _List | _Table


def read_yaml(path: Path, text: str) -> Source:
    """Parse one document. Raises ConfigError for bad syntax, duplicate keys, tags, too much nesting or aliasing."""
    builder = _Builder(path, _events(path, text))
    root = builder.document()
    if builder.problems:
        raise ConfigError(builder.problems)
    flattener = _Flattener(path)
    data = flattener.flatten(root, (), 0)
    return Source(str(path), data, flattener.keys, flattener.values)


def _events(path: Path, text: str) -> Iterator[Any]:
    from ruamel.yaml import YAML  # noqa: PLC0415 — a worker that finds the compiled table never needs it
    from ruamel.yaml.error import MarkedYAMLError, YAMLError  # noqa: PLC0415
    from ruamel.yaml.reader import ReaderError  # noqa: PLC0415

    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        reason = str(error.problem or error.context or "it cannot be parsed").replace("\n", " ")
        advice = _advice(text[max(mark.index - 1, 0) : mark.index + 1] if mark is not None else "")
        raise broken(path, f"this is not valid YAML: {reason} ({advice})", place) from None
    except ReaderError as error:
        before = text[: error.position]
        place = (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        raise broken(path, "a character is not allowed in YAML (remove it)", place) from None
    except (YAMLError, ValueError, IndexError, OverflowError, AttributeError, AssertionError, TypeError, KeyError):
        # The parser has corners (directives, odd tags, huge escapes) where it raises plain Python errors.
        raise broken(path, "this is not valid YAML (check the start of the file and any escapes)") from None


def _advice(met: str) -> str:
    """What to do about a syntax error, by the two letters where it was met."""
    if met == "${":
        return 'within braces and brackets, a variable stands in quotes: "${NAME}"'
    return "indent with spaces" if met.endswith("\t") else "check indentation, quotes and brackets"


class _Builder:
    """Events to nodes. Collects duplicate keys; raises for what makes the rest meaningless."""

    def __init__(self, path: Path, events: Iterator[Any]) -> None:
        self._path = path
        self._events = events
        self._anchors: dict[str, _Node] = {}
        self.problems: list[Problem] = []

    def document(self) -> _Node:
        root: _Node = _Scalar(None, (1, 1))
        documents = 0
        for event in self._events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise broken(self._path, "a second document starts here (keep one document per file)", _mark(event))
            elif not kind.startswith(("Stream", "Document")):
                root = self._node(event, 0)
        return root

    def _node(self, event: Any, depth: int) -> _Node:
        if depth > MAX_DEPTH:
            raise broken(self._path, f"this is nested deeper than {MAX_DEPTH} levels (flatten it)", _mark(event))
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._alias(event)
        self._check_tag(event)
        node: _Node
        if kind == "ScalarEvent":
            node = _Scalar(self._scalar(event), _mark(event))
        elif kind == "SequenceStartEvent":
            node = self._list(event, depth)
        else:
            node = self._table(event, depth)
        if event.anchor:
            self._anchors[str(event.anchor)] = node
        return node

    def _alias(self, event: Any) -> _Node:
        found = self._anchors.get(str(event.anchor))
        if found is None:
            name = shown(str(event.anchor))
            advice = "define `&name` first, or put text that begins with `*` in quotes"
            raise broken(self._path, f"the alias {name} has no anchor before it ({advice})", _mark(event))
        return found

    def _check_tag(self, event: Any) -> None:
        tag = event.tag
        if tag is not None and str(tag) not in {_TEXT_TAG, "!"}:
            raise broken(self._path, "YAML tags are not used here (remove the `!…`)", _mark(event))

    def _scalar(self, event: Any) -> Any:
        text = event.value
        try:
            text.encode()
        except UnicodeEncodeError:
            raise broken(self._path, "this text holds half a character (fix its escapes)", _mark(event)) from None
        return resolve(text) if event.implicit[0] else text

    def _list(self, event: Any, depth: int) -> _List:
        node = _List(_mark(event))
        for child in self._events:
            if type(child).__name__ == "SequenceEndEvent":
                break
            node.items.append(self._node(child, depth + 1))
        return node

    def _table(self, event: Any, depth: int) -> _Table:
        node = _Table(_mark(event))
        for child in self._events:
            if type(child).__name__ == "MappingEndEvent":
                break
            name, mark = self._key(child), _mark(child)
            value = self._node(next(self._events), depth + 1)
            if isinstance(value, _Scalar) and value.value is None:
                value = _Scalar(None, mark)  # nothing stands there that could be pointed at
            if name == "<<" and child.implicit[0]:
                node.merged.extend(value.items if isinstance(value, _List) else [value])
            elif name in node.items:
                line = node.items[name][0][0]
                message = f"duplicate key {shown(name)}; it stands on line {line} already (keep one of them)"
                self.problems.append(Problem(f"{self._path}:{mark[0]}:{mark[1]}", message))
            else:
                node.items[name] = (mark, value)
        return node

    def _key(self, event: Any) -> str:
        if type(event).__name__ != "ScalarEvent" or event.tag is not None:
            raise broken(self._path, "a key must be plain text (write `name: value`)", _mark(event))
        self._scalar(event)
        return str(event.value)


class _Flattener:
    """Nodes to plain data and places; the count of values guards against aliases that multiply."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self.keys: dict[Trail, Mark] = {}
        self.values: dict[Trail, Mark] = {}

    def flatten(self, node: _Node, trail: Trail, depth: int) -> Any:
        self._count += 1
        if self._count > MAX_VALUES or depth > MAX_DEPTH:
            raise broken(self._path, "the aliases expand to more than this file may hold (write it out)", node.mark)
        self.values[trail] = node.mark
        if isinstance(node, _Scalar):
            return node.value
        if isinstance(node, _List):
            return [self.flatten(item, (*trail, index), depth + 1) for index, item in enumerate(node.items)]
        return self._table(node, trail, depth)

    def _table(self, node: _Table, trail: Trail, depth: int) -> dict[str, Any]:
        result = {}
        for name, (mark, value) in self._merged(node, 0).items():
            self.keys[*trail, name] = mark
            result[name] = self.flatten(value, (*trail, name), depth + 1)
        return result

    def _merged(self, node: _Table, depth: int) -> dict[str, tuple[Mark, _Node]]:
        """The table's own entries first; then those of its `<<`, each only where nothing stands yet."""
        if not node.merged:
            return node.items
        entries = dict(node.items)
        for other in node.merged:
            self._count += 1
            if not isinstance(other, _Table):
                raise broken(self._path, "`<<` merges mappings only (name an anchor of a mapping)", other.mark)
            if depth > MAX_DEPTH or self._count > MAX_VALUES:
                raise broken(self._path, "the aliases expand to more than this file may hold", other.mark)
            for name, entry in self._merged(other, depth + 1).items():
                entries.setdefault(name, entry)
        return entries


def resolve(text: str) -> Any:
    """A plain scalar by YAML 1.2's core schema; what JSON cannot hold (huge numbers, `.inf`, `.nan`) stays text."""
    lowered = text.lower()
    if lowered in _WORDS and text in {lowered, lowered.capitalize(), lowered.upper()}:
        return _WORDS[lowered]
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def _mark(event: Any) -> Mark:
    return event.start_mark.line + 1, event.start_mark.column + 1
