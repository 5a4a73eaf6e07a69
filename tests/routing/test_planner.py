"""The planner: where may this call go, at the moment."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import (
    ContextTooLong,
    GatewayError,
    InvalidRequest,
    MissingCapability,
    NoUpstream,
    UpstreamRateLimited,
)
from gateway.registry.snapshot import Match, Route, Snapshot
from gateway.routing.facts import Unwatched
from gateway.routing.planner import MEMO_SIZE, Planner
from gateway.types import Call, Condition, Plan, Principal, Service
from tests.routing.random_routes import CALLS, DEPLOYMENTS, ROUTES
from tests.routing.support import (
    A1,
    A2,
    ANYONE,
    B1,
    DIALECTS,
    NOW,
    A,
    call,
    conditions,
    ids,
    of,
    outcome,
    plain,
    planner,
    refusal,
    route,
    senses,
    snapshot,
)


def reasons(plan: Plan) -> dict[str, str]:
    """The word for why each deployment was left out."""
    return {skipped.deployment: skipped.reason.partition(":")[0] for skipped in plan.skipped}


def both(strategy: str = "priority", **fields: Any) -> Snapshot:
    """A route to a/one and then b/one."""
    return snapshot(route("r", Match(models=("m",)), A1, B1, strategy=strategy), **fields)


def test_a_target_that_lacks_the_service_is_left_out_with_its_reason() -> None:
    """Skipping says why; when nobody is left it is the request's mistake."""
    plan = planner(snapshot()).plan(call("one", service=Service.EMBEDDINGS), ANYONE)
    assert ids(plan) == ["a/one"]
    assert reasons(plan) == {"b/one": "service", "trial/one": "testing"}
    with pytest.raises(InvalidRequest) as refused:
        planner(snapshot()).plan(call("b/one", service=Service.EMBEDDINGS), ANYONE)
    assert refused.value.param == "model"


def test_a_route_without_active_targets_has_no_upstream() -> None:
    """Every provider inactive: 503 that names the route, not a 404."""
    with pytest.raises(NoUpstream, match="empty"):
        planner(snapshot(route("empty", Match(models=("m",))))).plan(call("m"), ANYONE)


def test_a_plan_carries_its_routes_rules() -> None:
    """`max_attempts`, `fallback_on` and the revision come with it; what a route reserves is for its calls only."""
    special = route(
        "r", Match(models=("m",)), A1, B1, max_attempts=2, fallback_on=frozenset({"timeout"}), max_output_tokens=4096
    )
    planning = planner(snapshot(special))
    plan = planning.plan(call("m"), ANYONE)
    assert (plan.route, plan.max_attempts, plan.fallback_on, plan.revision) == ("r", 2, frozenset({"timeout"}), "rev")
    caps = [planning.plan(call(name), ANYONE).max_output_tokens for name in ("m", "one", "a/one")]
    assert caps == [4096, None, None]


# ---- capabilities and windows

EYES = of(A, "eyes", capabilities=frozenset({"vision"}))
HANDS = of(A, "hands", capabilities=frozenset({"tools", "chat"}))


def test_a_deployment_without_a_needed_capability_is_left_out() -> None:
    """What declares nothing may have anything; what declares something has nothing else."""
    planning = planner(snapshot(route("r", Match(models=("m",)), EYES, HANDS, A1)))
    assert planning.infers
    found = {need: planning.plan(call("m", needs=frozenset({need})), ANYONE) for need in ("vision", "tools", "audio")}
    assert {need: ids(plan) for need, plan in found.items()} == {
        "vision": ["a/eyes", "a/one"],
        "tools": ["a/hands", "a/one"],
        "audio": ["a/one"],
    }
    assert reasons(found["audio"]) == {"a/eyes": "capability", "a/hands": "capability"}
    assert ids(planning.plan(call("m"), ANYONE)) == ["a/eyes", "a/hands", "a/one"]


def test_when_no_deployment_has_it_the_refusal_says_what() -> None:
    """400 `capability_not_supported`, with the capability."""
    planning = planner(snapshot(route("r", Match(models=("m",)), EYES, HANDS)))
    with pytest.raises(MissingCapability, match="json_schema") as refused:
        planning.plan(call("m", needs=frozenset({"json_schema"})), ANYONE)
    assert (refused.value.public_status, refused.value.public_code) == (400, "capability_not_supported")


def test_nothing_is_inferred_where_nothing_goes_by_it() -> None:
    """Neither capabilities of deployments nor of routes: bodies need not be looked at."""
    assert not planner(snapshot(route("r", Match(models=("m",)), A1))).infers
    assert planner(snapshot(route("r", Match(capabilities=frozenset({"tools"})), A1))).infers


