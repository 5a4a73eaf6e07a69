"""Calls that find deployments out of rotation: who serves them, and what they are told when nobody does."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.types import LedgerState
from tests.support.app import until
from tests.support.rig import COMPLETION
from tests.support.steps import Script, json_reply, send, sleep, stall, status

from .faults import BEGUN, answer
from .rig import Rig

SICK = status(500)
GOOD = json_reply(COMPLETION)


def state(rig: Rig, deployment: str) -> float:
    return rig.gateway.metric(f'gateway_deployment_state{{deployment="{deployment}"}}')


def board(rig: Rig) -> Any:
    return rig.gateway.worker.board


def over(rig: Rig, deployment: str) -> None:
    """The time out is over."""
    record = board(rig)._records[deployment]
    assert record.out_until > 0
    record.out_until = 0.001


def test_a_sick_deployment_is_not_asked_again(rig: Rig) -> None:
    """Five failures, each answered by the next deployment; from then on only that one is asked, in one attempt."""
    rig.near.default, rig.spare.default = SICK, GOOD
    replies = [rig.chat("near-first") for _ in range(12)]
    assert {reply.status for reply in replies} == {200}
    assert [reply.header("x-gateway-attempts") for reply in replies] == ["2"] * 5 + ["1"] * 7
    assert len(rig.near.received) == 5
    assert state(rig, "near/m") == 2
    assert state(rig, "spare/m") == 0


@pytest.mark.parametrize("stream", [False, True])
def test_one_call_tries_it_and_brings_it_back(rig: Rig, stream: bool) -> None:
    """After the time out a single call is the trial; while it runs, others go elsewhere; then all come back."""
    rig.near.default, rig.spare.default = SICK, answer(stream)
    for _ in range(5):
        rig.chat("near-first", stream=stream)
    over(rig, "near/m")
    slow: Script = [sleep(30)]
    rig.near.then(slow)
    rig.near.default = answer(stream)
    asked = len(rig.near.received)
    with rig.gateway.client() as trial:
        body = {"model": "near-first", "messages": [], "stream": stream}
        trial.post("/v1/chat/completions", body, [("authorization", f"Bearer {rig.secret}")])
        rig.near.wait_until(lambda: len(rig.near.received) == asked + 1)
        assert state(rig, "near/m") == 1
        assert rig.chat("near-first", stream=stream).header("x-gateway-provider") == "spare"
        reply = trial.reply()  # no first byte in time: the trial failed, and its call went on
        assert reply.header("x-gateway-provider") == "spare"
    assert state(rig, "near/m") == 2
    over(rig, "near/m")
    assert rig.chat("near-first", stream=stream).header("x-gateway-provider") == "near"
    assert state(rig, "near/m") == 0
    assert rig.chat("near-first", stream=stream).header("x-gateway-provider") == "near"


@pytest.mark.parametrize("stream", [False, True])
def test_all_down(rig: Rig, stream: bool) -> None:
    """Every deployment is out: 503 at once, no attempt, and `retry-after` says when one may be tried."""
    rig.near.default = rig.spare.default = SICK
    statuses = [rig.chat("near-first", stream=stream).status for _ in range(10)]
    assert set(statuses[:5]) == {502}
    attempts = len(rig.near.received) + len(rig.spare.received)
    reply = rig.chat("near-first", stream=stream)
    assert (reply.status, reply.error["code"]) == (503, "no_upstream")
    assert reply.header("x-should-retry") == "true"
    assert 1 <= int(reply.header("retry-after") or 0) <= 6
    assert reply.header("x-gateway-attempts") == "0"
    assert len(rig.near.received) + len(rig.spare.received) == attempts
    line = rig.gateway.line(reply.header("x-request-id") or "")
    assert (line["status"], line["reason"]) == (503, "no_upstream")
    rig.settled()


def test_a_rate_limit_is_kept_for_the_next_callers(rig: Rig) -> None:
    """Nobody asks again before the provider's time is over: those calls get its 429 and what is left of its wait."""
    rig.near.default = status(429, b"", [("retry-after", "30")])
    first = rig.chat("near/m")
    second = rig.chat("near/m")
    assert len(rig.near.received) == 1
    for reply, attempts in ((first, "1"), (second, "0")):
        assert (reply.status, reply.error["code"]) == (429, "upstream_rate_limited")
        assert reply.header("x-should-retry") == "true"
        assert 25 <= int(reply.header("retry-after") or 0) <= 30
        assert reply.header("x-gateway-attempts") == attempts
    rig.spare.default = GOOD
    assert rig.chat("near-first").header("x-gateway-attempts") == "1"


