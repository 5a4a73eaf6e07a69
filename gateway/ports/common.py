"""Small types that several rooms need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Clock = Callable[[], float]
"""Monotonic seconds."""


@dataclass(slots=True)
class Secrets:
    """Values that must never be printed; `telemetry.redaction` takes them out of log lines."""

    values: set[str] = field(default_factory=set)


Json = dict[str, Any]
