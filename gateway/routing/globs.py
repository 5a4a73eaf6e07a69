"""Patterns of model names: what is literal in one, and whether a name fits."""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import translate
from functools import lru_cache

WILD = frozenset("*?[")


def is_literal(pattern: str) -> bool:
    """Whether only one name fits."""
    return WILD.isdisjoint(pattern)


def prefix_of(pattern: str) -> str:
    """What every name that fits begins with."""
    for at, letter in enumerate(pattern):
        if letter in WILD:
            return pattern[:at]
    return pattern


def fits(patterns: tuple[str, ...], name: str) -> bool:
    """Whether one of them is for this name."""
    return any(_test(pattern)(name) for pattern in patterns)


@lru_cache(maxsize=16384)
def _test(pattern: str) -> Callable[[str], object]:
    """Compiled when first needed: `fnmatch` itself forgets all but 256 patterns."""
    if is_literal(pattern):
        return pattern.__eq__
    prefix = prefix_of(pattern)
    if pattern == f"{prefix}*":
        return lambda name: name.startswith(prefix)
    return re.compile(translate(pattern)).match
