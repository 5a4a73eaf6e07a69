"""Whose turn it is of a provider's credentials."""

from __future__ import annotations

from dataclasses import replace

from gateway.types import Provider
from gateway.upstream.credentials import MOST_PARKED, PARK_SECONDS, Credentials

THREE = Provider("p", "openai", "https://p.example/v1", api_keys=("a", "b", "c"), key_names=("one", "two", "three"))


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def turns(credentials: Credentials, provider: Provider, count: int) -> list[str | None]:
    return [credentials.next(provider) for _ in range(count)]


def test_in_turn() -> None:
    """One after the other; a provider without keys has none."""
    credentials = Credentials(Time())
    assert turns(credentials, THREE, 4) == ["a", "b", "c", "a"]
    assert turns(credentials, replace(THREE, api_keys=("x",)), 2) == ["x", "x"]
    assert credentials.next(replace(THREE, api_keys=())) is None


def test_a_refused_one_is_left_out() -> None:
    """A refused key is not used until its time is over; then one call tries it, and the others still leave it out."""
    time = Time()
    credentials = Credentials(time)
    credentials.refused(THREE, "b")
    assert "b" not in turns(credentials, THREE, 9)
    assert credentials.parked({"p": THREE}) == [("p", "two", PARK_SECONDS)]
    time.now += PARK_SECONDS
    assert turns(credentials, THREE, 6).count("b") == 1
    credentials.accepted(THREE, "b")
    assert turns(credentials, THREE, 6).count("b") == 2
    assert not credentials.any_refused


def test_again_and_again() -> None:
    """Each refusal in a row doubles the time, up to a bound; what was under way at the first one does not count."""
    time = Time()
    credentials = Credentials(time)
    seconds = []
    for _ in range(6):
        credentials.refused(THREE, "b")
        credentials.refused(THREE, "b")
        (parked,) = credentials.parked({"p": THREE})
        seconds.append(parked.seconds)
        time.now += parked.seconds
    assert seconds == [60.0, 120.0, 240.0, 480.0, MOST_PARKED, MOST_PARKED]


def test_refused_again_by_the_call_that_tried_it() -> None:
    """A trial that fails doubles the time as well, and what else was under way then does not count."""
    time = Time()
    credentials = Credentials(time)
    credentials.refused(THREE, "b")
    seconds = []
    for _ in range(4):
        (parked,) = credentials.parked({"p": THREE})
        time.now += parked.seconds
        assert "b" in turns(credentials, THREE, 3)
        credentials.refused(THREE, "b")
        credentials.refused(THREE, "b")
        seconds.append(credentials.parked({"p": THREE})[0].seconds)
    assert seconds == [120.0, 240.0, 480.0, MOST_PARKED]


def test_all_refused() -> None:
    """With every key refused the one whose time ends first is used: the deployment is another's to park."""
    time = Time()
    credentials = Credentials(time)
    for key in ("b", "a", "c"):
        credentials.refused(THREE, key)
        time.now += 1
    assert turns(credentials, THREE, 3) == ["b", "b", "b"]


def test_a_single_one_is_never_left_out() -> None:
    """There is no other."""
    credentials = Credentials(Time())
    single = replace(THREE, api_keys=("a",))
    credentials.refused(single, "a")
    assert credentials.next(single) == "a"
    assert credentials.parked({"p": single}) == []


def test_what_a_rotation_replaced() -> None:
    """A replaced key serves when the new one is refused, and never before."""
    credentials = Credentials(Time())
    rotated = replace(THREE, api_keys=("new",), key_names=("one",), spare_keys=("old",))
    assert turns(credentials, rotated, 3) == ["new", "new", "new"]
    credentials.refused(rotated, "new")
    assert turns(credentials, rotated, 2) == ["old", "old"]


def test_what_is_gone_is_forgotten() -> None:
    """A key that its provider has no longer is no longer told of."""
    credentials = Credentials(Time())
    credentials.refused(THREE, "b")
    assert credentials.parked({"p": replace(THREE, api_keys=("a", "c"))}) == []
    assert not credentials.any_refused
