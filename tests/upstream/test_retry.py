"""`next_try` as a pure function: what may follow a failed attempt, for any plan and any failures."""

from __future__ import annotations

import inspect
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.errors import (
    ProviderAuthFailed,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.types import Deployment, Plan, Provider
from gateway.upstream.retry import MAX_BACKOFF, MAX_WAIT_FOR_RATE_LIMIT, Failure, next_try

KINDS = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, UpstreamError) and found.__module__.startswith(errors.__name__)
]


def deployment(name: str, retries: int = 3, delay: float = 0.5) -> Deployment:
    """A deployment of a provider of its own."""
    provider = Provider(name, "mock", "http://127.0.0.1", retry_attempts=retries, retry_delay=delay)
    return Deployment(id=f"{name}/m", provider=provider, model="m")


def plan(*targets: Deployment, attempts: int = 4, words: frozenset[str] | None = None) -> Plan:
    """A plan over these."""
    return Plan("r", targets, "rev", attempts, words or frozenset({"error", "timeout", "rate_limit", "auth"}))


def failed(*pairs: tuple[Deployment, UpstreamError]) -> list[Failure]:
    """Failures in order."""
    return [Failure(where, error) for where, error in pairs]


ERRORS = st.builds(
    lambda kind, wait: _with_wait(kind, wait),  # noqa: PLW0108 - defined below
    st.sampled_from(KINDS),
    st.none() | st.floats(0, 200, allow_nan=False),
)


def _with_wait(kind: type[UpstreamError], wait: float | None) -> UpstreamError:
    error = kind()
    error.retry_after = wait
    return error


DEPLOYMENTS = st.lists(st.tuples(st.integers(0, 5), st.floats(0, 60)), min_size=1, max_size=5).map(
    lambda facts: [deployment(f"p{at}", retries, delay) for at, (retries, delay) in enumerate(facts)]
)
WORDS = st.frozensets(st.sampled_from(["error", "timeout", "rate_limit", "auth"]))


@given(DEPLOYMENTS, st.integers(1, 10), WORDS, st.floats(0.0, 20), st.data())
def test_any_course_of_failures_is_bounded(
    targets: list[Deployment], attempts: int, words: frozenset[str], seconds: float, data: st.DataObject
) -> None:
    """Follow `next_try` to its end, whatever fails: every promise about attempts, order and waits holds all along."""
    route = Plan("r", tuple(targets), "rev", attempts, words)
    failures: list[Failure] = []
    now = targets[0]
    while True:
        assert len(failures) < attempts
        error = data.draw(ERRORS)
        failures.append(Failure(now, error))
        step = next_try(route, failures, seconds, Random(data.draw(st.integers(0, 9))))
        if step is None:
            break
        tried = [failure.deployment for failure in failures]
        assert error.failover, "what no other provider can mend is never tried again"
        assert 0 <= step.wait < max(seconds, 1e-9)
        assert step.wait <= MAX_BACKOFF
        assert step.deployment in targets
        fresh = step.deployment not in tried
        untried = [target for target in targets if target not in tried]
        if fresh:
            assert step.wait == 0
            assert step.deployment is untried[0], "in the plan's order"
            assert error.fallback_on in words
        else:
            assert not untried or error.fallback_on not in words, "other deployments come first"
            assert tried.count(step.deployment) <= step.deployment.provider.retry_attempts
            last = [failure.error for failure in failures if failure.deployment is step.deployment][-1]
            assert last.failover
            assert last.retry_same or isinstance(last, UpstreamRateLimited)
        if error.fallback_on not in words:
            assert step.deployment is now, "a failure that the route does not fall back on stays where it is"
        now = step.deployment
    assert next_try(route, failures, 0.0, Random(0)) is None
    assert next_try(route, failures, -1.0, Random(0)) is None


A, B, C = deployment("a"), deployment("b"), deployment("c")


