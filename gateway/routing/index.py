"""Finding the routes that may match a call without looking at every one.

Each route stands under one of its conditions: that which the fewest others have too. So a thousand routes for one
model and a thousand teams are told apart by the team, and as many models by the model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from gateway.registry.snapshot import Match, Route
from gateway.routing.globs import is_literal, prefix_of
from gateway.types import Call, Principal

Place: TypeAlias = tuple[str, str]
"""A kind of condition and what it asks for."""
MODEL, PREFIX, TEAM, KEY, GROUP, HEADER = "model", "prefix", "team", "key", "group", "header:"
ANYWHERE: Place = ("", "")
"""Where those stand that have no condition to be found by."""


class Index:
    """The routes of one snapshot, by what calls must have to match them."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        places = [_places(route.match) for route in routes]
        crowd = Counter(place for choices in places for choice in choices for place in choice)
        self._found: dict[Place, list[int]] = defaultdict(list)
        for at, choices in enumerate(places):
            best = min(choices, key=lambda choice: max(crowd[place] for place in choice), default=(ANYWHERE,))
            for place in best:
                self._found[place].append(at)
        self._found.default_factory = None
        kinds = {kind for kind, _ in self._found}
        self._lengths = sorted({len(word) for kind, word in self._found if kind == PREFIX})
        headers = sorted(kind for kind in kinds if kind.startswith(HEADER))
        self._headers = [(kind, kind.removeprefix(HEADER).encode()) for kind in headers]
        self._groups = GROUP in kinds

    def candidates(self, call: Call, principal: Principal, model: str) -> Iterator[Route]:
        """The routes that may match, in file order; every one that does is among them."""
        found = self._found
        lists = [found[place] for place in self._asked(call, principal, model) if place in found]
        if len(lists) == 1:
            return map(self._routes.__getitem__, lists[0])
        return map(self._routes.__getitem__, sorted({at for those in lists for at in those}))

    def _asked(self, call: Call, principal: Principal, model: str) -> list[Place]:
        """Every place where a route for this call can stand."""
        asked = [(MODEL, model), (KEY, principal.key), ANYWHERE]
        if principal.team is not None:
            asked.append((TEAM, principal.team))
        if self._groups:
            asked += ((GROUP, group) for group in principal.groups)
        for length in self._lengths:
            if length > len(model):
                break
            asked.append((PREFIX, model[:length]))
        for kind, name in self._headers:
            asked.append((kind, call.headers.get(name, b"").decode("latin-1")))
        return asked


def _places(match: Match) -> list[tuple[Place, ...]]:
    """Where a route can stand: any one of these, at all of its places."""
    choices: list[tuple[Place, ...]] = []
    if match.models:
        models = tuple(dict.fromkeys(_place(pattern) for pattern in match.models))
        if ANYWHERE not in models:
            choices.append(models)
    if match.key is not None:
        choices.append(((KEY, match.key),))
    if match.team is not None:
        choices.append(((TEAM, match.team),))
    if match.groups:
        choices.append(tuple((GROUP, group) for group in sorted(match.groups)))
    choices += [((HEADER + name, wanted),) for name, wanted in match.headers.items()]
    return choices


def _place(pattern: str) -> Place:
    if is_literal(pattern):
        return MODEL, pattern
    prefix = prefix_of(pattern)
    return (PREFIX, prefix) if prefix else ANYWHERE
