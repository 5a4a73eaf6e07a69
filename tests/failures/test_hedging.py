"""A second attempt beside a slow first one: who answers, who pays, and how often it happens."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.types import LedgerState, TokenSource
from gateway.upstream.latencies import FORGET_AT, KEPT, LEAST, Latencies, Share
from tests.support.steps import Script, Step, json_reply, sleep, stall, status

from .faults import BEGUN, answer
from .rig import CONFIG, INPUT_PRICE, Rig, rigged

ROUTES = """
  - name: hedged
    match: {model: hedged}
    targets: [{provider: near, model: m}, {provider: spare, model: m}]
    hedge: {after: 60ms, max_share: 0.5}
  - name: patient
    match: {model: patient}
    targets: [{provider: near, model: m}, {provider: spare, model: m}]
    hedge: {after: p95, max_share: 0.5}
keys:
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    from . import rig as module  # noqa: PLC0415 - its configuration is changed for this module alone

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CONFIG", CONFIG.replace("\nkeys:\n", ROUTES.replace("{", "{{").replace("}", "}}")))
        with rigged(tmp_path_factory.mktemp("hedging")) as made:
            yield made


@pytest.fixture(autouse=True)
def _room(rig: Rig) -> None:
    """Quick calls that were not hedged leave room for some that are."""
    share: Any = rig.gateway.pipeline._forwarder._hedger._share
    share._calls.update(hedged=1000, patient=1000)
    share._hedged.clear()


def late(stream: bool, seconds: float = 0.3) -> Script:
    """A good answer after a while."""
    steps = answer(stream)
    assert isinstance(steps, list)
    first: list[Step] = [sleep(seconds)]
    return first + steps


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_leg_answers(rig: Rig, stream: bool) -> None:
    """The first is slow: the second serves, the first is cancelled, and both have rows: one paid, one at our cost."""
    rig.near.default, rig.spare.default = [stall()], answer(stream)
    reply = rig.chat("hedged", stream=stream)
    assert (reply.status, reply.header("x-gateway-provider")) == (200, "spare")
    assert reply.header("x-gateway-attempts") == "2"
    lost, paid = rig.rows(reply, 2)
    assert (lost.attempt, lost.provider, lost.state, lost.reason) == (1, "near", LedgerState.RELEASED, "hedged")
    assert lost.cost_nano_usd == lost.input_tokens * INPUT_PRICE > 0
    assert (paid.attempt, paid.provider, paid.state, paid.reason) == (2, "spare", LedgerState.SETTLED, "ok")
    assert paid.token_source is TokenSource.PROVIDER
    rig.near.wait_until(lambda: rig.near.open == 0, "the end of the first leg")
    rig.settled()
    assert rig.outcome("near/m", "hedged") >= 1
    assert rig.out_for("near/m") == ""


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_leg_answers(rig: Rig, stream: bool) -> None:
    """It began just after the second was sent: the second is cancelled; the client hears of two attempts."""
    rig.near.default, rig.spare.default = late(stream, 0.15), [stall()]
    reply = rig.chat("hedged", stream=stream)
    assert (reply.status, reply.header("x-gateway-provider")) == (200, "near")
    assert reply.header("x-gateway-attempts") == "2"
    paid, lost = rig.rows(reply, 2)
    assert (paid.attempt, paid.provider, paid.state) == (1, "near", LedgerState.SETTLED)
    assert (lost.attempt, lost.provider, lost.state, lost.reason) == (2, "spare", LedgerState.RELEASED, "hedged")
    rig.settled()


def test_a_quick_answer_has_no_company(rig: Rig) -> None:
    """One attempt, one row."""
    rig.near.default = answer(False)
    reply = rig.chat("hedged")
    assert reply.header("x-gateway-attempts") == "1"
    assert not rig.spare.received
    rig.rows(reply, 1)


def test_nothing_is_hedged_after_the_commit(rig: Rig) -> None:
    """A stream that has begun may be slow."""
    rig.near.default = [*BEGUN, sleep(0.2), *BEGUN[1:]]
    rig.chat("hedged", stream=True)
    assert not rig.spare.received


