"""Random routes, calls and callers: small worlds in which everything meets."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import strategies as st

from gateway.registry.snapshot import Match, Route, Span
from gateway.routing.strategies import STRATEGIES
from gateway.types import Deployment, Principal, Service
from tests.routing.support import A1, A2, B1, A, call, of, route

SEEING = of(A, "seeing", capabilities=frozenset({"vision", "tools"}), context_window=500)
SMALL = of(A, "small", context_window=100)
DEPLOYMENTS = [A1, A2, B1, SEEING, SMALL]
SPANS = st.none() | st.sampled_from([Span(above=50), Span(up_to=120), Span(above=50, up_to=120), Span(up_to=2)])
MATCHES = st.builds(
    Match,
    models=st.lists(st.sampled_from(["one", "o*", "on[ex]", "*", "*e", "a/*", "x", "two"]), max_size=2).map(tuple),
    services=st.frozensets(st.sampled_from(["chat", "embeddings"]), max_size=2),
    team=st.none() | st.sampled_from(["red", "blue"]),
    key=st.none() | st.none() | st.sampled_from(["k1", "k2"]),
    groups=st.frozensets(st.sampled_from(["g1", "g2"]), max_size=1),
    headers=st.dictionaries(st.sampled_from(["x-a", "x-b"]), st.sampled_from(["1", "2"]), max_size=1),
    stream=st.none() | st.booleans(),
    capabilities=st.frozensets(st.sampled_from(["vision", "tools"]), max_size=1),
    context=SPANS,
    size=SPANS,
)
SIMPLE_MATCHES = st.builds(Match, models=st.sampled_from([("one",), ("o*",), ("*",), ("x", "two")]))


def _named(routes: list[Route]) -> list[Route]:
    return [dataclasses.replace(one, name=f"r{at}") for at, one in enumerate(routes)]


def _routes(matches: st.SearchStrategy[Match], targets: st.SearchStrategy[list[Deployment]]) -> Any:
    def build(match: Match, found: list[Deployment], strategy: str) -> Route:
        return route("r", match, *found, strategy=strategy)

    return st.lists(st.builds(build, matches, targets, st.sampled_from(sorted(STRATEGIES))), max_size=5).map(_named)


TARGETS = st.lists(st.sampled_from(DEPLOYMENTS), min_size=0, max_size=4, unique=True)
ROUTES: st.SearchStrategy[list[Route]] = _routes(MATCHES | SIMPLE_MATCHES, TARGETS)
PRINCIPALS = [
    Principal(key, team=team, groups=groups)
    for key in ("k1", "k2")
    for team in (None, "red", "blue")
    for groups in (frozenset(), frozenset({"g1"}), frozenset({"g1", "g2"}))
]
CALLS = st.builds(
    lambda model, principal, **fields: (call(model, **fields), principal),
    st.sampled_from(["one", "two", "a/one", "b/one", "open/x", "x", "none", "alias"]),
    st.sampled_from(PRINCIPALS),
    service=st.sampled_from([Service.CHAT, Service.CHAT, Service.EMBEDDINGS]),
    stream=st.booleans(),
    pinned=st.none() | st.none() | st.sampled_from(["a", "b", "open"]),
    headers=st.dictionaries(st.sampled_from([b"x-a", b"x-b", b"x-c"]), st.sampled_from([b"1", b"2"]), max_size=3),
    needs=st.sampled_from([frozenset(), frozenset({"vision"}), frozenset({"vision", "tools"}), frozenset({"audio"})]),
    input_tokens=st.sampled_from([0, 51, 90, 121, 240, 1200]),
    max_tokens=st.none() | st.sampled_from([20, 400]),
    raw=st.sampled_from([b"{}", b"{   }", b" " * 51, b" " * 121]),
    inputs=st.sampled_from([1, 1, 20]),
    user=st.none() | st.sampled_from(["u1", "u2"]),
)