SMALL, LARGE = of(A, "small", context_window=100), of(A, "large", context_window=1000)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"input_tokens": 60, "max_tokens": 40}, ["a/small", "a/large"]),
        ({"input_tokens": 61, "max_tokens": 40}, ["a/large"]),
        ({"input_tokens": 900}, ["a/large"]),
        ({"input_tokens": 1900}, ["a/large"]),
        ({"input_tokens": 1900, "max_tokens": 60}, None),
        ({"input_tokens": 2100}, None),
        ({"input_tokens": 2100, "service": Service.SPEECH}, ["a/small", "a/large"]),
        ({"input_tokens": 2100, "service": Service.EMBEDDINGS, "inputs": 20}, ["a/small", "a/large"]),
        ({"input_tokens": 200, "service": Service.EMBEDDINGS}, ["a/large"]),
    ],
)
def test_a_window_that_is_too_small_is_left_out(fields: dict[str, Any], wanted: list[str] | None) -> None:
    """By the estimated input and the output asked for; an estimate alone refuses only what is twice too long."""
    planning = planner(snapshot(route("r", Match(models=("m",)), SMALL, LARGE)))
    if wanted is None:
        with pytest.raises(ContextTooLong, match="1000") as refused:
            planning.plan(call("m", **fields), ANYONE)
        assert refused.value.public_code == "context_length_exceeded"
        return
    plan = planning.plan(call("m", **fields), ANYONE)
    assert ids(plan) == wanted
    assert reasons(plan) == ({} if len(wanted) == 2 else {"a/small": "context"})


# ---- rotation


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (Condition("a/one", out_until=NOW + 5, out_for="breaker"), "breaker"),
        (Condition("a/one", out_until=NOW + 5, out_for="cooldown"), "cooldown"),
        (Condition("a/one", out_until=NOW + 5, out_for="parked"), "parked"),
        (Condition("a/one", out_until=NOW + 4, out_for="breaker", on_trial=True), "breaker"),
    ],
)
@pytest.mark.parametrize("strategy", ["priority", "round_robin", "sticky"])
def test_what_is_out_is_left_out_while_another_is_in(condition: Condition, reason: str, strategy: str) -> None:
    """Whatever the strategy, with the reason; and as soon as it is back, so is its place."""
    condition = msgspec.structs.replace(condition)
    planning = planner(both(strategy), conditions=conditions(condition))
    for _ in range(4):
        plan = planning.plan(call("m"), ANYONE)
        assert (ids(plan), reasons(plan)) == (["b/one"], {"a/one": reason})
    condition.out_until, condition.on_trial = NOW - 1, False
    plan = planning.plan(call("m"), ANYONE)
    assert (sorted(ids(plan)), plan.skipped) == (["a/one", "b/one"], ())


@pytest.mark.parametrize(
    ("first", "second", "error", "wait"),
    [
        (("breaker", 7.0), ("breaker", 4.0), NoUpstream, 4.0),
        (("cooldown", 3.0), ("cooldown", 9.0), UpstreamRateLimited, 3.0),
        (("cooldown", 3.0), ("breaker", 9.0), NoUpstream, 3.0),
        (("parked", 60.0), ("breaker", 0.2), NoUpstream, 1.0),
    ],
)
def test_when_all_are_out_the_wait_is_that_of_the_first(
    first: tuple[str, float], second: tuple[str, float], error: type[GatewayError], wait: float
) -> None:
    """503 `no_upstream`, or 429 where only cooldowns stand in the way; both may be tried again."""
    found = [
        Condition(name, out_until=NOW + seconds, out_for=why)
        for name, (why, seconds) in zip(("a/one", "b/one"), (first, second), strict=True)
    ]
    with pytest.raises(error) as refused:
        planner(both(), conditions=conditions(*found)).plan(call("m"), ANYONE)
    assert refused.value.retry_after == wait
    assert refused.value.retryable is True
    assert refused.value.route == "r"
    left_out = [(name, reason.partition(":")[0]) for name, reason in refused.value.left_out]
    assert left_out == [("a/one", first[0]), ("b/one", second[0])]


# ---- memory