def test_refused_credentials_take_a_deployment_out_at_once(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    """One 401 parks it: callers are served elsewhere, and the log asks for the operator."""
    rig.near.default, rig.spare.default = status(401), GOOD
    replies = [rig.chat("near-first") for _ in range(4)]
    assert [reply.header("x-gateway-attempts") for reply in replies] == ["2", "1", "1", "1"]
    assert state(rig, "near/m") == 2
    assert rig.out_for("near/m") == "parked"


@pytest.mark.parametrize(
    "script",
    [status(400, b'{"error":{"message":"x"}}'), status(409), status(422), json_reply(b"{}", 404)],
    ids=["400", "409", "422", "404"],
)
def test_bad_requests_open_no_breaker(rig: Rig, script: Script) -> None:
    """However many a caller sends."""
    rig.near.default = script
    for _ in range(12):
        assert rig.chat("near/m").status in (400, 404, 409, 422)
    assert state(rig, "near/m") == 0


def test_clients_that_leave_open_no_breaker(rig: Rig) -> None:
    """Nor do callers that allow it only a moment."""
    rig.near.default = [stall()]
    for number in range(8):
        reply = rig.chat("near/m", headers=[("x-request-timeout", "50ms")], stream=bool(number % 2))
        assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
        with rig.gateway.client() as client:
            client.post(
                "/v1/chat/completions", {"model": "near/m", "messages": []}, [("authorization", f"Bearer {rig.secret}")]
            )
            rig.near.wait_until(lambda asked=2 * number + 2: len(rig.near.received) >= asked)  # type: ignore[misc]
    rig.settled()
    assert state(rig, "near/m") == 0
    assert rig.chat("near/m").status == 504, "it is still asked"


def test_spent_retries_return_the_first_error(rig: Rig) -> None:
    """Three second tries in a second, then the first error at once, and the client is told not to go on instead."""
    board(rig)._records["again/m"].guarded = False
    rig.near.default = status(503)
    replies = [rig.chat("again/m") for _ in range(20)]
    assert len(rig.near.received) < 20 * 1.2 + 3 * 10
    last = replies[-1]
    assert (last.status, last.error["code"]) == (503, "upstream_overloaded")
    spent = [reply for reply in replies if reply.header("x-should-retry") == "false"]
    assert spent
    assert {reply.header("x-gateway-attempts") for reply in spent} <= {"1", "2"}
    rig.near.default = GOOD
    healthy = [rig.chat("again/m") for _ in range(10)]
    assert {(reply.status, reply.header("x-gateway-attempts")) for reply in healthy} == {(200, "1")}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-request-timeout", "0.1"),
        ("x-request-timeout", "100ms"),
        ("x-request-timeout", "0.1s"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_clients_deadline_bounds_the_call(rig: Rig, header: str, value: str, stream: bool) -> None:
    """504 when its time is over, whatever else could still be tried; what was sent is the caller's to pay."""
    rig.near.default = [stall()]
    reply = rig.chat("near-first", headers=[(header, value)], stream=stream)
    assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
    assert reply.header("x-should-retry") == "false"
    assert reply.header("x-gateway-attempts") == "1"
    assert not rig.spare.received
    (row,) = rig.rows(reply, 1)
    assert (row.state, row.status, row.reason) == (LedgerState.SETTLED, 504, "deadline_exceeded")
    assert row.input_tokens > 0
    assert row.output_tokens == 0


@pytest.mark.parametrize("header", ["x-stainless-read-timeout", "x-stainless-timeout"])
def test_an_sdks_time_out_is_its_own(rig: Rig, header: str) -> None:
    """It gives up by itself, and says so in its own words; only one that does not is told, a second later."""
    rig.near.default = [stall()]
    began = time.monotonic()
    reply = rig.chat("drained/m", headers=[(header, "0.1")])
    assert (reply.status, reply.error["code"]) == (504, "deadline_exceeded")
    assert time.monotonic() - began >= 1.0


def test_a_clients_deadline_ends_its_stream(rig: Rig) -> None:
    """`x-request-timeout` holds for the whole stream; an SDK's read time-out only until it has begun."""
    rig.near.default = [*BEGUN, stall()]
    reply = rig.chat("near/m", headers=[("x-request-timeout", "0.15")], stream=True)
    assert (reply.status, reply.complete) == (200, True)
    assert reply.events[-2]["error"]["code"] == "deadline_exceeded"
    assert reply.events[-1] == "[DONE]"
    assert state(rig, "near/m") == 0
    slow = answer(True)
    assert isinstance(slow, list)
    rig.near.default = [slow[0], slow[1], sleep(0.2), *slow[2:]]
    reply = rig.chat("near/m", headers=[("x-stainless-read-timeout", "0.15")], stream=True)
    assert reply.events[-1] == "[DONE]"
    assert b"error" not in reply.body


@pytest.mark.parametrize("value", ["soon", "-1", "0", "", "1e3", "1h", "9999999999999"])
def test_a_deadline_that_says_nothing_is_refused(rig: Rig, value: str) -> None:
    """A caller that asks for a time must get it: 400, not a guess; an SDK's own header is passed over."""
    reply = rig.chat("near/m", headers=[("x-request-timeout", value)])
    assert reply.status == 400
    assert "x-request-timeout" in reply.error["message"]
    rig.near.default = GOOD
    assert rig.chat("near/m", headers=[("x-stainless-read-timeout", value)]).status == 200


def test_a_late_attempt_is_not_blamed_for_the_time_others_used(rig: Rig) -> None:
    """The second deployment had only a moment left of the call's time: its time-out says nothing of it."""
    rig.near.default, rig.spare.default = [sleep(0.3), send(b"HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n")], [stall()]
    for _ in range(6):
        board(rig)._records["near/m"].reset()
        rig.chat("near-first", headers=[("x-request-timeout", "0.35")])
    assert state(rig, "spare/m") == 0
    until(lambda: board(rig)._records["spare/m"].in_flight == 0)
