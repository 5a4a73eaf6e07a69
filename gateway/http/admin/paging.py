"""Lists in pages: a cursor names the place where a page ended, so that what is added meanwhile shifts nothing."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Query

from gateway.http.admin.problems import Detail, Invalid

LARGEST = 200
USUAL = 50
MAX_CURSOR = 1024
_BEYOND: dict[type, int] = {int: 2**63, float: 2**43}
"""What no database takes: of numbers, and of Unix seconds that become microseconds."""

Limit = Annotated[int, Query(ge=1, le=LARGEST, description="How many of them at most.")]
Cursor = Annotated[
    str | None, Query(max_length=MAX_CURSOR, description="`next_cursor` of the page before; omitted: the first page.")
]

_T = TypeVar("_T")
Place = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """Part of a sorted list, and the cursor for what follows."""

    items: Sequence[Any]
    next_cursor: str | None


def write_cursor(sort: str, place: Place) -> str:
    """An opaque word for a place in a list that is sorted so."""
    return base64.urlsafe_b64encode(orjson.dumps([sort, *place])).decode().rstrip("=")


def read_cursor(text: str | None, sort: str, *kinds: type) -> Place | None:
    """The place that a cursor names; None without one. Raises Invalid for one of another list, or of nobody's."""
    if text is None:
        return None
    try:
        found = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True))
    except (ValueError, binascii.Error, UnicodeEncodeError):
        raise bad_cursor() from None
    fits = isinstance(found, list) and len(found) == 1 + len(kinds) and found[0] == sort
    if not fits or not all(type(part) is kind for part, kind in zip(found[1:], kinds, strict=True)):
        raise bad_cursor()
    if any(abs(part) >= _BEYOND[type(part)] for part in found[1:] if type(part) in _BEYOND):
        raise bad_cursor()
    return tuple(found[1:])


def bad_cursor() -> Invalid:
    """The refusal of a cursor."""
    message = "this is no cursor of this list in this order"
    return Invalid(
        f"cursor: {message}",
        field="cursor",
        details=[Detail("cursor", message)],
        suggestions=["Send `next_cursor` of the page before with the same `sort`, or leave it out."],
    )


def cut(rows: Sequence[_T], limit: int, sort: str, place: Callable[[_T], Place]) -> Cut:
    """A page of rows of which one more than `limit` was asked for."""
    if len(rows) <= limit:
        return Cut(rows, None)
    shown = rows[:limit]
    return Cut(shown, write_cursor(sort, place(shown[-1])))


def cut_sorted(
    rows: Sequence[_T], limit: int, sort: str, key: Callable[[_T], tuple[Any, ...]], after: Place | None
) -> Cut:
    """A page of a whole list in memory. `sort` that begins with a dash: from the largest down."""
    down = sort.startswith("-")
    ordered = sorted(rows, key=key, reverse=down)
    if after is not None:
        ordered = [row for row in ordered if (key(row) < after if down else key(row) > after)]
    return cut(ordered, limit, sort, key)
