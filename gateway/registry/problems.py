"""What is wrong with a configuration, and where: the one error that loading raises."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from gateway.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Trail = tuple[str | int, ...]
"""The keys and list positions that lead from the top of a document to a value."""

CUT = "…"
"""Where the rest of a long name is left out."""


HINT = "\0"
"""Where a message takes its hint."""
_COMPARED = 1000
"""Names that a misspelt one is compared with: each takes a hundredth of a millisecond."""
_ALIKE, _UNLIKE_START = 0.6, 0.62
"""The share of letters in common from which a word is taken for a misspelling; of one that starts otherwise it is
more: `nope` and `openai` have 0.6."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake, by its trail; `at_key` points at the key instead of its value."""

    trail: Trail
    message: str
    at_key: bool = False
    hint: Callable[[], str] | None = None
    """What stands at `HINT` in the message. Looked for when it is told: of many mistakes most are only counted."""
    lacks: str = ""
    """The one setting that is missing there; without a place in a file, callers of the admin API have its name."""

    @property
    def text(self) -> str:
        """The message with its hint."""
        return self.message if self.hint is None else self.message.replace(HINT, self.hint())


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, located for people."""

    where: str
    """`file:line:column`, or `file: key.path` where lines are not known."""
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class ConfigError(OperatorError):
    """A configuration that cannot be used. `str()` prints one located problem per line; none echoes a secret."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean `x`?` for the nearest known word, or nothing. Of many words, those alike in start and length are
    compared."""
    likely = nsmallest(_COMPARED, known, lambda name: (name[:1] != word[:1], abs(len(name) - len(word))))
    near = difflib.get_close_matches(word[:100], likely, n=1, cutoff=_UNLIKE_START)
    if not near:
        same = [name for name in likely if name[:1] == word[:1]]
        near = difflib.get_close_matches(word[:100], same, n=1, cutoff=_ALIKE)
    return f"; did you mean `{near[0]}`?" if near else ""


def shown(name: str) -> str:
    """A name from the file, made fit to stand in a line of text."""
    text = name if len(name) <= 60 else name[:57] + CUT
    return f"`{printable(text)}`"


def printable(text: str) -> str:
    """Text without control characters and line breaks."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def dotted(trail: Trail) -> str:
    """`providers.openai.models[0]`"""
    text = ""
    for step in trail:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.lstrip(".")
