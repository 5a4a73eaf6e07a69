"""Request heads, made once per deployment, path, kind of answer and credential."""

from __future__ import annotations

from gateway.ports import Dialect, RequestHead
from gateway.types import Call, Deployment

MAX_HEADS = 8192


class Heads:
    """A bounded cache of heads."""

    def __init__(self) -> None:
        self._heads: dict[tuple[Deployment, str, bool, str | None], RequestHead] = {}

    def get(self, dialect: Dialect, call: Call, deployment: Deployment, credential: str | None) -> RequestHead:
        """The head for this call with this token or key."""
        found = self._heads.get((deployment, call.path, call.stream, credential))
        if found is None:
            # A new snapshot brings new deployments, and tokens change: those of old ones must not stay for ever.
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            found = dialect.head(call, deployment, credential)
            self._heads[(deployment, call.path, call.stream, credential)] = found
        return found
