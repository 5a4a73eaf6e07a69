"""Request heads, made once per deployment, path and credential."""

from __future__ import annotations

from gateway.ports import Dialect, RequestHead
from gateway.types import Deployment

MAX_HEADS = 8192


class Heads:
    """A bounded cache of heads; several keys of one provider are used in turn."""

    def __init__(self) -> None:
        self._heads: dict[tuple[Deployment, str, int], RequestHead] = {}
        self._turns: dict[str, int] = {}

    def get(self, dialect: Dialect, path: str, deployment: Deployment) -> RequestHead:
        """The head for this call's path, with the credential whose turn it is."""
        keys = deployment.provider.api_keys
        turn = 0
        if len(keys) > 1:
            name = deployment.provider.name
            turn = (self._turns.get(name, -1) + 1) % len(keys)
            self._turns[name] = turn
        found = self._heads.get((deployment, path, turn))
        if found is None:
            # A new snapshot brings new deployments; those of old ones must not stay for ever.
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            found = dialect.head(path, deployment, keys[turn] if keys else None)
            self._heads[(deployment, path, turn)] = found
        return found
