"""A configuration that is being written: plain data, with what people have to know beside it."""

from __future__ import annotations

import re
from typing import Any

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST = 56
"""Characters of a name, so that a number still fits behind it."""


class Noted(dict[str, Any]):
    """A mapping with comments: `notes` stand above it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Say this once."""
        if text not in self.notes:
            self.notes.append(text)


class Draft:
    """The document's parts, and the comments at its top."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        """The file's name."""
        self.notes: list[str] = []
        self.providers: dict[str, Noted] = {}
        self.aliases: dict[str, str] = {}
        self.routes: list[Noted] = []
        self.keys: list[Noted] = []
        self.limits: list[Noted] = []

    def note(self, text: str) -> None:
        """Say this once, at the top."""
        if text not in self.notes:
            self.notes.append(text)

    def document(self) -> dict[str, Any]:
        """The document as data; it shares its parts with this draft."""
        parts: dict[str, Any] = {"version": 1, "providers": self.providers}
        parts |= {"aliases": self.aliases, "routes": self.routes, "keys": self.keys, "limits": self.limits}
        return {name: part for name, part in parts.items() if part or name == "providers"}


def name_for(text: str, taken: Any) -> str:
    """A resource's name that is made of this text and not taken yet."""
    base = _NOT_IN_NAMES.sub("-", text).strip("-.")[:_LONGEST] or "unnamed"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name
