"""How one provider words an ordinary chunk, learnt from one: others are compared with it by a few searches.

What may differ from chunk to chunk is the text, and what stands outside the choice but for the id and the object's
name. Quotes within a text are escaped, so that none of these parts can stand in one.
"""

from __future__ import annotations

import re

_CHOICE = re.compile(
    rb'("choices"\s*:\s*\[\s*\{[^{}\[\]]*"delta"\s*:\s*\{\s*"(?:content|reasoning_content)"\s*:\s*")'
    rb'(?:[^"\\]|\\.)*'
    rb'("[^{}\[\]]*\}[^{}\[\]]*\}\s*\])'
)
"""One choice with a text and nothing that is nested: up to its text, and from its end on."""
_OBJECT = re.compile(rb'"object"\s*:\s*"chat\.completion\.chunk"')
_ID = re.compile(rb'"id"\s*:\s*"[^"\\]+"')
_INDEX, _FINISH = re.compile(rb'"index"\s*:\s*\d'), re.compile(rb'"finish_reason"\s*:\s*null')

BETWEEN = b"}\n\ndata: {"
"""Where one event ends and the next begins: a needle that is found faster than two line feeds."""

Shape = tuple[bytes, ...]
"""What each chunk has exactly once. Two parts: all before its text, and what follows it. Four, where that differs from
chunk to chunk (a date, say): the choice before its text and after it, the object's name, the id."""


def count_of(body: bytes) -> int:
    """How many plain events a block holds."""
    return body.count(BETWEEN) + 1


def shape_of(body: bytes, before: Shape | None = None) -> Shape | None:
    """That of the last chunk of a block that holds nothing odd; None when it is no ordinary one: with a choice's index,
    without its finish reason, with an id and an object. `before` is the shape that this block did not have."""
    frame = body[body.rfind(b"\n\n", 0, len(body) - 2) + 2 :] if body.find(b"\n\n") < len(body) - 2 else body
    choice, kind, name = _CHOICE.search(frame), _OBJECT.search(frame), _ID.search(frame)
    if choice is None or kind is None or name is None:
        return None
    around = choice[1] + choice[2]
    if _INDEX.search(around) is None or _FINISH.search(around) is None:
        return None
    prefix = frame[: choice.end(1)]
    wordy = kind.end() <= len(prefix) and name.end() <= len(prefix)
    if wordy and (before is None or before[1] != choice[2]):
        return prefix, choice[2]
    return choice[1], choice[2], kind[0], name[0]


def is_one(body: bytes, shape: Shape) -> bool:
    """Whether this is a single chunk that begins and ends so, as most reads of a paced stream are."""
    return body.startswith(shape[0]) and shape[1] in body and BETWEEN not in body


def has_shape(body: bytes, shape: Shape) -> bool:
    """Whether every chunk of this block is worded so."""
    chunks = count_of(body)
    return all(body.count(part) == chunks for part in shape)
