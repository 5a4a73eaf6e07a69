"""Rules, planner and strategies: pure answers to `where may this call go`."""

from __future__ import annotations

import dataclasses
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest, ModelNotFound, NoUpstream
from gateway.providers import discover
from gateway.providers.wire.openai import OpenAIDialect
from gateway.registry.snapshot import Match, Route, Snapshot, Target
from gateway.routing.planner import MEMO_SIZE, Planner
from gateway.routing.rules import matches, resolve
from gateway.routing.strategies import STRATEGIES, order, weighted
from gateway.types import Call, Deployment, Principal, Provider, Service

CHAT_ONLY = OpenAIDialect("chat_only", services=frozenset({Service.CHAT}))
DIALECTS = {**discover(), "chat_only": CHAT_ONLY}
A = Provider("a", "openai_compatible", "http://127.0.0.1/v1")
B = Provider("b", "chat_only", "http://127.0.0.1/v1")
OFF = Provider("off", "openai_compatible", "http://127.0.0.1/v1", status="inactive")
OPEN = Provider("open", "openai_compatible", "http://127.0.0.1/v1")
ANYONE = Principal("anonymous")


def of(provider: Provider, model: str) -> Deployment:
    """A deployment."""
    return Deployment(f"{provider.name}/{model}", provider, model)


A1, A2, B1 = of(A, "one"), of(A, "two"), of(B, "one")


def snapshot(*routes: Route) -> Snapshot:
    """Providers a (one, two), b (one), open (any model), off (inactive)."""
    return Snapshot(
        "rev",
        providers={p.name: p for p in (A, B, OFF, OPEN)},
        deployments={d.id: d for d in (A1, A2, B1)},
        routes=routes,
        models={"one": (A1, B1), "two": (A2,)},
    )


def route(name: str, match: Match, *targets: Deployment, strategy: str = "priority") -> Route:
    """A route to these."""
    return Route(name, match, strategy, tuple(Target(target) for target in targets))


def call(model: str, **fields: Any) -> Call:
    """A call for this model."""
    given = {"service": Service.CHAT, "path": "/chat/completions", **fields}
    return Call(id="1", request_id="1", model=model, raw=b"{}", started=0.0, **given)


def ids(found: Any) -> list[str]:
    """Deployments by name."""
    return [getattr(target, "deployment", target).id for target in found.targets]


# ---- rules


@pytest.mark.parametrize(
    ("match", "hit", "miss"),
    [
        (Match(model="gpt-*"), {"model": "gpt-4o"}, {"model": "GPT-4o"}),
        (Match(model="gpt-?"), {"model": "gpt-4"}, {"model": "gpt-4o"}),
        (Match(model="m[12]"), {"model": "m2"}, {"model": "m3"}),
        (Match(model="exact"), {"model": "exact"}, {"model": "exact "}),
        (Match(services=frozenset({"chat", "responses"})), {"service": Service.RESPONSES}, {"service": Service.IMAGES}),
        (Match(stream=True), {"stream": True}, {"stream": False}),
        (Match(stream=False), {"stream": False}, {"stream": True}),
        (Match(team="red"), {"team": "red"}, {"team": None}),
        (Match(key="ci"), {"key": "ci"}, {"key": "other"}),
        (Match(headers={"x-tier": "gold"}), {"headers": {b"x-tier": b"gold"}}, {"headers": {b"x-tier": b"Gold"}}),
        (Match(headers={"x-tier": "gold"}), {"headers": {b"x-tier": b"gold", b"y": b"z"}}, {"headers": {}}),
        (Match(headers={"x-n": "\u00e9"}), {"headers": {b"x-n": b"\xe9"}}, {"headers": {b"x-n": "\u00e9".encode()}}),
    ],
)
def test_each_condition_decides(match: Match, hit: dict[str, Any], miss: dict[str, Any]) -> None:
    """A set condition holds for what it names and for nothing else."""
    for facts, wanted in ((hit, True), (miss, False)):
        facts = dict(facts)
        principal = Principal(facts.pop("key", "k"), team=facts.pop("team", None))
        asked = call(facts.pop("model", "m"), **facts)
        assert matches(match, asked, principal) is wanted


def test_every_set_condition_must_hold() -> None:
    """Conditions are joined by `and`."""
    match = Match(model="m*", team="red", stream=True)
    red, blue = Principal("k", team="red"), Principal("k", team="blue")
    assert matches(match, call("m1", stream=True), red)
    assert not matches(match, call("m1", stream=True), blue)
    assert not matches(match, call("m1"), red)
    assert not matches(match, call("x", stream=True), red)


