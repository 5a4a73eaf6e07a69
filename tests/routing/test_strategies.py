"""Strategies that all have in common, and those that go by the configuration and the price."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry.schema.routes import Strategy
from gateway.registry.snapshot import Target
from gateway.routing.strategies import STRATEGIES, order
from gateway.routing.strategies.costs import cost_optimized
from gateway.routing.strategies.draws import weighted
from gateway.routing.strategies.turns import round_robin, start, turn
from gateway.types import Call, Condition, Deployment
from tests.routing.support import call, conditions, facts, targets


def chi_square(found: Counter[str], shares: dict[str, float]) -> float:
    """How far counts are from shares."""
    total = sum(found.values())
    assert set(found) <= set(shares)
    return sum((found[name] - total * share) ** 2 / (total * share) for name, share in shares.items())


def names(found: list[Target]) -> str:
    """Their models, in order."""
    return "".join(target.deployment.model for target in found)


def test_every_strategy_of_the_schema_is_there() -> None:
    """A name that a file may say is a function; `primary_fallback` is another word for `priority`."""
    assert set(STRATEGIES) == set(Strategy.__args__) - {"primary_fallback"}  # type: ignore[attr-defined]


@given(
    st.sampled_from(sorted(STRATEGIES)),
    st.lists(st.sampled_from([0, 1, 2, 7, 10**6]), min_size=1, max_size=6),
    st.lists(st.integers(0, 9), min_size=6, max_size=6),
    st.integers(0, 10**6),
    st.sampled_from([None, "u"]),
)
def test_every_strategy_only_reorders(
    strategy: str, weights: list[int], loads: list[int], seed: int, user: str | None
) -> None:
    """No target is lost, added or doubled; one of weight 0 is never first while another has weight."""
    given_ = targets(*weights)
    found = [Condition(f"a/{at}", in_flight=load, ttft=load or None) for at, load in enumerate(loads)]
    looked = facts(seed, call("m", user=user), ("user", "prompt"), conditions=conditions(*found))
    ordered = order(strategy, given_, looked)
    assert Counter(map(id, ordered)) == Counter(map(id, given_))
    if any(weights) and strategy != "priority":
        assert ordered[0].weight > 0


def test_weights_are_shares() -> None:
    """Of 6000 draws each target comes first as often as its weight says (chi-square, 1 in 10⁶), weight 0 last."""
    given_, draws, looked = targets(5, 3, 2, 0), 6000, facts(42)
    firsts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for _ in range(draws):
        drawn = weighted(given_, looked)
        firsts[drawn[0].deployment.model] += 1
        if drawn[0].deployment.model == "0":
            seconds[drawn[1].deployment.model] += 1
        assert drawn[-1].weight == 0
    assert chi_square(firsts, {"0": 0.5, "1": 0.3, "2": 0.2}) < 27.6
    assert chi_square(seconds, {"1": 0.6, "2": 0.4}) < 24


def test_only_weight_zero_is_still_an_order() -> None:
    """All weights 0: the written order."""
    given_ = targets(0, 0, 0)
    assert list(weighted(given_, facts())) == given_
    assert list(round_robin(given_, facts())) == given_


# ---- round robin


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 1000))
def test_turns_are_exact_and_smooth(weights: list[int], seed: int) -> None:
    """Wherever it begins: over one cycle each is first as often as its weight, and never a turn behind or ahead."""
    given_, total = targets(*weights), sum(weights)
    looked = facts(seed)
    firsts = [round_robin(given_, looked)[0].deployment.model for _ in range(2 * total)]
    assert Counter(firsts[:total]) == {str(at): weight for at, weight in enumerate(weights)}
    assert firsts[total:] == firsts[:total]
    for at, weight in enumerate(weights):
        counts = [firsts[:n].count(str(at)) for n in range(total + 1)]
        drift = [count - n * weight / total for n, count in enumerate(counts)]
        assert max(drift) - min(drift) < 2


def test_workers_begin_at_different_places() -> None:
    """Of many workers' first calls each target gets its share, and none of them all (chi-square, 1 in 10⁶)."""
    given_ = targets(2, 1, 1)
    firsts = Counter(round_robin(given_, facts(seed))[0].deployment.model for seed in range(2000))
    assert chi_square(firsts, {"0": 0.5, "1": 0.25, "2": 0.25}) < 27.6


def test_who_comes_back_takes_its_turns_again() -> None:
    """While one is out the others share its turns; it has not saved them up."""
    given_ = targets(1, 1, 1)
    looked = facts()
    for _ in range(30):
        assert round_robin(given_[:2], looked)[0] is not given_[2]
    firsts = Counter(round_robin(given_, looked)[0].deployment.model for _ in range(30))
    assert max(firsts.values()) - min(firsts.values()) <= 2


def test_a_turn_is_pure() -> None:
    """The same turns give the same order, and are not changed."""
    given_ = targets(3, 2)
    turns = start(given_, Random(3))
    before = dict(turns)
    assert turn(given_, turns) == turn(given_, turns)
    assert turns == before


# ---- cost


@given(st.lists(st.none() | st.integers(0, 5), min_size=1, max_size=5), st.integers(0, 99))
def test_the_cheapest_comes_first(prices: list[int | None], seed: int) -> None:
    """In ascending order of what this call costs; what has no known price comes last."""
    cost = {f"a/{at}": price for at, price in enumerate(prices)}

    def cost_of(asked: Call, name: str, deployment: Deployment) -> int | None:
        assert (asked.model, name) == ("m", "r")
        return cost[deployment.id]

    ordered = cost_optimized(targets(*[1] * len(prices)), facts(seed, cost_of=cost_of))
    found = [cost[target.deployment.id] for target in ordered]
    assert found == sorted(found, key=lambda price: float("inf") if price is None else price)


@pytest.mark.parametrize("strategy", ["cost_optimized", "least_busy"])
def test_weights_decide_between_equals(strategy: str) -> None:
    """Nothing else tells them apart: shares are those of the weights (chi-square, 1 in 10⁶)."""
    given_ = targets(1, 1, 1) if strategy == "least_busy" else targets(2, 1, 1)
    looked = facts(7, cost_of=lambda *_: 5)
    firsts = Counter(order(strategy, given_, looked)[0].deployment.model for _ in range(4000))
    share = 0.5 if strategy == "cost_optimized" else 1 / 3
    rest = (1 - share) / 2
    assert chi_square(firsts, {"0": share, "1": rest, "2": rest}) < 27.6
