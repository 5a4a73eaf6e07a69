"""The board: who leaves rotation, for how long, and what brings it back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway import errors
from gateway.errors import (
    ClientGone,
    DeadlineExceeded,
    GatewayError,
    ProviderAuthFailed,
    UpstreamBadResponse,
    UpstreamConflict,
    UpstreamOverloaded,
    UpstreamPoolExhausted,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamServerError,
    UpstreamTimeout,
    UpstreamTlsFailed,
    UpstreamTooLarge,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from gateway.health.board import MOST_RECORDS, TRIAL_SECONDS
from gateway.health.breaker import OPEN_AFTER
from gateway.ports import ProbeResult, Ticket
from gateway.types import Deployment

from .board_rig import PROVIDER, D, Rig, heard, on_trial


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_five_failures_in_a_row_open_the_breaker(rig: Rig) -> None:
    """The fifth takes it out; nobody is let in before its time; one trial then, and its answer brings it back."""
    rig.fail(4)
    assert rig.attempt()
    rig.fail(4)
    assert rig.board.usable(D)
    rig.fail(1)
    assert not rig.board.usable(D)
    assert 4 <= rig.seconds_out <= 6
    assert not rig.attempt()
    rig.time.now += rig.seconds_out
    trial = rig.board.enter(D)
    assert trial is not None
    assert trial.trial
    assert rig.board.of(D).on_trial
    assert not rig.board.usable(D), "one, while others go elsewhere"
    assert rig.board.enter(D) is None
    rig.board.answered(trial, None, None)
    assert rig.board.usable(D)
    assert rig.attempt()
    rig.board.leave(trial, None)
    assert rig.board.of(D).in_flight == 0
    assert rig.changes.states == [("out", "5xx"), ("degraded", "retry"), ("healthy", "recovered")]
    assert [(hint.out_for, hint.cause) for hint in rig.told] == [("breaker", "5xx"), ("", "recovered")]


def test_it_tells_how_many_failures_took_it_out(rig: Rig) -> None:
    """Those that the breaker went by, a failed trial, refusals of credentials; none where nobody called."""
    rig.fail(4)
    rig.attempt()
    for _ in range(3):
        rig.fail(1)
        rig.attempt()
    rig.fail(5)
    rig.time.now += rig.seconds_out
    rig.fail(1)
    rig.time.now += rig.seconds_out
    assert rig.attempt(ProviderAuthFailed())
    rig.board.forget()
    heard(rig)
    assert [change.failures for change in rig.changes.all if change.state == "out"] == [12, 1, 1, 0]


def test_a_failed_trial_opens_it_for_longer(rig: Rig) -> None:
    """5, 10, 15, 20, 25, 25 seconds, ±20 %."""
    rig.fail()
    for wanted in (5, 10, 15, 20, 25, 25):
        assert 0.8 * wanted <= rig.seconds_out <= 1.2 * wanted
        rig.time.now += rig.seconds_out
        assert rig.attempt(UpstreamUnreachable())


def test_an_answer_that_breaks_off_after_the_trial_opens_it_again(rig: Rig) -> None:
    """The trial's first byte closes the breaker on probation: one failure more is enough."""
    rig.fail()
    rig.time.now += rig.seconds_out
    trial = rig.board.enter(D)
    assert trial is not None
    rig.board.answered(trial, 0.1, None)
    assert rig.board.usable(D)
    rig.board.leave(trial, UpstreamTruncated())
    assert not rig.board.usable(D)


def test_failures_that_began_before_the_recovery_tell_nothing_new(rig: Rig) -> None:
    """Attempts of the bad time that end late do not open it again."""
    late = [rig.board.enter(D) for _ in range(20)]
    rig.fail()
    for ticket in late[:10]:
        assert ticket is not None
        rig.board.leave(ticket, UpstreamTimeout())
    assert rig.seconds_out <= 6, "nor do they make it longer"
    rig.time.now += rig.seconds_out
    assert rig.attempt()
    for ticket in late[10:]:
        assert ticket is not None
        rig.board.leave(ticket, UpstreamTimeout())
    assert rig.board.usable(D)


