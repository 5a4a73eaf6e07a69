"""What routes and providers say of failures, as it is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.registry.checks import cross_faults
from gateway.registry.compile_rules import with_fallbacks
from gateway.registry.snapshot import Match, Route, Target
from gateway.types import Deployment, Drain, Hedge, Provider

from .support import load_text

TEXT = """
version: 1
providers:
  a: {type: mock, models: [m, big], on_disconnect: {at_once: 5}, queue_timeout: 2s, breaker: false}
  b: {type: mock, models: [m], on_disconnect: drain}
  c: {type: mock, models: [m], on_disconnect: cancel}
  off: {type: mock, status: inactive}
routes:
  - name: x
    match: {model: x}
    targets: [{provider: a, model: m}]
    fallbacks: {context_window: y, content_filter: b/m}
    hedge: {after: 500ms}
  - name: y
    match: {model: y}
    targets: [{provider: off, model: mock-small}, {provider: b, model: m}]
    fallbacks: {context_window: z}
    hedge: {max_share: 0.1}
  - name: z
    match: {model: z}
    targets: [{provider: b, model: m}, {provider: a, model: big}]
    fallbacks: {content_filter: off/mock-small}
"""


def test_fallbacks_are_followed_to_their_end(tmp_path: Path) -> None:
    """A chain of routes becomes one list without repetitions; what is inactive is left out."""
    x, y, z = load_text(tmp_path, TEXT).snapshot.routes
    found = {word: [one.id for one in chain] for word, chain in x.fallbacks.items()}
    assert found == {"context_window": ["b/m", "a/big"], "content_filter": ["b/m"]}
    assert {word: [one.id for one in chain] for word, chain in y.fallbacks.items()} == {
        "context_window": ["b/m", "a/big"]
    }
    assert z.fallbacks == {}


def test_hedging_and_draining(tmp_path: Path) -> None:
    """Every form, with what is not said."""
    snapshot = load_text(tmp_path, TEXT).snapshot
    assert [route.hedge for route in snapshot.routes] == [Hedge(0.5, 0.05), Hedge(None, 0.1), None]
    providers = snapshot.providers
    assert [providers[name].drain for name in "abc"] == [Drain(5, 60.0), Drain(32, 60.0), None]
    assert [providers[name].queue_timeout for name in "ab"] == [2.0, 1.0]
    assert [providers[name].breaker for name in "ab"] == [False, True]


class Counted(dict[str, str]):
    """A route's fallbacks that count how often they are followed."""

    looks = 0

    def get(self, key: str, default: Any = None) -> Any:
        Counted.looks += 1
        return super().get(key, default)


def test_a_long_chain_is_followed_once() -> None:
    """Each route is looked at a few times, however many there are; of a circle each member is told, by its start."""
    many = 3000
    routes = [{"name": f"r{n}", "fallbacks": Counted(context_window=f"r{n + 1}")} for n in range(many)]
    routes.append({"name": f"r{many}"})
    Counted.looks = 0
    assert cross_faults({"routes": routes}) == []
    assert Counted.looks <= 2 * many
    routes[-1]["fallbacks"] = {"context_window": f"r{many - 20}"}
    found = cross_faults({"routes": routes})
    assert [fault.trail[1] for fault in found] == list(range(many - 20, many + 1))
    assert found[0].text == (
        "this leads back to where it came from: r2980 → r2981 → r2982 → r2983 → r2984 → r2985 → r2986 → r2987 → "
        "r2988 → r2989 → … → r2980 (name another route, or remove it)"
    )


def test_a_long_chain_is_compiled_once() -> None:
    """What routes lead to is made out of what the next one leads to, in any order of the routes."""
    many = 3000
    deployment = Deployment("a/m", Provider("a", "mock", "mock:"), "m")
    settings = [{"name": f"r{n}", "fallbacks": Counted(context_window=f"r{n + 1}")} for n in range(many)]
    settings.append({"name": f"r{many}", "fallbacks": {"context_window": "b/m"}})
    routes = [Route(str(item["name"]), Match(), "priority", (Target(deployment),)) for item in settings]
    end = Deployment("b/m", Provider("b", "mock", "mock:"), "m")
    for listed in (settings, settings[::-1]):
        Counted.looks = 0
        in_order = routes if listed is settings else routes[::-1]
        found = with_fallbacks(in_order, listed, lambda _provider, _model: end)
        assert Counted.looks <= 2 * many
        chains = [[one.id for one in route.fallbacks["context_window"]] for route in found]
        assert sorted(chains) == [["a/m", "b/m"]] * many + [["b/m"]]
