"""One file per dialect: an independent reading of what its providers sent. A dialect is tested by having a file here.

Each has one object `READER` that satisfies `Reader`.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from dataclasses import dataclass, field
from typing import Any, Protocol

from tests.providers.recordings.exchanges import Exchange


@dataclass
class Told:
    """What one answer says to a client. A call: its id (None if the provider gives none), name, arguments."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str | None, str, Any]] = field(default_factory=list)
    finish: str | None = None
    usage: tuple[int, int, int, int, int] | None = None
    """Input (with cached and cache-written), output (with reasoning), cached, cache-written, reasoning."""
    failed: bool = False
    """The answer is an error, or breaks off."""


class Reader(Protocol):
    """One dialect's answers, read by hand."""

    dialect: str
    """The provider type whose dialect decodes them."""
    recorded: tuple[tuple[str, str], ...]
    """Provider and API of the exchanges."""

    def served(self, exchange: Exchange) -> bool:
        """Whether an exchange is one of this dialect's: some APIs carry several."""
        ...

    def told(self, exchange: Exchange) -> Told:
        """What a 200 says."""
        ...

    def asked(self, exchange: Exchange) -> dict[str, Any] | None:
        """An OpenAI request that means the same as the recorded one; None where OpenAI has no words for it."""
        ...

    def same(self, ours: bytes, recorded: dict[str, Any]) -> None:
        """Asserts that our body says what the recorded one does, up to differences that are documented here."""
        ...


def said(arguments: str) -> Any:
    """What arguments say; those that were cut off by the limit of the output are no JSON."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def readers() -> dict[str, Reader]:
    """Every reader by its dialect."""
    found: list[Reader] = [
        importlib.import_module(f"{__name__}.{module.name}").READER for module in pkgutil.iter_modules(__path__)
    ]
    return {reader.dialect: reader for reader in found}
