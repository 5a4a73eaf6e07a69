"""Sticky routing: the same key goes to the same place, shares are kept, loads are bounded."""

from __future__ import annotations

from collections import Counter
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.facts import Unwatched
from gateway.routing.strategies.stickiness import (
    EXCESS,
    PREFIX,
    SLACK,
    first_within,
    key_of,
    rendezvous,
    sticky,
)
from gateway.types import Service
from tests.routing.support import call, facts, targets
from tests.routing.test_strategies import chi_square

KEYS = [f"key-{at}".encode() for at in range(4000)]


def firsts_of(*weights: int) -> dict[bytes, str]:
    """Where each key belongs."""
    given_ = targets(*weights)
    return {key: rendezvous(given_, key)[0].deployment.model for key in KEYS}


def test_each_gets_keys_by_its_weight() -> None:
    """Shares of 4000 keys are those of the weights (chi-square, 1 in 10⁶); weight 0 gets none."""
    found = Counter(firsts_of(5, 3, 2, 0).values())
    assert chi_square(found, {"0": 0.5, "1": 0.3, "2": 0.2}) < 27.6


def test_only_the_keys_of_who_left_move() -> None:
    """When a target goes, its keys move and no other's; when one comes, keys move to it alone."""
    before, after = firsts_of(1, 1, 1, 1), firsts_of(1, 1, 1)
    moved = {key for key in KEYS if before[key] != after[key]}
    assert moved == {key for key in KEYS if before[key] == "3"}
    assert 0.2 < len(moved) / len(KEYS) < 0.3


def test_it_is_the_same_in_every_process() -> None:
    """The order of a key is fixed for good: workers and replicas agree on it."""
    orders = {key: "".join(t.deployment.model for t in rendezvous(targets(1, 1, 1), key)) for key in KEYS[:6]}
    assert list(orders.values()) == ["021", "120", "210", "012", "201", "012"]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.lists(st.integers(1, 5), min_size=6, max_size=6))
def test_no_load_exceeds_its_bound(loads: list[int], weights: list[int]) -> None:
    """Who is taken stays within a quarter above its share, or has next to no load; some always may."""
    weights = weights[: len(loads)]
    at = first_within(loads, weights)
    bound = ceil((1 + EXCESS) * (sum(loads) + 1) * weights[at] / sum(weights))
    assert loads[at] + 1 <= max(SLACK, bound)
    for earlier in range(at):
        assert loads[earlier] + 1 > ceil((1 + EXCESS) * (sum(loads) + 1) * weights[earlier] / sum(weights))


@pytest.mark.parametrize("weight", [1, 0])
def test_one_busy_key_spreads_and_others_stay(weight: int) -> None:
    """A hundred calls at once for one key: nobody has more than a quarter above the mean; afterwards it is at home.
    Targets of weight 0 alone, as when all others are out, share alike."""
    given_, board = targets(weight, weight, weight, weight), Unwatched()
    looked = facts(asked=call("m", user="busy"), sticky_on=("user",), conditions=board)
    home = sticky(given_, looked)[0]
    taken: Counter[str] = Counter()
    for _ in range(100):
        chosen = sticky(given_, looked)[0].deployment
        board.of(chosen).in_flight += 1
        taken[chosen.model] += 1
    assert max(taken.values()) <= ceil(1.25 * 100 / 4)
    assert taken[home.deployment.model] == max(taken.values())
    for target in given_:
        board.of(target.deployment).in_flight = 0
    assert sticky(given_, looked)[0] is home


@pytest.mark.parametrize(
    ("sticky_on", "fields", "key"),
    [
        (("user", "prompt"), {"user": "u"}, b"user\0u"),
        (("header:x-s", "user"), {"user": "u", "headers": {b"x-s": b"7"}}, b"header:x-s\x007"),
        (("header:x-s", "user"), {"user": "u", "headers": {b"x-s": b""}}, b"user\0u"),
        (("user",), {}, None),
        (("prompt",), {"raw": b"{}"}, None),
        (("user", "prompt"), {"raw": b'{"model":"m","messages":[1]}'}, b'prompt\0"messages":[1]}'),
    ],
)
def test_what_a_call_goes_by(sticky_on: tuple[str, ...], fields: dict[str, object], key: bytes | None) -> None:
    """The first of the words that it has; empty values are none."""
    assert key_of(call("m", **fields), sticky_on) == key


def test_prompts_go_by_their_beginning() -> None:
    """The same system prompt, whatever follows, whatever model or fields stand before it; not another one."""
    system = "You are " + "very " * 300
    bodies = [
        f'{{"model":"{model}","messages":[{{"role":"system","content":"{system}"}},{{"content":"{rest}"}}]}}'.encode()
        for model, rest in (("a", "hello"), ("b-longer", "and something else"))
    ]
    keys = {key_of(call("m", raw=body), ("prompt",)) for body in bodies}
    assert len(keys) == 1
    other = bodies[0].replace(b"You are", b"I am")
    assert key_of(call("m", raw=other), ("prompt",)) not in keys
    assert len(next(iter(keys)) or b"") == PREFIX + len("prompt\0")
    responses = call("m", service=Service.RESPONSES, raw=b'{"input":"x","instructions":"be brief"}')
    assert key_of(responses, ("prompt",)) == b'prompt\0"instructions":"be brief"}'
