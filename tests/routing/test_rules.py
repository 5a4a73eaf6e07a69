"""Rules: which route a call falls under."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ModelNotFound
from gateway.registry.snapshot import Match, Span
from gateway.routing.globs import fits, prefix_of
from gateway.routing.rules import matches, mismatches, resolve
from gateway.types import Principal, Service
from tests.routing.support import A2, ANYONE, B1, T1, call, ids, route, snapshot


class Upload:
    """A body of which only the size matters."""

    def __init__(self, size: int | None) -> None:
        self.size = size


VISION = Match(capabilities=frozenset({"vision"}))
VISION_ONLY = {"needs": frozenset({"vision"})}


@pytest.mark.parametrize(
    ("match", "hit", "miss"),
    [
        (Match(models=("gpt-*",)), {"model": "gpt-4o"}, {"model": "GPT-4o"}),
        (Match(models=("gpt-?",)), {"model": "gpt-4"}, {"model": "gpt-4o"}),
        (Match(models=("m[12]",)), {"model": "m2"}, {"model": "m3"}),
        (Match(models=("exact",)), {"model": "exact"}, {"model": "exact "}),
        (Match(services=frozenset({"chat", "responses"})), {"service": Service.RESPONSES}, {"service": Service.IMAGES}),
        (Match(stream=True), {"stream": True}, {"stream": False}),
        (Match(stream=False), {"stream": False}, {"stream": True}),
        (Match(team="red"), {"team": "red"}, {"team": None}),
        (Match(key="ci"), {"key": "ci"}, {"key": "other"}),
        (Match(models=("a", "b*")), {"model": "b1"}, {"model": "c"}),
        (
            Match(groups=frozenset({"beta", "staff"})),
            {"groups": frozenset({"staff", "x"})},
            {"groups": frozenset({"x"})},
        ),
        (Match(groups=frozenset({"beta"})), {"groups": frozenset({"beta"})}, {}),
        (VISION, {"needs": frozenset({"vision", "tools"})}, {"needs": frozenset({"tools"})}),
        (Match(capabilities=frozenset({"vision", "tools"})), {"needs": frozenset({"vision", "tools"})}, VISION_ONLY),
        (Match(context=Span(above=100)), {"input_tokens": 60, "max_tokens": 41}, {"input_tokens": 100}),
        (Match(context=Span(up_to=100)), {"input_tokens": 60, "max_tokens": 40}, {"input_tokens": 101}),
        (Match(size=Span(above=3, up_to=5)), {"raw": b"12345"}, {"raw": b"123"}),
        (Match(size=Span(above=3, up_to=5)), {"raw": b"1234"}, {"raw": b"123456"}),
        (Match(size=Span(up_to=9)), {"upload": Upload(9), "raw": b""}, {"upload": Upload(None), "raw": b""}),
        (Match(headers={"x-tier": "gold"}), {"headers": {b"x-tier": b"gold"}}, {"headers": {b"x-tier": b"Gold"}}),
        (Match(headers={"x-tier": "gold"}), {"headers": {b"x-tier": b"gold", b"y": b"z"}}, {"headers": {}}),
        (Match(headers={"x-n": "\u00e9"}), {"headers": {b"x-n": b"\xe9"}}, {"headers": {b"x-n": "\u00e9".encode()}}),
    ],
)
def test_each_condition_decides(match: Match, hit: dict[str, Any], miss: dict[str, Any]) -> None:
    """A set condition holds for what it names and for nothing else."""
    for facts, wanted in ((hit, True), (miss, False)):
        facts = dict(facts)
        groups = facts.pop("groups", frozenset())
        principal = Principal(facts.pop("key", "k"), team=facts.pop("team", None), groups=groups)
        asked = call(facts.pop("model", "m"), **facts)
        assert matches(match, asked, principal) is wanted


def test_every_set_condition_must_hold() -> None:
    """Conditions are joined by `and`."""
    match = Match(models=("m*",), team="red", stream=True)
    red, blue = Principal("k", team="red"), Principal("k", team="blue")
    assert matches(match, call("m1", stream=True), red)
    assert not matches(match, call("m1", stream=True), blue)
    assert not matches(match, call("m1"), red)
    assert not matches(match, call("x", stream=True), red)


def test_the_first_route_that_matches_wins() -> None:
    """File order decides, even over a more exact route below and over bare names."""
    found = snapshot(route("wide", Match(models=("o*",)), A2), route("exact", Match(models=("one",)), B1))
    assert resolve(found, call("one"), ANYONE).name == "wide"
    assert resolve(found, call("two"), ANYONE).name == "model"
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
    assert (rule.name, ids(rule)) == (name, targets)


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


def test_every_condition_that_fails_is_named() -> None:
    """For explanations: the words of the configuration, each once."""
    match = Match(
        models=("a*",), services=frozenset({"images"}), team="t", key="k", groups=frozenset({"g"}),
        headers={"x-a": "1"}, stream=True, capabilities=frozenset({"tools"}), context=Span(above=9), size=Span(above=9),
    )  # fmt: skip
    words = ("model", "service", "team", "key", "group", "stream", "capabilities", "context", "size", "headers.x-a")
    assert mismatches(match, call("m"), ANYONE, "m") == words
    assert mismatches(Match(models=("m",)), call("m"), ANYONE, "m") == ()


@given(st.text("ab*?[]-", max_size=6), st.text("ab-[", max_size=6))
def test_globs_are_those_of_fnmatch(pattern: str, name: str) -> None:
    """Compiled once, a pattern means what it always did; what it begins with is what fitting names begin with."""
    assert fits((pattern,), name) is fnmatchcase(name, pattern)
    if fnmatchcase(name, pattern):
        assert name.startswith(prefix_of(pattern))


# ---- aliases and the default route


def test_an_alias_stands_for_its_model_everywhere() -> None:
    """Routes, qualified names and bare names are looked for by what the alias means; pinned calls know none."""
    found = snapshot(
        route("r", Match(models=("big*",)), A2), aliases={"smart": "big-1", "mine": "b/one", "bare": "two"}
    )
    named = {name: resolve(found, call(name), ANYONE) for name in ("smart", "mine", "bare")}
    assert {name: (rule.name, ids(rule)) for name, rule in named.items()} == {
        "smart": ("r", ["a/two"]),
        "mine": ("direct", ["b/one"]),
        "bare": ("model", ["a/two"]),
    }
    assert ids(resolve(found, call("smart", pinned="open"), ANYONE)) == ["open/smart"]


def test_the_default_route_is_for_what_nothing_else_is_for() -> None:
    """After routes, qualified names and bare names, before 404; never for a call whose path names its provider."""
    found = snapshot(route("r", Match(models=("x",)), A2), default=route("rest", Match(), B1))
    routes = {name: resolve(found, call(name), ANYONE).name for name in ("x", "one", "a/one", "new", "a/new", "off/x")}
    assert routes == {"x": "r", "one": "model", "a/one": "direct", "new": "rest", "a/new": "rest", "off/x": "rest"}
    with pytest.raises(ModelNotFound):
        resolve(found, call("new", pinned="a"), ANYONE)


def test_a_testing_provider_serves_who_names_it() -> None:
    """By its qualified name or by its path, and never by a bare name."""
    assert ids(resolve(snapshot(), call("trial/one"), ANYONE)) == [T1.id]
    assert ids(resolve(snapshot(), call("one", pinned="trial"), ANYONE)) == [T1.id]
    assert T1.id not in ids(resolve(snapshot(), call("one"), ANYONE))
