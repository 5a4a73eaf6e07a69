"""Request heads, made once per deployment, path, kind of answer and credential."""

from __future__ import annotations

from gateway.ports import Dialect, RequestHead
from gateway.types import Call, Deployment

MAX_HEADS = 8192


class Heads:
    """A bounded cache of heads; several keys of one provider are used in turn."""

    def __init__(self) -> None:
        self._heads: dict[tuple[Deployment, str, bool, str | None], RequestHead] = {}
        self._turns: dict[str, int] = {}

    def get(self, dialect: Dialect, call: Call, deployment: Deployment, token: str | None = None) -> RequestHead:
        """The head for this call, with the token or else the key whose turn it is."""
        credential = token
        keys = deployment.provider.api_keys
        if token is None and keys:
            credential = keys[0] if len(keys) == 1 else keys[self._turn(deployment.provider.name, len(keys))]
        found = self._heads.get((deployment, call.path, call.stream, credential))
        if found is None:
            # A new snapshot brings new deployments, and tokens change: those of old ones must not stay for ever.
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            found = dialect.head(call, deployment, credential)
            self._heads[(deployment, call.path, call.stream, credential)] = found
        return found

    def _turn(self, name: str, count: int) -> int:
        turn = self._turns[name] = (self._turns.get(name, -1) + 1) % count
        return turn