def test_a_low_share_of_successes_opens_it(rig: Rig) -> None:
    """Less than 80 % over 20 attempts, though never five failures in a row."""
    opened = False
    for number in range(40):
        opened = opened or not rig.attempt(UpstreamServerError() if number % 4 == 0 else None)
    assert opened
    healthy = Rig()
    for number in range(200):
        assert healthy.attempt(UpstreamServerError() if number % 5 == 0 else None)


def begun(rig: Rig) -> Ticket:
    """An attempt whose answer has begun."""
    ticket = rig.board.enter(D)
    assert ticket is not None
    rig.board.answered(ticket, 0.1, None)
    return ticket


def test_a_stream_that_has_begun_is_answered(rig: Rig) -> None:
    """Of ten attempts nine stream on for longer than anybody looks: the tenth opens nothing, however often."""
    for _ in range(40):
        rig.time.now += 1.0
        for _ in range(9):
            begun(rig)
        assert rig.attempt(UpstreamServerError())
    assert rig.changes.all == []


@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_streams_that_all_break_off_open_it(rig: Rig, at_once: int) -> None:
    """Beginnings are no comfort where nothing comes to its end: five in a row are enough, however they overlap."""
    under_way: list[Ticket] = []
    broken = 0
    while rig.board.usable(D):
        rig.time.now += 0.1
        under_way.append(begun(rig))
        if len(under_way) == at_once:
            rig.board.leave(under_way.pop(0), UpstreamTruncated())
            broken += 1
    assert broken <= OPEN_AFTER * at_once
    assert at_once > 1 or broken == OPEN_AFTER


def test_a_stream_that_breaks_off_is_one_attempt(rig: Rig) -> None:
    """One of five broke off, and four of them were answered: 80 % are enough."""
    for _ in range(40):
        for number in range(5):
            ticket = begun(rig)
            rig.board.leave(ticket, None if number else UpstreamTruncated())
    assert rig.changes.all == []


NEUTRAL: list[GatewayError] = [
    UpstreamRejected(),
    errors.UpstreamContextWindow(),
    errors.UpstreamContentFiltered(),
    UpstreamConflict(),
    errors.UpstreamRequestTimeout(),
    UpstreamPoolExhausted(),
    UpstreamTooLarge(),
    ClientGone(),
    DeadlineExceeded(),
    errors.InvalidRequest(),
    errors.DeploymentsFull(),
]


@pytest.mark.parametrize("error", NEUTRAL, ids=lambda error: type(error).__name__)
def test_what_is_not_the_providers_fault_never_counts(rig: Rig, error: GatewayError) -> None:
    """A client's mistake, its short deadline, its leaving, and our own limits open no breaker."""
    for _ in range(100):
        assert rig.attempt(error)
    assert rig.changes.all == []


def test_a_timeout_that_the_calls_deadline_cut_short_does_not_count(rig: Rig) -> None:
    """Whoever had only a moment left says nothing of the provider."""
    for _ in range(100):
        assert rig.attempt(UpstreamTimeout(), counts=False)


@pytest.mark.parametrize("error", [UpstreamRejected(), UpstreamConflict()])
def test_a_refusal_shows_that_the_provider_is_alive(rig: Rig, error: GatewayError) -> None:
    """A trial that ends in the client's own 4xx closes the breaker."""
    rig.fail()
    rig.time.now += rig.seconds_out
    assert rig.attempt(error)
    assert rig.board.usable(D)


@pytest.mark.parametrize("error", [ClientGone(), UpstreamPoolExhausted(), DeadlineExceeded()])
def test_a_trial_that_tells_nothing_leaves_it_to_the_next_call(rig: Rig, error: GatewayError) -> None:
    """Its client left: the trial is free again, and nothing is known."""
    rig.fail()
    rig.time.now += rig.seconds_out
    assert rig.attempt(error)
    assert not rig.board.of(D).on_trial
    assert rig.board.usable(D)
    trial = rig.board.enter(D)
    assert trial is not None
    assert trial.trial


