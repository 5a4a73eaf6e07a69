"""The life of an incident: what opens it, what belongs to it, when it is over."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.health.events import Event, Failures, Recovered
from gateway.health.incidents import (
    CLOSE_AFTER,
    FORGET_AFTER,
    PROVIDER,
    SECOND,
    Failing,
    Incident,
    Well,
    absorb,
    provider_of,
    reading_of,
    settle,
)
from gateway.ports import DeploymentChanged, ProbeResult


def probe(at: float, outcome: str = "5xx", deployment: str | None = None) -> ProbeResult:
    return ProbeResult("p", deployment, outcome, at, 0.1)


def change(
    at: float, state: str = "out", cause: str = "breaker", deployment: str = "p/m", failures: int = 0
) -> DeploymentChanged:
    return DeploymentChanged(deployment, state, cause, at, failures=failures)


def found_out(at: float, *, probed: bool = False, told: bool = False) -> DeploymentChanged:
    """A deployment that is out, and not because of a call of that worker."""
    return DeploymentChanged("p/m", "out", "dns", at, 5.0, told=told, probed=probed)


def played(*events: Event, incident: Incident | None = None) -> Incident | None:
    """The incident after these events, each probe with the one before it."""
    before: dict[str | None, ProbeResult] = {}
    numbers = count(1)
    for event in events:
        known = before.get(event.deployment) if isinstance(event, ProbeResult) else None
        incident = absorb(incident, "p", reading_of(event, known), lambda: f"inc-{next(numbers)}")
        if isinstance(event, ProbeResult):
            before[event.deployment] = event
    return incident


def at(seconds: float, incident: Incident) -> Incident:
    """The incident as it is looked at then."""
    return settle(incident, round(seconds * SECOND), lambda *_: True)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [probe(1, "ok"), probe(2, "ok")],
        [probe(1), probe(2, "ok"), probe(3), probe(4, "ok")],
        [probe(1, "429"), probe(2, "429"), probe(3, "no_list"), probe(4, "no_list")],
        [probe(1), probe(2, deployment="p/m")],
        [change(1, "degraded"), change(2, "out", "cooldown"), change(3, "out", "429"), change(4, "healthy", "")],
        [Failures("p/m", "5xx", 1000, 1, 9), Failures("p/m", "stall", 1000, 1, 9)],
        [Recovered("p/m", 1.0)],
        [probe(1, "dns"), found_out(2, probed=True), probe(12, "ok")],
        [found_out(1, told=True), found_out(2, probed=True, told=True)],
    ],
)
def test_no_incident(events: list[Event]) -> None:
    """Single failed probes and what they take out, rests for a rate limit, failures that the breaker lives with, and
    what one worker believes another open none."""
    assert played(*events) is None


@pytest.mark.parametrize(
    ("events", "cause", "subject", "first", "failures"),
    [
        ([probe(1, "ok"), probe(2), probe(3)], "5xx", PROVIDER, 2, 2),
        ([probe(2, "tls", "p/m"), probe(3, "stall", "p/m")], "stall", "p/m", 2, 2),
        ([change(2, failures=5)], "breaker", "p/m", 2, 5),
        ([Failures("p/m", "5xx", 5, 1, 2), change(2, failures=5)], "breaker", "p/m", 2, 5),
        ([change(2, "out", "parked", failures=2)], "parked", "p/m", 2, 2),
        ([change(2, "out", "")], "breaker", "p/m", 2, 1),
        ([Failures("p/m", "provider_auth", 3, 2, 4)], "provider_auth", "p/m", 2, 3),
        ([Failures("p/m", "tls", 1, 2, 2)], "tls", "p/m", 2, 1),
        ([Failures("p/m", "address_forbidden", 1, 2, 2)], "address_forbidden", "p/m", 2, 1),
    ],
)
def test_what_opens_one(events: list[Event], cause: str, subject: str, first: int, failures: int) -> None:
    """A probe that fails twice, a deployment that is out, and what no retry mends; with its cause and first failure."""
    incident = played(*events)
    assert incident is not None
    assert (incident.cause, list(incident.parts)) == (cause, [subject])
    assert (incident.first_failure, incident.failures) == (first * SECOND, failures)
    assert incident.quiet_since is None


def test_one_for_all_parts() -> None:
    """What fails while an incident is open belongs to it; it is over when the last part is, and not before."""
    incident = played(
        probe(1), probe(2), change(3), change(4, deployment="p/n", failures=7), Failures("p/m", "5xx", 7, 3, 5)
    )
    assert incident is not None
    assert incident.deployments == ["p/m", "p/n"]
    assert (incident.failures, incident.last_failure) == (9, 5 * SECOND)
    incident = played(probe(6, "ok"), change(7, "healthy", ""), incident=incident)
    assert incident is not None
    assert at(600, incident).closed_at is None
    incident = played(Recovered("p/n", 601.0), incident=incident)
    assert incident is not None
    assert incident.quiet_since == 601 * SECOND
    assert at(660, incident).closed_at is None
    assert at(661, incident).closed_at == 601 * SECOND


def test_what_a_probe_took_out_is_no_part() -> None:
    """Two failed probes open an incident, and a good one ends it: nobody has to call what they took out."""
    incident = played(probe(1, "dns"), found_out(1, probed=True), probe(11, "dns"), found_out(11, probed=True))
    assert incident is not None
    assert list(incident.parts) == [PROVIDER]
    incident = played(probe(41, "ok"), incident=incident)
    assert incident is not None
    assert at(101, incident).closed_at == 41 * SECOND


def test_flapping_is_one_incident() -> None:
    """What fails again within a minute of its recovery goes on in the same incident."""
    incident: Incident | None = None
    for minute in range(10):
        start = 100.0 * minute
        incident = played(change(start), change(start + 45, "healthy", ""), incident=incident)
        assert incident is not None
        assert at(start + 100, incident).closed_at is None
    assert incident is not None
    assert incident.id == "inc-1"
    assert at(945 + CLOSE_AFTER / SECOND, incident).closed_at == 945 * SECOND


def test_old_news_change_nothing() -> None:
    """A recovery from before the last failure, told late by another worker, does not count."""
    incident = played(change(10), Recovered("p/m", 9.0))
    assert incident is not None
    assert not incident.parts["p/m"].over


def test_failures_that_open_nothing_do_not_reopen() -> None:
    """A stray failure after the recovery is counted, and does not keep the incident open."""
    incident = played(change(10), change(20, "healthy", ""), Failures("p/m", "5xx", 1, 30, 30))
    assert incident is not None
    assert (incident.failures, incident.quiet_since) == (2, 20 * SECOND)


def test_what_nobody_speaks_of_is_over() -> None:
    """A deployment that is out and gets no calls, or whose workers are gone, does not keep an incident open."""
    incident = played(change(10))
    assert incident is not None
    forgotten = 10 + FORGET_AFTER / SECOND
    assert at(forgotten - 1, incident).quiet_since is None
    assert at(forgotten, incident).quiet_since == forgotten * SECOND
    assert at(forgotten + 60, incident).closed_at == forgotten * SECOND


def test_what_is_not_configured_is_over() -> None:
    """A provider or a deployment that was taken out of the configuration has no trouble any more."""
    incident = played(change(10), change(10, deployment="p/n"))
    assert incident is not None
    settle(incident, 20 * SECOND, lambda provider, subject: (provider, subject) == ("p", "p/n"))
    assert [part.over for part in incident.parts.values()] == [True, False]
    settle(incident, 30 * SECOND, lambda *_: False)
    assert incident.quiet_since == 30 * SECOND


def test_whose_it_is() -> None:
    """Deployments belong to the provider before their slash, whatever else is in the model's name."""
    assert provider_of(change(1, deployment="p/org/model")) == "p"
    assert provider_of(probe(1, deployment="p/m")) == "p"
    assert provider_of(Failures("q/m", "5xx", 1, 1, 1)) == "q"


_subjects = st.sampled_from([PROVIDER, "p/a", "p/b"])
_times = st.integers(0, 100)
_failing = st.builds(
    lambda subject, at, back, times, opens: Failing(subject, "5xx", at - back, at, times, opens),
    _subjects,
    _times,
    st.integers(0, 5),
    st.integers(0, 9),
    st.booleans(),
)


@given(st.lists(st.one_of(_failing, st.builds(Well, _subjects, _times)), max_size=30))
def test_any_course(readings: list[Failing | Well]) -> None:
    """Whatever comes in whatever order: an incident has a part that opened it, is quiet exactly while no part fails,
    and its first failure is not after its last."""
    incident: Incident | None = None
    for reading in readings:
        incident = absorb(incident, "p", reading, lambda: "inc")
        if incident is None:
            assert not (isinstance(reading, Failing) and reading.opens)
            continue
        assert incident.parts
        assert (incident.quiet_since is not None) == all(part.over for part in incident.parts.values())
        assert incident.first_failure <= incident.last_failure
