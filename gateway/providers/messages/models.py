"""What each generation of Claude accepts, told from the model's name. Data; unknown names are taken to accept what they
are asked.

The API refuses by presence: a sampling parameter that a model lost is a 400 even at its default value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_NAME = re.compile(
    r"(?P<family>opus|sonnet|haiku|fable|mythos|instant)|(?<![\d.])(?P<number>\d{1,2}(?:[-._]\d{1,2})?)(?!\d)"
)
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
UNKNOWN_OUTPUT = 32_000


@dataclass(frozen=True, slots=True)
class Abilities:
    """Of one model. `efforts` are the levels of `output_config.effort` it knows."""

    sampling: bool = True
    """`temperature`, `top_p`, `top_k`."""
    both: bool = True
    """`temperature` and `top_p` together."""
    efforts: tuple[str, ...] = ()
    adaptive: bool = False
    """`thinking: adaptive`."""
    budget: bool = False
    """`thinking: enabled` with `budget_tokens`."""
    summaries: bool = False
    """Thinking is left out of answers unless `display: summarized` asks for it."""
    quiet: bool = True
    """Thinking can be switched off."""
    structured: bool = True
    """`output_config.format`, and `strict` tools."""
    prefill: bool = True
    """The conversation may end with words put into the model's mouth."""
    max_output: int = UNKNOWN_OUTPUT
    """Tokens: what is asked for when the caller sets no limit, since the API needs one."""


@lru_cache(maxsize=1024)
def abilities_of(model: str) -> Abilities:
    """By name, as any reseller spells it: `claude-opus-4-6`, `claude-3-7-sonnet@20250219`, `anthropic.claude-…`."""
    family, version = _parsed(model)
    if version is None:
        return Abilities()
    if version >= (4, 6):
        return _adaptive(family, version)
    if version >= (3, 7):
        return _budgeted(family, version)
    return Abilities(both=True, structured=False, max_output=8192 if version >= (3, 5) else 4096)


def _parsed(model: str) -> tuple[str, tuple[int, int] | None]:
    _, found, name = model.lower().rpartition("claude")
    if not found:
        return "", None
    family, version = "", None
    for match in _NAME.finditer(name):
        family = family or match["family"] or ""
        if version is None and match["number"]:
            major, *minor = re.split(r"[-._]", match["number"])
            version = (int(major), int(minor[0]) if minor else 0)
    return family, version


def _adaptive(family: str, version: tuple[int, int]) -> Abilities:
    newer = version >= (4, 7)
    always = family in ("fable", "mythos") or (family == "opus" and version >= (5, 5))
    return Abilities(
        sampling=not newer,
        both=False,
        efforts=_EFFORTS if newer else ("low", "medium", "high", "max"),
        adaptive=True,
        summaries=newer,
        quiet=not always,
        prefill=False,
        max_output=128_000,
    )


def _budgeted(family: str, version: tuple[int, int]) -> Abilities:
    newest = version >= (4, 5)
    large = 32_000 if family == "opus" and not newest else 64_000
    return Abilities(
        both=version < (4, 0),
        efforts=("low", "medium", "high") if family == "opus" and newest else (),
        budget=True,
        structured=newest or (family, version) == ("opus", (4, 1)),
        max_output=large,
    )