def test_a_slow_trial_keeps_nobody_away_for_long(rig: Rig) -> None:
    """Good answers may take long: after some seconds another call tries, and whichever is answered brings it back."""
    rig.fail()
    rig.time.now += rig.seconds_out
    slow = on_trial(rig)
    assert rig.seconds_out == TRIAL_SECONDS
    rig.time.now += TRIAL_SECONDS
    quick = on_trial(rig)
    assert not rig.board.usable(D)
    rig.board.answered(quick, None, None)
    assert rig.attempt()
    rig.board.leave(slow, UpstreamTimeout())
    assert rig.board.usable(D), "it began before that"
    rig.board.leave(quick, UpstreamTruncated())
    assert rig.board.of(D).in_flight == 0
    assert rig.changes.states == [("out", "5xx"), ("degraded", "retry"), ("healthy", "recovered")]


def test_trials_that_tell_nothing_leave_it_to_those_that_go_on(rig: Rig) -> None:
    """Its client left; another trial is under way, and fails: one failure, and the time grows once."""
    rig.fail()
    rig.time.now += rig.seconds_out
    slow = on_trial(rig)
    rig.time.now += TRIAL_SECONDS
    left = on_trial(rig)
    rig.board.leave(left, ClientGone())
    assert rig.board.of(D).on_trial
    assert not rig.board.usable(D)
    rig.time.now += TRIAL_SECONDS
    late = on_trial(rig)
    rig.board.leave(slow, UpstreamTimeout())
    assert 8 <= rig.seconds_out <= 12
    rig.board.leave(late, UpstreamTimeout())
    assert 8 <= rig.seconds_out <= 12
    assert not rig.board.of(D).on_trial


def test_a_good_probe_lets_another_call_try(rig: Rig) -> None:
    """At once, however long the trial under way takes."""
    rig.fail()
    rig.time.now += rig.seconds_out
    on_trial(rig)
    assert not rig.board.usable(D)
    rig.board.probe_finished(ProbeResult("p", None, "ok", 0.0, 0.1))
    on_trial(rig)


def test_a_bad_certificate_opens_it_at_once(rig: Rig) -> None:
    """No second call finds out."""
    rig.attempt(UpstreamTlsFailed())
    assert not rig.board.usable(D)
    assert rig.changes.states == [("out", "tls")]


def test_refused_credentials_park_it(rig: Rig) -> None:
    """For a minute at least, longer each time, five at most; an operator hears of it."""
    for wanted in (60, 120, 180, 240, 300, 300):
        rig.attempt(ProviderAuthFailed())
        assert 0.8 * wanted <= rig.seconds_out <= 1.2 * wanted
        assert rig.board.of(D).out_for == "parked"
        rig.time.now += rig.seconds_out
    assert [change.parked for change in rig.changes.all if change.state == "out"] == [True] * 6


def test_one_bad_key_of_several_does_not_park_the_others() -> None:
    """Keys are used in turn: only when each of them was refused in a row is there nothing left."""
    rig = Rig(replace(D, provider=replace(PROVIDER, api_keys=("one", "two", "three"))))
    for _ in range(20):
        assert rig.attempt(ProviderAuthFailed())
        assert rig.attempt()
        assert rig.attempt()
    for _ in range(3):
        assert rig.attempt(ProviderAuthFailed())
    assert rig.board.of(rig.deployment).out_for == "parked"


def test_a_changed_credential_ends_the_parking(rig: Rig) -> None:
    """The operator renewed the key: nobody waits for the minute to end; the same one changes nothing."""
    rig.attempt(ProviderAuthFailed())
    rig.board.keep([replace(D)])
    assert not rig.board.usable(D)
    rig.board.keep([replace(D, provider=replace(PROVIDER, api_keys=("new",)))])
    assert rig.board.usable(D)
    assert rig.changes.states[-1] == ("healthy", "reconfigured")


@pytest.mark.parametrize(("seconds", "bare", "least", "most"), [(30.0, False, 30, 30), (5.0, True, 4, 6)])
def test_a_rate_limit_cools_it(seconds: float, bare: bool, least: float, most: float) -> None:
    """As long as the provider says, else 5 s ±20 %; then it is simply back, without a trial."""
    rig = Rig()
    rig.attempt(UpstreamRateLimited(retry_after=seconds, bare=bare))
    assert least <= rig.seconds_out <= most
    assert rig.board.of(D).out_for == "cooldown"
    assert not rig.attempt()
    assert rig.board.enter(D, waited=True) is not None, "the call that waited it out is let in"
    rig.time.now += rig.seconds_out
    first, second = rig.board.enter(D), rig.board.enter(D)
    assert first is not None
    assert second is not None
    assert not first.trial
    assert rig.changes.states == [("degraded", "429"), ("healthy", "expired")]


