"""How often somebody may try."""

from __future__ import annotations

from gateway.auth.buckets import Buckets, seconds
from gateway.auth.login import LoginThrottle
from tests.auth.conftest import Time


def test_a_burst_and_then_one_by_one() -> None:
    """As many as the bucket holds, then as they come in again; what is refused costs nothing."""
    clock = Time(0.0)
    buckets = Buckets(3, 0.5, clock)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 2]
    assert buckets.take("b") == 0
    clock.now = 1.0
    assert (buckets.take("a"), buckets.wait("a")) == (1, 1)
    clock.now = 2.0
    assert (buckets.take("a"), buckets.take("a")) == (0, 2)
    clock.now = 1000.0
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 2]
    assert [seconds(wait) for wait in (0.0, 0.2, 1.0, 1.01)] == [1, 1, 1, 2]


def test_memory_is_bounded() -> None:
    """Whoever was not seen for longest is forgotten."""
    buckets = Buckets(1, 0.1, Time(0.0), most=100)
    for n in range(1000):
        buckets.take(str(n))
    assert len(buckets) == 100
    assert buckets.take("999") > 0
    assert buckets.take("0") == 0


def test_guessing_is_stopped() -> None:
    """From one address after a few words; the account's owner elsewhere is not shut out."""
    clock = Time(0.0)
    throttle = LoginThrottle(clock)
    assert [throttle.take("ada", "192.0.2.1") == 0 for _ in range(7)] == [True] * 5 + [False] * 2
    assert throttle.take("ADA", "192.0.2.1") > 0
    assert throttle.take("ada", "192.0.2.2") == 0
    clock.now = 31.0
    assert throttle.take("ada", "192.0.2.1") == 0
    assert throttle.take("ada", "192.0.2.1") > 0


def test_guessing_of_many_accounts_from_one_address_is_stopped() -> None:
    """Whoever tries one password on everybody."""
    throttle = LoginThrottle(Time(0.0))
    tried = [throttle.take(f"user{n}", "192.0.2.1") == 0 for n in range(30)]
    assert tried == [True] * 20 + [False] * 10


def test_guessing_from_many_addresses_is_stopped() -> None:
    """The account has a bucket of its own."""
    throttle = LoginThrottle(Time(0.0))
    tried = [throttle.take("ada", f"192.0.2.{n}") == 0 for n in range(80)]
    assert tried == [True] * 60 + [False] * 20


def test_who_knows_the_password_uses_nothing_up() -> None:
    """However often."""
    throttle = LoginThrottle(Time(0.0))
    for _ in range(100):
        assert throttle.take("ada", "192.0.2.1") == 0
        throttle.knew("ada", "192.0.2.1")