def test_the_first_route_that_matches_wins() -> None:
    """File order decides, even over a more exact route below and over bare names."""
    found = snapshot(route("wide", Match(model="o*"), A2), route("exact", Match(model="one"), B1))
    assert resolve(found, call("one"), ANYONE).route == "wide"
    assert resolve(found, call("two"), ANYONE).route == "model"
    assert ids(resolve(found, call("one"), ANYONE)) == ["a/two"]


@pytest.mark.parametrize(
    ("model", "pinned", "name", "targets"),
    [
        ("one", None, "model", ["a/one", "b/one"]),
        ("two", None, "model", ["a/two"]),
        ("a/one", None, "direct", ["a/one"]),
        ("b/one", None, "direct", ["b/one"]),
        ("open/any/thing", None, "direct", ["open/any/thing"]),
        ("one", "b", "direct", ["b/one"]),
        ("b/one", "b", "direct", ["b/one"]),
        ("x", "open", "direct", ["open/x"]),
    ],
)
def test_names_resolve_without_routes(model: str, pinned: str | None, name: str, targets: list[str]) -> None:
    """`provider/model`, then the bare name wherever it is listed, in file order; a pinned call goes nowhere else."""
    rule = resolve(snapshot(), call(model, pinned=pinned), ANYONE)
    assert (rule.route, ids(rule)) == (name, targets)


@pytest.mark.parametrize(
    ("model", "pinned"),
    [
        ("none", None),
        ("a/none", None),
        ("off/x", None),
        ("nobody/one", None),
        ("a/", None),
        ("", None),
        ("two", "b"),
        ("one", "nobody"),
        ("a/one", "b"),
        ("one", "off"),
        ("open/", None),
    ],
)
def test_names_that_nobody_serves_are_not_found(model: str, pinned: str | None) -> None:
    """404 `model_not_found`, with the field to blame."""
    with pytest.raises(ModelNotFound) as refused:
        resolve(snapshot(), call(model, pinned=pinned), ANYONE)
    assert refused.value.param == "model"


# ---- planner


def test_a_target_that_lacks_the_service_is_left_out_with_its_reason() -> None:
    """Skipping says why; when nobody is left it is the request's mistake."""
    planner = Planner(snapshot(), DIALECTS, Random(1))
    plan = planner.plan(call("one", service=Service.EMBEDDINGS), ANYONE)
    assert ids(plan) == ["a/one"]
    assert [(skipped.deployment, skipped.reason.partition(":")[0]) for skipped in plan.skipped] == [
        ("b/one", "service")
    ]
    with pytest.raises(InvalidRequest) as refused:
        planner.plan(call("b/one", service=Service.EMBEDDINGS), ANYONE)
    assert refused.value.param == "model"


def test_a_route_without_active_targets_has_no_upstream() -> None:
    """Every provider inactive: 503 that names the route, not a 404."""
    with pytest.raises(NoUpstream, match="empty"):
        Planner(snapshot(route("empty", Match(model="m"))), DIALECTS, Random(1)).plan(call("m"), ANYONE)


def test_a_plan_carries_its_routes_rules() -> None:
    """`max_attempts`, `fallback_on` and the revision come with it."""
    special = dataclasses.replace(
        route("r", Match(model="m"), A1, B1), max_attempts=2, fallback_on=frozenset({"timeout"})
    )
    plan = Planner(snapshot(special), DIALECTS, Random(1)).plan(call("m"), ANYONE)
    assert (plan.route, plan.max_attempts, plan.fallback_on, plan.revision) == ("r", 2, frozenset({"timeout"}), "rev")


