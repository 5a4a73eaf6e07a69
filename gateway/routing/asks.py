"""What the routes of a snapshot ask of calls: two calls that agree in all of it fall under the same rule."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable

from gateway.registry.snapshot import Snapshot, Span
from gateway.routing.rules import context_of, size_of
from gateway.types import Call, Principal


class Asks:
    """What to look at besides the model, the service and whether it streams."""

    def __init__(self, snapshot: Snapshot) -> None:
        matches = [route.match for route in snapshot.routes]
        declared = any(deployment.capabilities for deployment in snapshot.deployments.values())
        self.needs = declared or any(match.capabilities for match in matches)
        """Whether anything goes by the capabilities that a request asks for."""
        self._headers = tuple(sorted({name.encode() for match in matches for name in match.headers}))
        self._key = any(match.key is not None for match in matches)
        self._team = any(match.team is not None for match in matches)
        self._groups = any(match.groups for match in matches)
        self._context = _bounds(match.context for match in matches)
        self._size = _bounds(match.size for match in matches)
        self.more = any((self._headers, self._key, self._team, self._groups, self._context, self._size))
        """Whether there is anything to look at."""

    def of(self, call: Call, principal: Principal) -> Hashable:
        """What this call and its caller have of that."""
        return (
            principal.key if self._key else None,
            principal.team if self._team else None,
            principal.groups if self._groups else None,
            tuple(map(call.headers.get, self._headers)),
            bisect_left(self._context, context_of(call)) if self._context else 0,
            bisect_left(self._size, -1 if (size := size_of(call)) is None else size) if self._size else 0,
            bool(self._size) and size_of(call) is None,
        )


def _bounds(spans: Iterable[Span | None]) -> list[int]:
    """Every bound of these, ascending: amounts between the same two are within the same spans."""
    bounds = (bound for span in spans if span is not None for bound in (span.above, span.up_to))
    return sorted({bound for bound in bounds if bound is not None})