def test_others_come_first_then_the_first_again() -> None:
    """a, b, c, and then a once more: four attempts in all."""
    route, failures, order = plan(A, B, C), [], [A]
    while True:
        failures += failed((order[-1], UpstreamServerError()))
        step = next_try(route, failures, 60, Random(1))
        if step is None:
            break
        order.append(step.deployment)
    assert order == [A, B, C, A]


def test_the_clients_own_mistake_is_never_tried_again() -> None:
    """A provider's 400 is final even with deployments left."""
    assert next_try(plan(A, B), failed((A, UpstreamRejected())), 60, Random(1)) is None


def test_a_single_deployment_is_retried_as_often_as_configured() -> None:
    """`retry_attempts` counts retries after the first try."""
    for retries in range(4):
        only = deployment("only", retries)
        failures = failed((only, UpstreamUnreachable()))
        while next_try(plan(only, attempts=10), failures, 60, Random(1)) is not None:
            failures += failed((only, UpstreamUnreachable()))
        assert len(failures) == retries + 1


@pytest.mark.parametrize("error", [ProviderAuthFailed(), UpstreamTimeout()])
def test_what_the_same_deployment_cannot_mend_needs_another(error: UpstreamError) -> None:
    """Refused credentials and spent timeouts go to another deployment or end."""
    assert next_try(plan(A), failed((A, error)), 60, Random(1)) is None
    assert next_try(plan(A, B), failed((A, error)), 60, Random(1)) is not None


@pytest.mark.parametrize(
    ("wait", "tried"), [(0.0, True), (0.5, True), (MAX_WAIT_FOR_RATE_LIMIT, True), (2.001, False), (None, False)]
)
def test_a_short_rate_limit_is_waited_for_once(wait: float | None, tried: bool) -> None:
    """Two seconds at most, the only deployment, and one time."""
    limited = UpstreamRateLimited(retry_after=wait)
    step = next_try(plan(A), failed((A, limited)), 60, Random(1))
    assert (step is not None) == tried
    if step is not None:
        assert (step.deployment, step.wait) == (A, wait)
    assert next_try(plan(A), failed((A, limited), (A, limited)), 60, Random(1)) is None
    assert next_try(plan(A), failed((A, limited)), (wait or 0) * 0.5, Random(1)) is None
    other = next_try(plan(A, B), failed((A, limited)), 60, Random(1))
    assert other is not None
    assert (other.deployment, other.wait) == (B, 0)


def test_a_route_falls_back_only_on_what_it_lists() -> None:
    """Without `timeout` in `fallback_on` a timeout ends the call, even if an earlier deployment might be retried."""
    words = frozenset({"error"})
    assert next_try(plan(A, B, words=words), failed((A, UpstreamTimeout())), 60, Random(1)) is None
    both = failed((A, UpstreamServerError()), (B, UpstreamTimeout()))
    assert next_try(plan(A, B, words=words), both, 60, Random(1)) is None
    step = next_try(plan(A, B, words=frozenset({"timeout"})), failed((A, UpstreamServerError())), 60, Random(1))
    assert step is not None
    assert step.deployment is A, "the same one may be tried again"


def test_the_backoff_is_full_jitter_with_a_growing_ceiling() -> None:
    """Waits are spread over 0 to delay·2ⁿ, at most five seconds."""
    chance = Random(7)
    only = deployment("only", 9, 1.0)
    for count in range(1, 6):
        failures = failed(*[(only, UpstreamServerError())] * count)
        steps = [next_try(plan(only, attempts=20), failures, 600, chance) for _ in range(300)]
        waits = [step.wait for step in steps if step is not None]
        ceiling = min(MAX_BACKOFF, 2 ** (count - 1))
        assert len(waits) == 300
        assert max(waits) <= ceiling
        assert max(waits) > 0.9 * ceiling
        assert min(waits) < 0.1 * ceiling


def test_an_overloaded_provider_is_no_rate_limit() -> None:
    """503 with its own wait is backed off like any failure."""
    step = next_try(plan(A), failed((A, UpstreamOverloaded(retry_after=30))), 60, Random(1))
    assert step is not None
    assert step.wait <= 0.5
