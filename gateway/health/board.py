"""What this worker knows of every deployment, in one place."""

from __future__ import annotations

from gateway.types import Condition, Deployment


class Board:
    """The condition of each deployment, made when first asked for and kept across reloads."""

    def __init__(self) -> None:
        self._conditions: dict[str, Condition] = {}

    def of(self, deployment: Deployment) -> Condition:
        """Always the same object for one deployment's id."""
        found = self._conditions.get(deployment.id)
        if found is None:
            found = self._conditions[deployment.id] = Condition(deployment.id)
        return found