def test_the_state_falls_to_degraded_when_the_time_is_over(rig: Rig) -> None:
    """Without a call nobody knows; but it is no longer out."""
    rig.fail()
    rig.board.tick()
    assert rig.board.state_of(D.id) == "out"
    rig.time.now += rig.seconds_out
    rig.board.tick()
    rig.board.tick()
    assert rig.changes.states == [("out", "5xx"), ("degraded", "retry")]


def test_a_provider_without_a_breaker_stays_in_rotation() -> None:
    """`breaker: false`: only rate limits cool it."""
    rig = Rig(replace(D, provider=replace(PROVIDER, breaker=False)))
    for error in (UpstreamServerError(), UpstreamTlsFailed(), ProviderAuthFailed()):
        for _ in range(50):
            assert rig.attempt(error)
    heard(rig, "breaker")
    heard(rig, "parked")
    for of in (None, D.id):
        rig.board.probe_finished(ProbeResult("p", of, "connect_refused", 0.0, 0.1))
    assert rig.attempt()
    assert rig.changes.all == []
    heard(rig, "cooldown")
    assert not rig.attempt()


def test_who_takes_the_breaker_away_has_it_back_at_once(rig: Rig) -> None:
    """`breaker: false` by a reload, while the breaker is open."""
    rig.fail()
    rig.board.keep([replace(D, provider=replace(PROVIDER, breaker=False))])
    assert rig.board.usable(D)
    assert rig.changes.states[-1] == ("healthy", "reconfigured")


def test_second_tries_at_a_failing_upstream_are_bounded(rig: Rig) -> None:
    """An upstream that is well takes all that another one lost; one that failed lately only its budget."""
    for _ in range(100):
        assert rig.board.affords(D)
        ticket = rig.board.enter(D, again=True)
        assert ticket is not None
        rig.board.leave(ticket, None)
    rig.attempt(UpstreamOverloaded())
    assert not rig.board.affords(D)
    rig.time.now += 11
    assert rig.board.affords(D)


def test_means_and_headroom_are_kept(rig: Rig) -> None:
    """Seconds to the first byte decay; what the provider's headers leave is the latest."""
    record = rig.board.of(D)
    for ttft, left in ((1.0, 0.5), (0.5, None), (0.5, 0.25)):
        ticket = rig.board.enter(D)
        assert ticket is not None
        assert record.in_flight == 1
        rig.time.now += 2.0
        rig.board.answered(ticket, ttft, left)
        rig.board.leave(ticket, None)
    assert record.ttft == pytest.approx(0.82)
    assert record.duration is None
    assert record.headroom == 0.25


def test_removed_deployments_are_forgotten_and_inventions_bounded(rig: Rig) -> None:
    """A reload drops what is gone; names that clients invent do not grow the board."""
    rig.fail()
    rig.board.keep([])
    assert rig.board._out == set()
    for number in range(MOST_RECORDS + 50):
        rig.board.of(Deployment(f"p/{number}", PROVIDER, str(number)))
    assert len(rig.board._records) == MOST_RECORDS


def test_bad_answers_count(rig: Rig) -> None:
    """What cannot be understood is a failure."""
    for _ in range(OPEN_AFTER):
        rig.attempt(UpstreamBadResponse())
    assert not rig.board.usable(D)


def test_how_fast_a_client_reads_a_stream_says_nothing_of_its_provider() -> None:
    """The time of whole answers is that of answers which came whole, up to when they were there."""
    rig = Rig()
    for ttft in (None, 0.5):
        ticket = rig.board.enter(rig.deployment)
        assert ticket is not None
        rig.time.now += 0.5
        rig.board.answered(ticket, ttft, None)
        rig.time.now += 60.0
        rig.board.leave(ticket, None)
    record = rig.board.of(rig.deployment)
    assert (record.ttft, record.duration) == (0.5, 0.5)
