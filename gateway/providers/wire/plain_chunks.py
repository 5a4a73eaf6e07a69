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

Shape = tuple[bytes, ...]
"""What each chunk has exactly once."""


def shape_of(body: bytes) -> Shape | None:
    """That of the last chunk of a block that holds nothing odd; None when it is no ordinary one: with a choice's index,
    without its finish reason, with an id and an object."""
    frame = body[body.rfind(b"\n\n", 0, len(body) - 2) + 2 :] if body.find(b"\n\n") < len(body) - 2 else body
    choice, kind, name = _CHOICE.search(frame), _OBJECT.search(frame), _ID.search(frame)
    if choice is None or kind is None or name is None:
        return None
    around = choice[1] + choice[2]
    if _INDEX.search(around) is None or _FINISH.search(around) is None:
        return None
    return choice[1], choice[2], kind[0], name[0]


def has_shape(body: bytes, shape: Shape) -> bool:
    """Whether every chunk of this block is worded so."""
    first, last, kind, name = shape
    chunks = body.count(b"\n\n")
    if chunks == 1:
        return first in body and last in body and kind in body and name in body
    return (
        body.count(first) == chunks
        and body.count(last) == chunks
        and body.count(kind) == chunks
        and body.count(name) == chunks
    )