def test_a_leg_that_fails_leaves_it_to_the_other(rig: Rig) -> None:
    """And when both fail, the call goes on as ever: within its attempts, with a row for each."""
    rig.near.default, rig.spare.default = late(False, 0.2), status(500)
    reply = rig.chat("hedged")
    assert (reply.status, reply.header("x-gateway-provider")) == (200, "near")
    paid, failed = rig.rows(reply, 2)
    assert (paid.reason, failed.reason) == ("ok", "5xx")
    rig.near.default = [sleep(0.15), *status(500)]
    reply = rig.chat("hedged")
    assert (reply.status, reply.header("x-gateway-attempts")) == (502, "2")
    assert [row.reason for row in rig.rows(reply, 2)] == ["5xx", "5xx"]


def test_a_client_that_leaves_ends_both(rig: Rig) -> None:
    """The first leg is the client's to pay, the second ours."""
    rig.near.default = rig.spare.default = [stall()]
    with rig.gateway.client() as client:
        body = {"model": "hedged", "messages": []}
        client.post("/v1/chat/completions", body, [("authorization", f"Bearer {rig.secret}"), ("x-request-id", "gone")])
        rig.spare.wait_until(lambda: len(rig.spare.received) == 1)
    rig.settled()
    line = rig.gateway.line("gone")
    assert (line["status"], line["attempts"]) == (499, 2)


def test_an_upload_that_still_arrives_has_no_company(rig: Rig) -> None:
    """The first leg waits for the client, and the second would; once all of it is here, a late answer is hedged."""
    field = b'--edge\r\nContent-Disposition: form-data; name="%b"%b\r\n\r\n%b\r\n'
    file = field % (b"file", b'; filename="a.wav"', b"RIFF" * 500)
    form = field % (b"model", b"", b"hedged") + file + b"--edge--\r\n"
    headers = [("authorization", f"Bearer {rig.secret}"), ("content-type", "multipart/form-data; boundary=edge")]
    rig.near.default = rig.spare.default = json_reply({"text": "heard"})
    with rig.gateway.client() as client:
        client.send("POST", "/v1/audio/transcriptions", form[:-1000], headers, length=len(form))
        time.sleep(0.2)  # more than the 60 ms after which others get company
        client.write(form[-1000:])
        reply = client.reply()
    assert (reply.status, reply.header("x-gateway-provider"), reply.header("x-gateway-attempts")) == (200, "near", "1")
    assert not rig.spare.received
    rig.near.default = [stall()]
    reply = rig.gateway.post("/v1/audio/transcriptions", form, headers)
    assert (reply.status, reply.header("x-gateway-provider"), reply.header("x-gateway-attempts")) == (200, "spare", "2")


def test_p95_needs_to_be_known(rig: Rig) -> None:
    """Nothing is hedged before twenty answers are known; then whoever is later than nineteen of twenty."""
    rig.near.default, rig.spare.default = late(False, 0.2), answer(False)
    assert rig.chat("patient").header("x-gateway-attempts") == "1"
    rig.near.default = answer(False)
    for _ in range(2 * LEAST):
        assert rig.chat("patient").status == 200
    rig.near.default = late(False, 0.35)
    assert rig.chat("patient").header("x-gateway-provider") == "spare"


def test_whole_answers_say_nothing_of_when_streams_begin(rig: Rig) -> None:
    """Each kind has its own p95: however quick whole answers are, a stream is not late before streams are known."""
    rig.near.default, rig.spare.default = answer(False), answer(True)
    for _ in range(2 * LEAST):
        assert rig.chat("patient").status == 200
    rig.near.default = late(True, 0.2)
    assert rig.chat("patient", stream=True).header("x-gateway-attempts") == "1"


def test_the_share_is_kept() -> None:
    """Of any number of calls, at most that part, however slow all of them are."""
    share, hedged = Share(), 0
    for call in range(3 * FORGET_AT):
        share.called("r")
        hedged += share.take("r", 0.05)
        assert hedged <= 0.05 * (call + 1) + 1
    assert hedged > 0.04 * 3 * FORGET_AT


def test_latencies() -> None:
    """The 95th percentile of the latest hundred."""
    known = Latencies()
    for number in range(LEAST - 1):
        known.learn("d", float(number), stream=False)
    assert known.p95("d", stream=False) is None
    for number in range(KEPT):
        known.learn("d", number / KEPT, stream=False)
    assert known.p95("d", stream=False) == 0.94
    assert known.p95("d", stream=True) is None
