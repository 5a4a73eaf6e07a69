"""What the board hears of other workers and of probes: what it believes, for how long, and what refutes it."""

from __future__ import annotations

import pytest

from gateway.health.board import Hint
from gateway.ports import ProbeResult

from .board_rig import D, Rig, heard


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_hint_is_believed_and_verified(rig: Rig) -> None:
    """Out for as long as the other says; then one call of our own decides, and its result is told."""
    heard(rig)
    assert rig.seconds_out == 20
    assert rig.told == []
    assert rig.changes.all[0].told
    rig.time.now += 20
    assert rig.attempt()
    assert rig.board.usable(D)
    assert [hint.out_for for hint in rig.told] == [""]


def test_a_hint_that_proved_wrong_is_not_believed_again_soon(rig: Rig) -> None:
    """One worker with a broken network cannot keep a good deployment away from all the others."""
    heard(rig, seconds=1)
    rig.time.now += 1
    assert rig.attempt()
    heard(rig)
    assert rig.board.usable(D)
    rig.time.now += 31
    heard(rig)
    assert not rig.board.usable(D)


def test_what_we_know_ourselves_is_not_overruled(rig: Rig) -> None:
    """A hint does not shorten or lengthen our own opening; that another found it well lets one of our calls try."""
    rig.fail()
    before = rig.board.of(D).out_until
    heard(rig, seconds=29)
    assert rig.board.of(D).out_until == before
    heard(rig, out_for="")
    trial = rig.board.enter(D)
    assert trial is not None
    assert trial.trial


def test_a_hint_is_taken_back(rig: Rig) -> None:
    """What was out only by hearsay is back by hearsay."""
    heard(rig)
    heard(rig, out_for="")
    assert rig.board.usable(D)
    assert rig.told == []


@pytest.mark.parametrize("seconds", [300.0, 0.0, -1.0])
def test_hints_are_bounded(rig: Rig, seconds: float) -> None:
    """At most half a minute, and never of the past; unknown deployments are nobody's business."""
    heard(rig, "parked", seconds)
    assert rig.seconds_out == (30 if seconds > 0 else 0)
    rig.board.hear(Hint("p/other", "breaker", 10, "5xx", "another"))
    assert "p/other" not in rig.board._records


def test_probes_are_hints(rig: Rig) -> None:
    """A bad one keeps calls away for some seconds, until one has tried; a good one lets a call try at once."""
    rig.board.probe_finished(ProbeResult("p", D.id, "5xx", 0.0, 0.1))
    assert rig.seconds_out == 5
    assert not rig.changes.all[0].told
    rig.time.now += 5
    assert rig.attempt()
    rig.fail()
    assert not rig.board.usable(D)
    rig.board.probe_finished(ProbeResult("p", None, "ok", 0.0, 0.1))
    trial = rig.board.enter(D)
    assert trial is not None
    assert trial.trial


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("of", [None, D.id])
def test_what_only_a_probe_took_out_a_probe_brings_back(rig: Rig, of: str | None, heard: bool) -> None:
    """No call has to try it, which nobody may make; what calls found out is for calls to refute."""
    rig.board.probe_finished(ProbeResult("p", of, "connect_refused", 0.0, 0.1, heard=heard))
    rig.time.now += 5
    rig.board.tick()
    rig.board.probe_finished(ProbeResult("p", of, "ok", 0.0, 0.1, heard=heard))
    assert rig.changes.states == [("out", "connect_refused"), ("degraded", "retry"), ("healthy", "recovered")]
    assert [change.probed for change in rig.changes.all] == [True, True, False]
    assert [hint.out_for for hint in rig.told] == ([] if heard else ["breaker", ""])
    rig.fail()
    rig.board.probe_finished(ProbeResult("p", of, "ok", 0.0, 0.1, heard=heard))
    assert rig.board.state_of(D.id) == "out"
    assert not rig.changes.all[-1].probed


def test_a_list_of_models_does_not_bring_back_a_model_that_does_not_answer(rig: Rig) -> None:
    """A probe that called it took it out: another such one, or a call, brings it back."""
    rig.board.probe_finished(ProbeResult("p", D.id, "5xx", 0.0, 0.1))
    rig.board.probe_finished(ProbeResult("p", None, "ok", 0.0, 0.1))
    assert rig.board.state_of(D.id) == "out"
    rig.board.probe_finished(ProbeResult("p", D.id, "ok", 0.0, 0.1))
    assert rig.board.state_of(D.id) == "healthy"


@pytest.mark.parametrize("heard", [False, True])
def test_who_probed_tells_what_it_found(rig: Rig, heard: bool) -> None:
    """A worker that comes later, and who asks what is out, learn it as they learn what calls found; from one of all."""
    rig.board.probe_finished(ProbeResult("p", D.id, "5xx", 0.0, 0.1, heard=heard))
    assert rig.changes.all[0].told == heard
    assert [(hint.out_for, hint.seconds, hint.cause) for hint in rig.told] == (
        [] if heard else [("breaker", 5.0, "5xx")]
    )
    rig.board.probe_finished(ProbeResult("p", D.id, "5xx", 0.0, 0.1, heard=heard))
    assert len(rig.told) == (0 if heard else 1)


@pytest.mark.parametrize(("outcome", "out"), [("connect_refused", True), ("5xx", False), ("429", False), ("ok", False)])
def test_a_list_of_models_that_fails_is_no_word_against_a_model(rig: Rig, outcome: str, out: bool) -> None:
    """Unless there is nobody who answers."""
    rig.board.probe_finished(ProbeResult("p", None, outcome, 0.0, 0.1))
    assert rig.board.usable(D) != out
    rig.board.probe_finished(ProbeResult("other", None, "dns", 0.0, 0.1))