MATCHES = st.builds(
    Match,
    model=st.none() | st.sampled_from(["one", "o*", "*", "a/*", "x"]),
    services=st.frozensets(st.sampled_from(["chat", "embeddings"]), max_size=2),
    team=st.none() | st.sampled_from(["red", "blue"]),
    key=st.none() | st.sampled_from(["k1", "k2"]),
    headers=st.dictionaries(st.sampled_from(["x-a", "x-b"]), st.sampled_from(["1", "2"]), max_size=2),
    stream=st.none() | st.booleans(),
)
ROUTES = st.lists(
    st.builds(
        lambda match, targets, strategy: route("r", match, *targets, strategy=strategy),
        MATCHES,
        st.lists(st.sampled_from([A1, A2, B1]), min_size=0, max_size=3, unique=True),
        st.sampled_from(sorted(STRATEGIES)),
    ),
    max_size=4,
).map(lambda routes: [dataclasses.replace(r, name=f"r{at}") for at, r in enumerate(routes)])
PRINCIPALS = [Principal(key, team=team) for key in ("k1", "k2") for team in (None, "red", "blue")]
CALLS = st.builds(
    lambda model, principal, **fields: (call(model, **fields), principal),
    st.sampled_from(["one", "two", "a/one", "b/one", "open/x", "x", "none"]),
    st.sampled_from(PRINCIPALS),
    service=st.sampled_from([Service.CHAT, Service.EMBEDDINGS]),
    stream=st.booleans(),
    pinned=st.none() | st.sampled_from(["a", "b", "open"]),
    headers=st.dictionaries(st.sampled_from([b"x-a", b"x-b", b"x-c"]), st.sampled_from([b"1", b"2"]), max_size=3),
)


def answer(planner: Planner, asked: Call, principal: Principal) -> Any:
    """A plan or its refusal as plain values; the order of weighted targets aside."""
    try:
        plan = planner.plan(asked, principal)
    except (ModelNotFound, NoUpstream, InvalidRequest) as refused:
        return type(refused), refused.public_message
    return plan.route, sorted(ids(plan)), plan.skipped, plan.max_attempts, plan.fallback_on


@given(ROUTES, st.lists(CALLS, max_size=20))
def test_a_remembered_answer_is_the_fresh_one(routes: list[Route], calls: list[tuple[Call, Principal]]) -> None:
    """Whatever was asked before, a planner with memory says what a new one says."""
    found = snapshot(*routes)
    remembering = Planner(found, DIALECTS, Random(1))
    for asked, principal in [*calls, *reversed(calls)]:
        assert answer(remembering, asked, principal) == answer(Planner(found, DIALECTS, Random(1)), asked, principal)


def test_a_client_that_invents_names_cannot_fill_the_memory() -> None:
    """The memo and the deployments made on demand are bounded."""
    found = snapshot()
    planner = Planner(found, DIALECTS, Random(1))
    for at in range(MEMO_SIZE + 100):
        planner.plan(call(f"open/{at}"), ANYONE)
    assert len(planner._memo) <= MEMO_SIZE
    assert len(found._dynamic) <= 1024


# ---- strategies


def targets(*weights: int) -> list[Target]:
    """One target for each weight."""
    return [Target(of(A, str(at)), weight) for at, weight in enumerate(weights)]


@given(
    st.sampled_from([*STRATEGIES, "unknown", "sticky"]),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=6),
    st.integers(),
)
def test_every_strategy_only_reorders(strategy: str, weights: list[int], seed: int) -> None:
    """No target is lost, added or doubled."""
    given_ = targets(*weights)
    assert Counter(map(id, order(strategy, given_, Random(seed)))) == Counter(map(id, given_))


def test_weights_are_shares() -> None:
    """Of 6000 draws each target comes first as often as its weight says (chi-square, 1 in 10⁶), weight 0 last."""
    weights = [5, 3, 2, 0]
    chance, given_, draws = Random(42), targets(*weights), 6000
    firsts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for _ in range(draws):
        drawn = weighted(given_, chance)
        firsts[drawn[0].deployment.model] += 1
        if drawn[0].deployment.model == "0":
            seconds[drawn[1].deployment.model] += 1
        assert drawn[-1].weight == 0
    assert chi_square(firsts, {"0": 0.5, "1": 0.3, "2": 0.2}) < 27.6
    assert chi_square(seconds, {"1": 0.6, "2": 0.4}) < 24


def chi_square(found: Counter[str], shares: dict[str, float]) -> float:
    """How far counts are from shares."""
    total = sum(found.values())
    assert set(found) <= set(shares)
    return sum((found[name] - total * share) ** 2 / (total * share) for name, share in shares.items())


def test_only_weight_zero_is_still_an_order() -> None:
    """All weights 0: the written order."""
    given_ = targets(0, 0, 0)
    assert list(weighted(given_, Random(1))) == given_


def test_a_routes_cap_on_output_reaches_the_plan() -> None:
    """What a route reserves for callers who set no cap stands in the plan; other ways to a model have none."""
    capped = dataclasses.replace(route("r", Match(model="capped"), A1), max_output_tokens=4096)
    planner = Planner(snapshot(capped), DIALECTS, Random(1))
    found = [planner.plan(call(name), ANYONE).max_output_tokens for name in ("capped", "one", "a/one")]
    assert found == [4096, None, None]
