"""What each generation of Gemini accepts, told from the model's name. Data; unknown names are taken for the newest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_NAME = re.compile(r"gemini-(?:\w+-)?(?P<major>\d{1,2})(?:\.(?P<minor>\d{1,2}))?(?!\d)")
NEWEST = (99, 0)
LEVELS = ("MINIMAL", "LOW", "MEDIUM", "HIGH")


@dataclass(frozen=True, slots=True)
class Abilities:
    """Of one model."""

    levels: tuple[str, ...] = ()
    """Values of `thinkingLevel` it knows, the least first. Together with a budget they are a 400."""
    budget: tuple[int, int] | None = None
    """The least and the most of `thinkingBudget`, in tokens; a least of 0 switches thinking off."""
    signed: bool = False
    """A call in the conversation without its thought signature is a 400."""
    pictured_results: bool = False
    """Results of tools may hold pictures and files."""
    validated: bool = False
    """The mode `VALIDATED`: calls keep to their schemas without being forced."""
    json_schema: bool = True
    """Schemas are JSON Schemas; before that a small part of OpenAPI's, where one unknown word is a 400."""
    instructed: bool = True
    """There are system instructions."""

    @property
    def reasons(self) -> bool:
        """It thinks, and can be told how hard."""
        return bool(self.levels) or self.budget is not None


@lru_cache(maxsize=1024)
def abilities_of(model: str) -> Abilities:
    """By name, as the Gemini API and Vertex AI spell it: `gemini-2.5-flash`, `models/gemini-3-pro-preview`, …"""
    name = model.lower()
    if "gemma" in name:
        return Abilities(instructed=False)
    version = _version(name)
    if version >= (3, 0):
        return Abilities(_levels(name, version), signed=True, pictured_results=True, validated=True)
    if version >= (2, 5):
        return Abilities(budget=_budget(name), validated=True)
    return Abilities(json_schema=version >= (2, 0))


def _version(name: str) -> tuple[int, int]:
    match = _NAME.search(name)
    return NEWEST if match is None else (int(match["major"]), int(match["minor"] or 0))


def _levels(name: str, version: tuple[int, int]) -> tuple[str, ...]:
    if "pro" not in name:
        return LEVELS
    return LEVELS[1:] if version >= (3, 1) else ("LOW", "HIGH")


def _budget(name: str) -> tuple[int, int]:
    return (128, 32_768) if "pro" in name else (0, 24_576)