@given(ROUTES, st.lists(CALLS, max_size=12), st.lists(st.integers(0, 40), min_size=5, max_size=5))
def test_a_remembered_answer_is_the_fresh_one(
    routes: list[Route], calls: list[tuple[Call, Principal]], outs: list[int]
) -> None:
    """Whatever was asked before, and whatever is out meanwhile, a planner with memory says what a new one says."""
    found = snapshot(*routes, aliases={"alias": "one"})
    board = Unwatched()
    remembering = planner(found, conditions=board)
    for at, (asked, principal) in enumerate([*calls, *reversed(calls)]):
        for deployment, out in zip(DEPLOYMENTS, outs, strict=True):
            board.of(deployment).out_until = NOW + 9 if out < 10 and out % 3 == at % 3 else 0.0
        told, fresh = (
            _answer(remembering, asked, principal),
            _answer(Planner(found, DIALECTS, Random(1), senses(conditions=board)), asked, principal),
        )
        assert told == fresh


def _answer(planning: Planner, asked: Call, principal: Principal) -> Any:
    """The order aside, which chance decides."""
    found = outcome(planning, asked, principal)
    return (found[0], sorted(found[1]), *found[2:]) if isinstance(found[0], str) else found


@given(ROUTES, st.lists(CALLS, min_size=1, max_size=12), st.lists(st.integers(0, 6), min_size=5, max_size=5))
def test_what_is_foreseen_comes(routes: list[Route], calls: list[tuple[Call, Principal]], loads: list[int]) -> None:
    """The plan that is foreseen, order and all, is the next one; and to foresee it changes nothing."""
    board = Unwatched()
    planning = planner(snapshot(*routes, aliases={"alias": "one"}), conditions=board)
    for deployment, load in zip(DEPLOYMENTS, loads, strict=True):
        condition = board.of(deployment)
        condition.in_flight, condition.ttft = load, None if load == 3 else 0.1 * load
        condition.duration, condition.headroom = load or None, load / 6
    for asked, principal in calls:
        foreseen = [_foreseen(planning, asked, principal) for _ in range(2)]
        assert foreseen == [outcome(planning, asked, principal)] * 2


def _foreseen(planning: Planner, asked: Call, principal: Principal) -> Any:
    try:
        known = planning.known(planning.rule(asked, principal), asked)
        return plain(planning.foresee(known, asked, planning.foresight()))
    except GatewayError as refused:
        return refusal(refused)


def test_a_client_that_invents_names_cannot_fill_the_memory() -> None:
    """The memo and the deployments made on demand are bounded."""
    found = snapshot()
    planning = planner(found)
    for at in range(MEMO_SIZE + 100):
        planning.plan(call(f"open/{at}"), ANYONE)
    assert len(planning._memo) <= MEMO_SIZE
    assert len(found._dynamic) <= 1024


def test_callers_that_no_route_asks_about_share_an_answer() -> None:
    """Ten thousand keys are one question where no route goes by keys, teams or groups, and one per team by teams."""
    crowd = [Principal(f"k{at}", team=f"t{at % 3}") for at in range(300)]
    plainly, by_team = planner(both()), planner(both(default=None))
    by_team = planner(snapshot(route("t", Match(team="t1"), A2), route("r", Match(models=("m",)), A1, B1)))
    for who in crowd:
        plainly.plan(call("m"), who)
        by_team.plan(call("m"), who)
    assert (len(plainly._memo), len(by_team._memo)) == (1, 3)


def test_what_clients_name_is_looked_up_each_time() -> None:
    """The condition of a deployment that is not configured may be forgotten and made anew: remembered plans heed it."""
    board = Unwatched()
    planning = planner(snapshot(), conditions=board)
    assert ids(planning.plan(call("open/x"), ANYONE)) == ["open/x"]
    board._conditions["open/x"] = Condition("open/x", out_until=NOW + 5, out_for="breaker")
    with pytest.raises(NoUpstream):
        planning.plan(call("open/x"), ANYONE)


def test_what_no_window_holds_goes_where_the_route_says() -> None:
    """`fallbacks.context_window` is for calls known to be too long, too, before a provider refuses them; what is too
    long for these as well is refused, and what they cannot do is not sent there."""
    huge = of(A, "huge", context_window=5000)
    one = route("r", Match(models=("m",)), SMALL, LARGE, fallbacks={"context_window": (huge, EYES)})
    planning = planner(snapshot(one))
    plan = planning.plan(call("m", input_tokens=4000, needs=frozenset({"tools"})), ANYONE)
    assert (plan.route, ids(plan)) == ("r", ["a/huge"])
    assert reasons(plan) == {"a/small": "context", "a/large": "context"}
    with pytest.raises(ContextTooLong):
        planning.plan(call("m", input_tokens=11_000, needs=frozenset({"tools"})), ANYONE)
