"""The end of a worker: its phases as a pure decision, and what clients see of each, by a clock that the test turns."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.drain import Drain, Phase
from gateway.http.lifetime import HURRY
from tests.support.app import Gateway, chat_body, running, until

CONFIG = """version: 1
providers:
  mock: {type: mock, models: [mock-small, mock-fault/stall-after-1, mock-fault/hang, mock-fault/pace-20ms+tokens-30]}
"""
STALLED, PACED = "mock-fault/stall-after-1", "mock-fault/pace-20ms+tokens-30"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """One worker with 5 s of grace and 120 s of patience by its clock."""
    with running(CONFIG) as found:
        yield found


def tell(gateway: Gateway, number: int) -> None:
    """As if the process had got this signal."""
    gateway.server.handle_exit(number, None)


def reasons(gateway: Gateway) -> list[str]:
    """What `/readyz` names."""
    found: list[str] = gateway.get("/readyz").json["reasons"]
    return found


def refused(gateway: Gateway) -> bool:
    """Whether new work is turned away."""
    return gateway.chat("mock-small").status == 503


class TestPhases:
    def test_in_their_order(self) -> None:
        """Grace, then patience while calls run, then the end."""
        drain = Drain(5, 120)
        assert drain.phase(0, 0) is Phase.SERVING
        drain.begin(100)
        assert drain.phase(100, 0) is Phase.LEAVING
        assert drain.phase(104.9, 3) is Phase.LEAVING
        assert drain.phase(105, 3) is Phase.REFUSING
        assert drain.phase(224.9, 1) is Phase.REFUSING
        assert drain.phase(225, 1) is Phase.ENDING

    def test_it_ends_with_the_last_call(self) -> None:
        """Nothing is waited for that does not run."""
        drain = Drain(5, 120)
        drain.begin(0)
        assert drain.phase(6, 1) is Phase.REFUSING
        assert drain.phase(7, 0) is Phase.ENDING

    def test_no_grace_for_a_person(self) -> None:
        """Without the grace it refuses at once, also when the grace had begun."""
        drain = Drain(5, 120)
        drain.begin(0)
        drain.begin(1, grace=False)
        assert drain.phase(1, 1) is Phase.REFUSING

    @given(
        st.lists(
            st.tuples(st.floats(0, 50), st.sampled_from(["term", "int", "hurry", "nothing"]), st.integers(0, 3)),
            max_size=20,
        )
    )
    def test_it_never_goes_back_and_never_lasts_longer_than_asked(self, steps: list[tuple[float, str, int]]) -> None:
        """Whatever signals come: phases only grow, a repeated one adds no time, hurry is the end."""
        drain, now, before, first = Drain(5, 40), 0.0, Phase.SERVING, None
        for wait, event, running_calls in steps:
            now += wait
            if event in ("term", "int"):
                drain.begin(now, grace=event == "term")
                first = now if first is None else first
            elif event == "hurry":
                drain.hurry()
            phase = drain.phase(now, running_calls)
            assert phase >= before
            assert (phase is Phase.SERVING) <= (first is None)
            if event == "hurry" or (first is not None and now >= first + 45):
                assert phase is Phase.ENDING
            before = phase


class TestServer:
    def test_the_grace(self, gateway: Gateway) -> None:
        """Readiness goes off at once while everything is served, on open connections and new ones; each answer closes
        its connection."""
        with gateway.client() as idle:
            idle.post("/v1/chat/completions", chat_body("mock-small"))
            assert idle.reply().header("connection") is None
            tell(gateway, signal.SIGTERM)
            until(lambda: reasons(gateway) == ["draining"], "readiness off")
            ready = gateway.get("/readyz")
            assert (ready.status, ready.json["status"]) == (503, "unavailable")
            assert gateway.get("/healthz").status == 200
            for number in (signal.SIGTERM, signal.SIGTERM):  # systemd may tell a worker as well as its parent
                tell(gateway, number)
            gateway.watch.now = 4.9
            idle.post("/v1/chat/completions", chat_body("mock-small"))
            answer = idle.reply()
            assert (answer.status, answer.header("connection")) == (200, "close")
            assert idle.ended()
            assert gateway.chat("mock-small").status == 200
            assert gateway.server.started

    def test_after_the_grace(self, gateway: Gateway) -> None:
        """New work gets 503 `draining` with the retry that an SDK follows; a stream goes on to its proper end, and with
        the last one the server stops."""
        with gateway.client() as streaming, gateway.client() as held:
            streaming.post("/v1/chat/completions", chat_body(PACED, stream=True))
            reply = streaming.head()
            held.post("/v1/chat/completions", chat_body(STALLED, stream=True))
            stalled = held.head()
            tell(gateway, signal.SIGTERM)
            until(lambda: reasons(gateway) == ["draining"], "readiness off")
            gateway.watch.now = 5.0
            until(lambda: refused(gateway), "the refusal")
            answer = gateway.chat("mock-small")
            assert answer.error["code"] == "draining"
            assert answer.header("retry-after") == "1"
            assert answer.header("x-should-retry") == "true"
            assert answer.header("connection") == "close"
            assert answer.header("x-gateway-revision")
            assert gateway.get("/healthz").status == 200
            streaming.rest(reply)
            assert reply.complete
            assert reply.events[-1] == "[DONE]"
            assert not any("error" in event for event in reply.events[:-1])
            assert streaming.ended()
            held.socket.close()
            until(lambda: gateway.server._phase is Phase.ENDING, "the end")
            assert stalled.status == 200

    def test_messages_are_told_in_their_own_words(self, gateway: Gateway) -> None:
        """A stream of Anthropic's API ends in `event: error` and nothing behind it, another call in 503."""
        with gateway.client() as streaming, gateway.client() as waiting:
            streaming.post("/v1/messages", chat_body(STALLED, stream=True, max_tokens=9))
            reply = streaming.head()
            streaming.chunk(reply)
            waiting.post("/v1/messages", chat_body("mock-fault/hang", max_tokens=9))
            until(lambda: gateway.pipeline.in_flight == 2, "both calls")
            tell(gateway, signal.SIGINT)
            until(lambda: refused(gateway), "the refusal, without a grace")
            tell(gateway, HURRY)
            streaming.rest(reply)
            assert reply.complete
            assert reply.events[-1]["type"] == "error"
            assert reply.events[-1]["error"]["type"] == "api_error"
            answer = waiting.reply()
            assert (answer.status, answer.json["type"]) == (503, "error")
            assert answer.header("x-should-retry") == "true"
            until(gateway.idle, "everything settled")

    @pytest.mark.parametrize("how", ["patience", "hurry"])
    def test_what_runs_at_the_end_is_told(self, gateway: Gateway, how: str) -> None:
        """A stream gets an error frame and `[DONE]`, any other call 503; both are settled and logged."""
        with gateway.client() as streaming, gateway.client() as waiting:
            streaming.post("/v1/chat/completions", chat_body(STALLED, stream=True))
            reply = streaming.head()
            streaming.chunk(reply)
            waiting.post("/v1/chat/completions", chat_body("mock-fault/hang"))
            until(lambda: gateway.pipeline.in_flight == 2, "both calls")
            tell(gateway, signal.SIGINT)
            until(lambda: refused(gateway), "the refusal, without a grace")
            if how == "patience":
                gateway.watch.now = 120.0
            else:
                tell(gateway, HURRY)
            streaming.rest(reply)
            assert reply.complete
            assert reply.events[-1] == "[DONE]"
            assert reply.events[-2]["error"]["code"] == "draining"
            answer = waiting.reply()
            assert (answer.status, answer.error["code"]) == (503, "draining")
            assert answer.header("retry-after") == "1"
            assert answer.header("x-should-retry") == "true"
            until(gateway.idle, "everything settled")
