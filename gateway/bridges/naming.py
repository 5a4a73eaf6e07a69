"""What clients of one surface call the fields of another."""

from __future__ import annotations

from collections.abc import Mapping


def named(name: str, lists: Mapping[str, str], fields: Mapping[str, str]) -> str:
    """The client's name for a field. `lists` are those whose insides differ between the two surfaces: of a place inside
    one, only which it is can be told. A field that is in neither has one name in both."""
    for theirs, ours in lists.items():
        if name.startswith(theirs):
            return ours
    return fields.get(name, name)
