"""What must not come out empty: settings that narrow, which as if not written would let more through. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.registry.problems import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.registry.interpolation import Interpolated
    from gateway.registry.problems import Trail

_WITHOUT: Mapping[tuple[str, str], str] = {
    ("keys", "models"): "a key without `models` may use all of them",
    ("keys", "services"): "a key without `services` may use all of them",
    ("keys", "team"): "a key without `team` is held to no team's limits",
    ("keys", "expires"): "a key without `expires` never ends",
    ("routes", "match"): "a route without this condition is for more requests",
    ("routes", "min_quality"): "a route without `min_quality` takes every target",
    ("limits", "only"): "a limit without `only` is for all members of its scope",
}
"""By list and setting: what follows where it is not written."""
_ALL_OF = "capabilities"
"""The one list of which everything must fit; of the others one word is enough."""


def emptied_faults(interpolated: Interpolated) -> Iterator[Fault]:
    """Every narrowing setting, or part of one, whose variables left nothing of it."""
    for trail in sorted(interpolated.emptied, key=str):
        without = _WITHOUT.get((str(trail[0]), str(trail[2]))) if len(trail) >= 3 else None
        if without is not None and not _narrows_still(interpolated.data, trail):
            yield Fault(trail, f"this is empty, and {without} (give it a value, or remove the setting)")


def _narrows_still(data: Any, trail: Trail) -> bool:
    """It is one of several words of which any may fit, and others are left."""
    if not isinstance(trail[-1], int) or _ALL_OF in trail:
        return False
    for step in trail[:-1]:
        items = dict(enumerate(data)) if isinstance(data, list) else data
        data = items.get(step) if isinstance(items, dict) else None
    return bool(data)
