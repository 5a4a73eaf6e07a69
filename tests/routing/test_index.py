"""The index finds what a look at every route finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.registry.snapshot import Match, Route, Snapshot
from gateway.routing.index import Index
from gateway.routing.rules import matches, resolve
from gateway.types import Call, Principal
from tests.routing.random_routes import CALLS, ROUTES
from tests.routing.support import A1, ANYONE, call, route, snapshot


def _resolved(found: Snapshot, asked: Call, principal: Principal, routes: list[Route] | None) -> object:
    try:
        rule = resolve(found, asked, principal, routes)
    except GatewayError as refused:
        return type(refused)
    return rule.name, rule.targets


@given(ROUTES, st.lists(CALLS, max_size=10))
def test_the_index_equals_the_scan(routes: list[Route], calls: list[tuple[Call, Principal]]) -> None:
    """Whatever the routes and the call: the same rule, and candidates stand in file order."""
    found = snapshot(*routes, aliases={"alias": "one"})
    index = Index(routes)
    for asked, principal in calls:
        model = found.aliases.get(asked.model, asked.model)
        candidates = list(index.candidates(asked, principal, model))
        assert [routes.index(one) for one in candidates] == sorted({routes.index(one) for one in candidates})
        assert _resolved(found, asked, principal, candidates) == _resolved(found, asked, principal, None)


def test_a_thousand_routes_are_not_looked_at() -> None:
    """Routes that differ in model, prefix, team, key, group or header are found by what they differ in."""
    kinds = (
        lambda at: Match(models=(f"m{at}",)),
        lambda at: Match(models=(f"p{at}-*",)),
        lambda at: Match(models=("same",), team=f"t{at}"),
        lambda at: Match(models=("same",), key=f"k{at}"),
        lambda at: Match(models=("s*",), groups=frozenset({f"g{at}"})),
        lambda at: Match(models=("same",), headers={"x-tenant": f"h{at}"}),
    )
    routes = [route(f"r{at}", kinds[at % len(kinds)](at), A1) for at in range(1200)]
    index = Index(routes)
    who = Principal("k603", team="t602", groups=frozenset({"g604"}))
    asked = call("same", headers={b"x-tenant": b"h605"})
    found = list(index.candidates(asked, who, "same"))
    assert [one.name for one in found] == ["r602", "r603", "r604", "r605"]
    assert all(matches(one.match, asked, who) for one in found)
    assert [one.name for one in index.candidates(call("m600"), ANYONE, "m600")] == ["r600"]
    assert [one.name for one in index.candidates(call("p601-x"), ANYONE, "p601-x")] == ["r601"]
