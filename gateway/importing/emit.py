"""A draft as YAML text for people, comments included."""

from __future__ import annotations

import json
import re
import textwrap
from typing import TYPE_CHECKING, Any

from gateway.importing.draft import Noted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.importing.draft import Draft

_PLAIN = re.compile(
    r"[A-Za-z_][A-Za-z0-9_./-]*|https?://[A-Za-z0-9_./:-]*[A-Za-z0-9_/]|[0-9]+/(min|s|h|day)|\$\{\w+(:-)?\}"
)
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"})
_SHORT = 100
"""Characters up to which a mapping or list without comments stands on one line."""
_WIDTH = 110
_SECTIONS = ("providers", "aliases", "routes", "keys", "limits")


def emit(draft: Draft) -> str:
    """The whole text."""
    document = draft.document()
    lines = [*_comment(f"Imported from {draft.origin} by `gateway import`.", 0)]
    lines += [line for note in draft.notes for line in _comment(f"- {note}", 0)]
    lines += ["", "version: 1"]
    for name in _SECTIONS:
        if name in document:
            lines += ["", f"{name}:", *_block(document[name], 2)]
    return "\n".join(lines) + "\n"


def _block(value: Any, indent: int) -> Iterator[str]:
    """The lines of a mapping or list that is not empty."""
    pad = " " * indent
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _notes(item, indent)
            yield from _entry(f"{pad}{scalar(key)}:", item, indent + 2)
    else:
        for item in value:
            yield from _notes(item, indent)
            if not isinstance(item, dict) or (flow := _flow(item)) is not None:
                yield f"{pad}- {scalar(item) if not isinstance(item, dict) else flow}"
                continue
            first, *rest = _block(item, indent + 2)
            if first.lstrip().startswith("#"):
                yield from (line for line in (first, *rest[: _comments(rest)]))
                first, *rest = rest[_comments(rest) :]
            yield f"{pad}- {first.lstrip()}"
            yield from rest


def _comments(lines: list[str]) -> int:
    """How many lines at the start are comments."""
    return next((at for at, line in enumerate(lines) if not line.lstrip().startswith("#")), len(lines))


def _entry(head: str, value: Any, indent: int) -> Iterator[str]:
    if not isinstance(value, dict | list):
        yield f"{head} {scalar(value)}"
    elif (flow := _flow(value)) is not None:
        yield f"{head} {flow}"
    else:
        yield head
        yield from _block(value, indent)


def _notes(value: Any, indent: int) -> Iterator[str]:
    if isinstance(value, Noted):
        for note in value.notes:
            yield from _comment(note, indent)


def _comment(text: str, indent: int) -> Iterator[str]:
    pad = " " * indent
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    for line in textwrap.wrap(printable, _WIDTH - indent, break_long_words=False, break_on_hyphens=False):
        yield f"{pad}# {line}"


def _flow(value: Any) -> str | None:
    """The value on one line; None where comments or its length forbid that."""
    text = _inline(value)
    return text if text is not None and len(text) <= _SHORT else None


def _inline(value: Any) -> str | None:
    if isinstance(value, Noted) and value.notes:
        return None
    if isinstance(value, dict):
        parts = [(_inline(key), _inline(item)) for key, item in value.items()]
        return None if any(item is None for _, item in parts) else "{" + ", ".join(f"{k}: {v}" for k, v in parts) + "}"
    if isinstance(value, list):
        items = [_inline(item) for item in value]
        return None if None in items else "[" + ", ".join(map(str, items)) + "]"
    text = scalar(value)
    # In a flow mapping `${X}` would end it.
    return json.dumps(value) if text.startswith("$") else text


def scalar(value: Any) -> str:
    """One value. Text is quoted wherever it might be read as something else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) is not None and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in quoted)


def _escape(letter: str) -> str:
    number = ord(letter)
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
