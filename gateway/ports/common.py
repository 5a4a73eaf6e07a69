"""What several rooms need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Clock = Callable[[], float]
"""Monotonic seconds."""


@dataclass(slots=True)
class Secrets:
    """Values that must never be printed; `redact` replaces them wherever they turn up."""

    values: set[str] = field(default_factory=set)

    def redact(self, text: str) -> str:
        for value in self.values:
            text = text.replace(value, "[redacted]")
        return text


Json = dict[str, Any]
