"""Overload as clients see it: refusals before anything is read, and what is never refused."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf

import pytest

from gateway.http import server
from gateway.http.overload import PERIOD, Overload
from gateway.http.starts import MOST, starts_of
from gateway.http.throttle import BURST, FLOOR, Throttle
from tests.support.app import Client, Gateway, chat_body, running, until
from tests.support.waiting import eventually

CONFIG = """version: 1
providers:
  mock: {type: mock, models: [mock-small, mock-fault/stall-after-1, mock-fault/pace-20ms+tokens-20]}
keys:
  - {name: one, secret: overload-test-secret-0123456789abcdef}
"""
KEY = [("authorization", "Bearer overload-test-secret-0123456789abcdef")]


@pytest.fixture(scope="module")
def served() -> Iterator[Gateway]:
    """One worker."""
    with running(CONFIG) as found:
        yield found


@pytest.fixture
def gateway(served: Gateway) -> Iterator[Gateway]:
    """A worker that takes in nobody."""
    throttle = served.worker.overload.throttle
    # As after seconds of lag, without a floor.
    served.worker.overload.throttle = Throttle(0, floor=0, shedding=True, most=0)
    yield served
    served.worker.overload.throttle = throttle


def sheds(gateway: Gateway) -> float:
    """As `/metrics` counts them."""
    return gateway.metric('gateway_requests_total{route="",model="other",status="503",reason="overloaded"}')


class TestRefusal:
    def test_before_the_key_and_the_body(self, gateway: Gateway) -> None:
        """503 `overloaded` in OpenAI's shape with the retry that an SDK follows: no key was looked at, no body read."""
        before = sheds(gateway)
        with gateway.client() as client:
            client.send("POST", "/v1/chat/completions", b"", [("x-request-id", "mine-1")], length=1_000_000)
            answer = client.reply()
        assert (answer.status, answer.error["code"], answer.error["type"]) == (503, "overloaded", "server_error")
        assert answer.header("retry-after") == "1"
        assert answer.header("retry-after-ms") == "1000"
        assert answer.header("x-should-retry") == "true"
        assert answer.header("x-request-id") == "mine-1"
        assert answer.header("x-gateway-revision") == gateway.worker.revision
        assert answer.header("date")
        assert sheds(gateway) == before + 1
        assert gateway.pipeline.in_flight == 0

    @pytest.mark.parametrize(
        "target",
        [
            "/v1/chat/completions?a=b",
            "http://gateway/v1/chat/completions",
            "/%761/chat/completions",
            "/v2/rerank",
            "/providers/mock/v1/embeddings",
            "/api/admin/providers/chat",
        ],
    )
    def test_however_a_call_is_spelt(self, gateway: Gateway, target: str) -> None:
        """What is a call is decided by the path that it will be served by, not by how it is written."""
        with gateway.client() as client:
            client.send("POST", target, b"{}", KEY)
            answer = client.reply()
        assert (answer.status, answer.error["code"]) == (503, "overloaded")

    def test_an_id_is_given(self, gateway: Gateway) -> None:
        """Each refusal has an id of its own, also where the client's is none that may be repeated."""
        ids = {gateway.chat("mock-small", [("x-request-id", "no good")]).header("x-request-id") for _ in range(3)}
        assert len(ids) == 3
        assert all(found is not None and found.startswith("req-") for found in ids)

    def test_the_connection_lives_on(self, gateway: Gateway) -> None:
        """What follows of a refused body is no request; the next request on the connection is served."""
        body = json.dumps(chat_body("mock-small", user="x" * 200_000)).encode()
        with gateway.client() as client:
            client.send("POST", "/v1/chat/completions", b"", KEY, length=len(body))
            assert client.reply().status == 503
            client.write(body)
            gateway.worker.overload.throttle.shedding = False
            client.post("/v1/chat/completions", chat_body("mock-small"), KEY)
            assert client.reply().status == 200
            gateway.worker.overload.throttle.shedding = True
            client.post("/v1/chat/completions", chat_body("mock-small"), KEY)
            assert client.reply().status == 503

    def test_a_head_that_comes_again(self, gateway: Gateway) -> None:
        """Refused like the first one, each with an id of its own, whatever its length; a body of a refused request that
        looks like one is none; and once there is room again the same head is served."""
        body = chat_body("mock-small")
        known = len(gateway.worker.overload.head_cache)
        before = sheds(gateway)
        with gateway.client() as client:
            ids = set()
            for size in (1, 20, 300):
                client.post("/v1/chat/completions", chat_body("mock-small", user="x" * size), KEY)
                answer = client.reply()
                assert (answer.status, answer.error["code"]) == (503, "overloaded")
                assert answer.header("x-gateway-revision") == gateway.worker.revision
                ids.add(answer.header("x-request-id"))
            assert len(ids) == 3
            assert sheds(gateway) == before + 3
            assert len(gateway.worker.overload.head_cache) <= known + 1
            inner = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
            client.send("POST", "/v1/chat/completions", b"", KEY, length=len(inner))
            assert client.reply().status == 503
            client.write(inner)
            gateway.worker.overload.throttle.shedding = False
            client.post("/v1/chat/completions", body, KEY)
            assert client.reply().status == 200
            gateway.worker.overload.throttle.shedding = True
            gateway.worker.overload.throttle.most = inf
            client.post("/v1/chat/completions", body, KEY)
            assert client.reply().status == 200, "known, and taken in"
        assert gateway.pipeline.in_flight == 0

    @pytest.mark.parametrize("headers", [[("connection", "close")], [("expect", "100-continue")]])
    def test_the_connection_ends(self, gateway: Gateway, headers: list[tuple[str, str]]) -> None:
        """Where the client wants that, and where nobody can tell whether a body follows."""
        with gateway.client() as client:
            client.send("POST", "/v1/chat/completions", b"", headers, length=10 if headers[0][0] == "expect" else None)
            answer = client.reply()
            assert (answer.status, answer.header("connection")) == (503, "close")
            assert client.ended()

    def test_a_body_without_end_is_not_read_for_nothing(
        self, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So much of refused bodies is dropped; whoever announces more, or sends more, is closed on."""
        monkeypatch.setattr(server, "MOST_DROPPED", 300_000)
        with gateway.client() as client:
            for _ in range(3):
                client.send("POST", "/v1/chat/completions", b"y" * 200_000, KEY)
                assert client.reply().status == 503, "each body is bounded by itself"
            client.send("POST", "/v1/chat/completions", b"", KEY, length=999_999_999)
            answer = client.reply()
            assert (answer.status, answer.header("connection")) == (503, "close")
            assert client.ended()
        with gateway.client() as client:
            client.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
            assert client.reply().status == 503
            with pytest.raises(ConnectionError):
                client.write((b"2710\r\n" + b"y" * 10_000 + b"\r\n") * 10_000)

    def test_the_rest_is_served(self, gateway: Gateway) -> None:
        """Health, readiness and metrics are never shed."""
        assert gateway.get("/healthz").status == 200
        assert gateway.get("/readyz").status == 200
        assert gateway.get("/metrics").status == 200

    def test_answers_keep_their_order(self, gateway: Gateway) -> None:
        """A request that was sent while an answer is under way on its connection is not refused: its answer would come
        in between."""
        throttle = gateway.worker.overload.throttle
        throttle.shedding = False
        with gateway.client() as client:
            client.post("/v1/chat/completions", chat_body("mock-fault/pace-20ms+tokens-20", stream=True), KEY)
            reply = client.head()
            throttle.shedding = True
            client.post("/v1/chat/completions", chat_body("mock-small"), KEY)
            client.rest(reply)
            assert reply.complete
            assert reply.events[-1] == "[DONE]"
            assert client.reply().status == 200

    def test_few_calls_are_taken_in(self, gateway: Gateway) -> None:
        """Below the floor nobody is refused, however late the loop is."""
        gateway.worker.overload.throttle.floor = 1
        with gateway.client() as holding:
            holding.post("/v1/chat/completions", chat_body("mock-fault/stall-after-1", stream=True), KEY)
            assert holding.head().status == 200
            assert gateway.chat("mock-small", KEY).status == 503
        until(gateway.idle, "the end of the stream")
        assert gateway.chat("mock-small", KEY).status == 200


def test_a_loop_with_too_much_to_do(served: Gateway) -> None:
    """A worker whose loop is kept busy sheds by itself, says so in its metric, and takes everybody in once it is well
    again. Calls that run are not touched."""
    loop = served.loop
    throttle = served.worker.overload.throttle
    busy = True

    def work() -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass
        if busy:
            loop.call_soon(work)

    with ExitStack() as stack:
        streams = [stack.enter_context(Client(served.port)) for _ in range(FLOOR)]
        for stream in streams:
            stream.post("/v1/chat/completions", chat_body("mock-fault/stall-after-1", stream=True), KEY)
        for stream in streams:
            assert stream.head().status == 200
        loop.call_soon_threadsafe(work)
        until(lambda: throttle.shedding, "shedding", 30)
        until(lambda: served.chat("mock-small", KEY).status == 503, "a refusal", 30)
        busy = False
        until(lambda: not throttle.shedding, "the end of shedding", 30)
        assert served.chat("mock-small", KEY).status == 200
        assert served.pipeline.in_flight == FLOOR
    until(served.idle, "the end of the streams")
    assert served.metric("gateway_loop_lag_seconds_count") > 0


class Heard:
    """What a listener was told."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.changes: list[bool] = []

    def loop_lagged(self, seconds: float) -> None:
        self.lags.append(seconds)

    def call_shed(self, status: int) -> None:
        raise AssertionError

    def overload_changed(self, overloaded: bool, work: float | None, refused: int) -> None:
        assert overloaded or (work is not None and work < 0.03)
        assert refused == 0
        self.changes.append(overloaded)


@dataclass
class Idle:
    """A worker without calls."""

    in_flight: int = 0
    revision: str = "r"
    least: float = 0.0

    def held_up(self) -> float:
        """As a test says."""
        return self.least


class Clock:
    """Time, or work, that passes when a test says so."""

    def __init__(self) -> None:
        self.now = self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


async def looks(heard: Heard, count: int) -> None:
    """Wait until the loop was looked at so often."""
    await eventually(lambda: len(heard.lags) >= count, f"{count} looks at the loop")


async def test_what_the_probe_tells() -> None:
    """Every look is told with its lag, each change once; after the stop nothing is."""
    heard, time_of_day, work = Heard(), Clock(), Clock()
    idle = Idle()
    overload = Overload(Throttle(0.03), heard, idle, (time_of_day, work))
    overload.start()
    await looks(heard, 5)
    assert set(heard.lags) == {0.0}
    time_of_day.step = 0.1
    await looks(heard, 20)
    assert max(heard.lags) >= 0.1 - PERIOD
    assert not heard.changes, "time in which others had the processor"
    work.step = 0.05
    await eventually(lambda: heard.changes, "the overload")
    assert heard.changes == [True]
    work.step = 0.0
    await eventually(lambda: not overload.shedding, "the end of the overload")
    idle.least = 0.5
    await eventually(lambda: len(heard.changes) >= 3, "the next overload")
    assert heard.changes == [True, False, True], "calls that wait elsewhere than before the loop"
    overload.stop()
    assert not overload.shedding
    count = len(heard.lags)
    await asyncio.sleep(0.1)
    assert len(heard.lags) == count


def nothing() -> None:
    """A request that is over when it begins."""


async def test_what_waits_to_begin_is_work() -> None:
    """Turns in which only a few requests begin are short, however many wait: what the others will take counts, too. And
    where a burst waits, nothing more is taken in at once."""
    starts = starts_of(asyncio.get_running_loop())
    heard, idle, idled = Heard(), Idle(in_flight=FLOOR), 0.0
    overload = Overload(Throttle(0.03), heard, idle, (time.monotonic, lambda: idled + starts.count * 0.0002))
    overload.start()

    async def fill(waiting: int, enough: Callable[[], bool]) -> None:
        """So many are always there."""
        while not enough():
            while starts.pending < waiting:
                starts.begin(nothing)
            await asyncio.sleep(0)

    await looks(heard, 5)
    idled = 6000.0  # of work in some weeks in which hardly a call came
    await looks(heard, 10)
    await asyncio.wait_for(fill(4 * MOST, lambda: len(heard.lags) >= 60), 30)
    assert not heard.changes, "short turns, and few wait"
    await asyncio.wait_for(fill(30 * MOST, lambda: bool(heard.changes)), 30)
    assert overload.shedding
    assert not overload.refuses("/healthz")
    overload.stop()

    crowded = Overload(Throttle(0.03), heard, idle)
    crowded.start()
    while starts.pending < FLOOR + BURST:
        starts.begin(nothing)
    before = crowded.shedding
    crowded.crowded()
    assert (before, crowded.shedding) == (False, True)
    assert crowded.throttle.most == FLOOR + starts.pending
    assert crowded.refuses("/v1/chat/completions")
    crowded.stop()
    crowded.crowded()
    assert not crowded.shedding, "nobody would look any more whether it is over"
