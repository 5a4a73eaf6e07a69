"""The breaker's rules, on a clock of the test's own."""

from __future__ import annotations

import pytest

from gateway.storage.breaker import LONGEST, SHORTEST, SPREAD, STEADY_SECONDS, THRESHOLD, StoreBreaker
from gateway.storage.errors import SICK, Reason


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _breaker(time: Time | None = None, chance: float = 0.5) -> StoreBreaker:
    return StoreBreaker(time or Time(), lambda: chance)


def _open(breaker: StoreBreaker, reason: Reason = "down") -> None:
    for _ in range(THRESHOLD):
        breaker.failed(reason)
    assert breaker.open


@pytest.mark.parametrize("reason", sorted(SICK))
def test_opens(reason: Reason) -> None:
    """The third failure in a row that means a sick store opens it, and only that one says so."""
    breaker = _breaker()
    assert [breaker.failed(reason) for _ in range(4)] == [False, False, True, False]
    assert breaker.open
    assert breaker.reason == reason
    assert reason in repr(breaker)


def test_an_answer_counts_anew() -> None:
    """Failures that are not in a row do not open it."""
    breaker = _breaker()
    for _ in range(10):
        breaker.failed("slow")
        breaker.failed("slow")
        breaker.succeeded()
    assert not breaker.open


def test_bugs_do_not_count() -> None:
    """A script's error says nothing about the store, unless not even a connection came to be."""
    breaker = _breaker()
    assert not any(breaker.failed("error") for _ in range(10))
    assert [breaker.failed("error", certain=True) for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize(("reason", "opens"), [("readonly", True), ("oom", True), ("slow", False), ("down", False)])
def test_reads_prove_little(reason: Reason, opens: bool) -> None:
    """Where only writes fail, answered reads in between do not hide it."""
    breaker = _breaker()
    for _ in range(THRESHOLD):
        breaker.failed(reason)
        breaker.succeeded(wrote=False)
    assert breaker.open is opens


def test_a_full_store_is_full_until_a_probe_says_otherwise() -> None:
    """Scripts that free something may write in a full server: their success in between hides nothing; time does."""
    time = Time()
    breaker = _breaker(time)
    for _ in range(THRESHOLD):
        assert not breaker.open
        breaker.failed("oom")
        breaker.succeeded()
    assert breaker.open
    assert breaker.probed(None)
    for _ in range(2 * THRESHOLD):
        time.now += STEADY_SECONDS + 1
        assert not breaker.failed("oom")


def test_waits_double() -> None:
    """Probes come ever later, up to a bound, and a failed one renews the reason."""
    breaker = _breaker()
    _open(breaker)
    waits = []
    for _ in range(6):
        waits.append(breaker.wait())
        assert not breaker.probed("loading")
    assert waits == [0.25, 0.5, 1.0, 1.0, 1.0, 1.0]
    assert breaker.reason == "loading"
    assert breaker.probed(None)
    assert not breaker.open


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 1 - SPREAD), (0.999999, 1 + SPREAD)])
def test_jitter(chance: float, factor: float) -> None:
    """Waits differ between processes by a fifth either way."""
    breaker = _breaker(chance=chance)
    _open(breaker)
    assert [breaker.wait() for _ in range(6)][::5] == pytest.approx([SHORTEST * factor, LONGEST * factor], rel=1e-4)


@pytest.mark.parametrize(("seconds", "first"), [(1.0, 1.0), (STEADY_SECONDS, SHORTEST)])
def test_relapse(seconds: float, first: float) -> None:
    """Who falls sick again at once is probed as late as before; after a while of health, early again."""
    time = Time()
    breaker = _breaker(time)
    _open(breaker)
    breaker.wait()
    breaker.wait()
    breaker.probed(None)
    time.now += seconds
    _open(breaker)
    assert breaker.wait() == first


def _probes(breaker: StoreBreaker, answers: str) -> str:
    """Probe until it closes: `q` is a quick answer, `l` a late one, `x` none in time. Those that were needed."""
    for at, answer in enumerate(answers):
        breaker.wait()
        if breaker.probed("slow" if answer == "x" else None, quick=answer == "q"):
            return answers[: at + 1]
    return "never"


def test_slow_stores_prove_themselves() -> None:
    """A store that was slow is taken back after quick answers in a row, after more of them if it is slow again soon."""
    time = Time()
    breaker = _breaker(time)
    _open(breaker, "slow")
    assert _probes(breaker, "lqqlqxqqqqq") == "lqqlqxqqq"
    _open(breaker, "slow")
    assert _probes(breaker, "qqqqqlqqqqqqqq") == "qqqqqlqqqqqq"
    _open(breaker, "slow")
    assert _probes(breaker, "qqqqqqqq") == "qqqqqq", "never more than so many"
    time.now += STEADY_SECONDS
    _open(breaker, "slow")
    assert _probes(breaker, "qqqqqq") == "qqq"
    _open(breaker, "down")
    assert _probes(breaker, "l") == "l", "one answer is enough of what was not slow"


def test_confirming_is_quick() -> None:
    """Probes that only confirm follow each other at once, at moments that do not keep step with anything."""
    breaker = _breaker(chance=0.0)
    _open(breaker, "slow")
    breaker.wait()
    breaker.probed(None)
    assert breaker.wait() == pytest.approx(0.06)
