"""The failure table, row by row, with and without a stream: what the client gets, how often was tried, who pays, what
is counted, and that nothing hangs."""

from __future__ import annotations

import pytest

from gateway.types import LedgerRow, LedgerState, TokenSource
from tests.support.app import Reply
from tests.support.rig import KEY_A

from .faults import CASES, FAULTS, Fault, answer, script_of
from .rig import INPUT_PRICE, Rig

BODY_INPUT = 40
"""Tokens of a test's body, roughly: an estimate is between one and this."""


def check_error(reply: Reply, fault: Fault, attempts: int) -> None:
    """The client's whole view of a call that failed before its answer began."""
    assert reply.status == fault.status, reply.body
    assert reply.error["code"] == fault.code
    assert reply.header("x-gateway-attempts") == str(attempts)
    assert reply.header("x-should-retry") == ("true" if fault.should_retry else "false")
    wanted = None if fault.retry_after is None else str(fault.retry_after)
    assert reply.header("retry-after") == wanted
    for canary in (KEY_A, "127.0.0.1", "Traceback"):
        assert canary.encode() not in reply.body


def check_failed_row(row: LedgerRow, fault: Fault) -> None:
    """The row of an attempt that did not commit: never charged to the key."""
    assert row.state is LedgerState.RELEASED
    assert (row.status, row.reason) == (fault.status, fault.outcome)
    assert row.output_tokens == 0
    if fault.estimated:
        assert 0 < row.input_tokens <= BODY_INPUT
        assert row.token_source is TokenSource.PARTIAL
    else:
        assert row.input_tokens == 0
    assert row.cost_nano_usd == row.input_tokens * INPUT_PRICE


def check_frame(reply: Reply, fault: Fault) -> None:
    """A stream that broke: what came is there, then one error and `[DONE]`, then the end of the body."""
    assert (reply.status, reply.complete) == (200, True)
    *content, frame, done = reply.events
    assert content
    assert all("error" not in event for event in content)
    assert frame["error"]["code"] == fault.code
    assert done == "[DONE]"


@pytest.mark.parametrize(("name", "stream"), CASES, ids=str)
def test_a_fault_of_the_only_deployment(rig: Rig, name: str, stream: bool) -> None:
    """Status, body, headers, attempts, charge, metrics and health, where nobody else can answer."""
    fault = FAULTS[name]
    deployment = f"{fault.at}/m"
    rig.near.default = script_of(fault, stream)
    counted = rig.outcome(deployment, fault.outcome)
    reply = rig.chat(deployment, stream=stream)
    if fault.committed:
        check_frame(reply, fault)
        (row,) = rig.rows(reply, 1)
        assert (row.state, row.status, row.reason) == (LedgerState.SETTLED, 200, fault.outcome)
        assert row.token_source is TokenSource.PARTIAL
        assert row.input_tokens > 0
        assert row.output_tokens > 0
    else:
        check_error(reply, fault, 1)
        (row,) = rig.rows(reply, 1)
        check_failed_row(row, fault)
    rig.settled()
    assert rig.outcome(deployment, fault.outcome) == counted + 1
    line = rig.gateway.line(reply.header("x-request-id") or "")
    assert (line["status"], line["attempts"]) == (200 if fault.committed else fault.status, 1)
    assert line["reason"] == (fault.reason or fault.code)
    assert rig.out_for(deployment) == fault.out


@pytest.mark.parametrize(("name", "stream"), CASES, ids=str)
def test_a_fault_with_another_deployment(rig: Rig, name: str, stream: bool) -> None:
    """The next deployment answers at once, unless the answer had begun or the client is to blame; it alone is paid."""
    fault = FAULTS[name]
    rig.near.default = script_of(fault, stream)
    rig.spare.default = answer(stream)
    fallbacks = rig.gateway.metric("gateway_fallbacks_total")
    reply = rig.chat(f"{fault.at}-first", stream=stream)
    if not fault.failover:
        assert not rig.spare.received
        assert rig.gateway.metric("gateway_fallbacks_total") == fallbacks
        if fault.committed:
            check_frame(reply, fault)
        else:
            check_error(reply, fault, 1)
        return
    assert reply.status == 200, reply.body
    assert (reply.header("x-gateway-attempts"), reply.header("x-gateway-provider")) == ("2", "spare")
    assert b"error" not in reply.body
    failed, paid = rig.rows(reply, 2)
    check_failed_row(failed, fault)
    assert (paid.state, paid.status, paid.reason, paid.attempt) == (LedgerState.SETTLED, 200, "ok", 2)
    assert paid.token_source is TokenSource.PROVIDER
    assert paid.input_tokens == 3
    metric = f'gateway_fallbacks_total{{from="{fault.at}/m",to="spare/m",reason="{fault.outcome}"}}'
    assert rig.gateway.metric(metric) >= 1


@pytest.mark.parametrize(("name", "stream"), [case for case in CASES if FAULTS[case[0]].at == "near"], ids=str)
def test_a_fault_that_may_be_tried_again(rig: Rig, name: str, stream: bool) -> None:
    """With two retries allowed: as many as the row says, each after a short random wait, each its own row."""
    fault = FAULTS[name]
    rig.near.default = script_of(fault, stream)
    reply = rig.chat("again/m", stream=stream)
    assert reply.header("x-gateway-attempts") == str(1 + fault.repeats)
    # A connection that was used before and ends without a byte was stale: the engine asks once more, on a new one.
    resends = 1 if name.startswith("disconnected") else 0
    assert len(rig.near.received) - (1 + fault.repeats) in range(resends + 1)
    rows = rig.rows(reply, 1 + fault.repeats)
    assert [row.attempt for row in rows] == list(range(1, 2 + fault.repeats))
    if not fault.committed:
        check_error(reply, fault, 1 + fault.repeats)
