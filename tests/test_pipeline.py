"""The pipeline's bookkeeping: whatever happens, a call is counted in once, out once, and settled with what it used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from random import Random

import pytest

from gateway.auth.keys import ANONYMOUS
from gateway.errors import (
    ClientGone,
    Draining,
    GatewayError,
    InvalidApiKey,
    ModelAccessDenied,
    ModelNotFound,
    Overloaded,
    RateLimited,
    UpstreamServerError,
    UpstreamTruncated,
)
from gateway.exchange import CallIds, Exchange
from gateway.limits.policy import Policy, one_shard
from gateway.registry.snapshot import Snapshot
from gateway.routing.planner import Planner
from gateway.types import (
    Principal,
    TokenSource,
    Usage,
)
from gateway.upstream.forward import Answer
from tests.support.pipeline import (
    Bench,
    bench_of,
    call,
    settled,
    streaming,
    whole,
)
from tests.support.waiting import eventually


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """The parameter, if there is one: a quota of the key."""
    async with bench_of(*getattr(request, "param", ())) as found:
        yield found


@pytest.mark.parametrize(
    ("answer", "error", "used", "source", "outcome"),
    [
        (whole(Usage(7, 5)), None, 12, TokenSource.PROVIDER, "ok"),
        (whole(None), None, 137, TokenSource.ESTIMATED, "ok"),
        (streaming(Usage(7, 5), (9, 900)), None, 12, TokenSource.PROVIDER, "ok"),
        (streaming(Usage(7, 5), (9, 900)), UpstreamTruncated(), 12, TokenSource.PROVIDER, "truncated"),
        (streaming(None, (9, 900)), None, 109, TokenSource.ESTIMATED, "ok"),
        (streaming(None, (9, 900)), UpstreamTruncated(), 109, TokenSource.PARTIAL, "truncated"),
        (streaming(None, (9, 900)), ClientGone(), 109, TokenSource.PARTIAL, "client_disconnected"),
        (streaming(None, (0, 0)), ClientGone(), 100, TokenSource.PARTIAL, "client_disconnected"),
        (streaming(None, (1, 4250)), None, 1100, TokenSource.ESTIMATED, "ok"),
    ],
)
async def test_a_call_is_settled_with_what_it_used(
    bench: Bench, answer: Answer, error: GatewayError | None, used: int, source: TokenSource, outcome: str
) -> None:
    """The provider's count, else an estimate of what was relayed; never nothing. The rest goes back."""
    before = await bench.tokens_left()
    exchange = bench.entered()
    bench.forwarder.result = answer
    await bench.pipeline.serve(exchange, call())
    assert await bench.tokens_left() == before - 1000
    bench.pipeline.close(exchange, 200, error)
    await settled(bench, before - used)
    (receipt,) = bench.told.receipts
    assert receipt.usage is not None
    assert (receipt.usage.total, receipt.token_source) == (used, source)
    assert bench.forwarder.outcomes == [outcome]
    assert (bench.pipeline.in_flight, bench.gate.live) == (0, {})


async def test_a_call_that_no_provider_answered_costs_nothing(bench: Bench) -> None:
    """Every attempt failed: the whole reservation goes back, the receipt names no usage."""
    before = await bench.tokens_left()
    exchange = bench.entered()
    bench.forwarder.result = UpstreamServerError()
    with pytest.raises(UpstreamServerError) as failed:
        await bench.pipeline.serve(exchange, call())
    bench.pipeline.close(exchange, 502, failed.value)
    await settled(bench, before)
    (receipt,) = bench.told.receipts
    assert (receipt.usage, receipt.token_source, receipt.reason) == (None, None, "upstream_error")
    assert bench.forwarder.outcomes == [], "nothing was committed"


async def test_a_call_cancelled_at_the_provider_costs_its_input(bench: Bench) -> None:
    """Sent and never answered: the provider may charge for reading it."""
    before = await bench.tokens_left()
    exchange = bench.entered()
    bench.forwarder.result = asyncio.CancelledError
    task = asyncio.create_task(bench.pipeline.serve(exchange, call()))
    await eventually(lambda: exchange.progress.sent, "the request is sent")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.pipeline.close(exchange, 499, ClientGone())
    await settled(bench, before - 100)
    assert bench.told.receipts[0].token_source is TokenSource.PARTIAL


async def test_closing_twice_is_closing_once(bench: Bench) -> None:
    """Only the first end counts, in numbers, receipts and tokens."""
    exchange = bench.entered()
    bench.forwarder.result = whole(Usage(1, 1))
    await bench.pipeline.serve(exchange, call())
    before = await bench.tokens_left()
    bench.pipeline.close(exchange, 200)
    bench.pipeline.close(exchange, 499, ClientGone())
    await settled(bench, before + 998)
    assert [receipt.status for receipt in bench.told.receipts] == [200]
    assert bench.pipeline.in_flight == 0


@pytest.mark.parametrize(("model", "error"), [("other", ModelAccessDenied), ("none", ModelNotFound)])
async def test_a_refused_call_reserves_nothing(bench: Bench, model: str, error: type[GatewayError]) -> None:
    """The model's permission and place are checked before any limit is touched."""
    before = await bench.tokens_left()
    exchange = bench.entered()
    with pytest.raises(error) as refused:
        await bench.pipeline.serve(exchange, call(model))
    bench.pipeline.close(exchange, refused.value.public_status, refused.value)
    assert exchange.reservation is None
    assert await bench.tokens_left() == before
    assert bench.told.receipts[0].reason == refused.value.reason


async def test_a_limit_refuses_before_anything_is_sent(bench: Bench) -> None:
    """A bucket too low: 429 with the time to come back, no attempt."""
    exchange = bench.entered()
    bench.forwarder.result = whole(Usage(9_000, 0))
    await bench.pipeline.serve(exchange, call(max_tokens=9_000))
    second = bench.entered()
    with pytest.raises(RateLimited) as refused:
        await bench.pipeline.serve(second, call())
    assert refused.value.retry_after
    assert second.progress.attempts == 0
    bench.pipeline.close(exchange, 200)
    bench.pipeline.close(second, 429, refused.value)
    assert bench.pipeline.in_flight == 0


async def test_authentication(bench: Bench) -> None:
    """At most `max_in_flight` calls, none while draining; who is refused is counted all the same."""
    pipeline = bench.pipeline
    with pytest.raises(InvalidApiKey) as unknown:
        pipeline.identify({b"x-api-key": b"wrong"})
    assert pipeline.in_flight == 0, "who is not known takes no place"
    pipeline.refused("r", unknown.value, pipeline.clock())
    inside = [bench.entered(), bench.entered()]
    with pytest.raises(Overloaded) as full:
        bench.entered()
    assert full.value.retry_after == 1.0
    pipeline.refused("r", full.value, pipeline.clock())
    assert pipeline.in_flight == 2
    pipeline.draining = True
    with pytest.raises(Draining):
        bench.entered()
    for exchange in inside:
        pipeline.close(exchange, 200)
    assert pipeline.in_flight == 0
    assert bench.told.started == len(bench.told.receipts) == 4
    assert [receipt.status for receipt in bench.told.receipts] == [401, 503, 200, 200]


async def test_a_reload_does_not_touch_calls_under_way(bench: Bench) -> None:
    """A call keeps the planner it came in with; the next one gets the new one."""
    exchange = bench.entered()
    old = bench.pipeline.planner
    assert isinstance(old, Planner)
    empty = Snapshot("rev-2", virtual_keys=old.snapshot.virtual_keys, keys=old.snapshot.keys)
    bench.pipeline.use(Planner(empty, {}, Random(1)), Policy(empty, one_shard, bench.worker))
    bench.forwarder.result = whole(Usage(1, 1))
    await bench.pipeline.serve(exchange, call())
    bench.pipeline.close(exchange, 200)
    assert bench.told.receipts[0].revision == "rev-1"
    later = bench.entered()
    with pytest.raises(ModelNotFound):
        await bench.pipeline.serve(later, call())
    assert later.revision == "rev-2"
    bench.pipeline.close(later, 404)


async def test_no_key_is_needed_only_when_none_is_configured_and_we_are_on_loopback(bench: Bench) -> None:
    """Both conditions, each on its own, keep the door shut."""
    pipeline = bench.pipeline
    for anonymous, snapshot, opened in (
        (True, pipeline.planner.snapshot, False),
        (False, Snapshot("x"), False),
        (True, Snapshot("x"), True),
    ):
        pipeline.anonymous = anonymous
        pipeline.use(Planner(snapshot, {}, Random(1)), Policy(snapshot, one_shard, bench.worker))
        assert pipeline.open_mode is opened
        if not opened:
            with pytest.raises(InvalidApiKey):
                pipeline.identify({})
        else:
            assert pipeline.identify({}) is ANONYMOUS


def test_ids_of_calls_are_unique_across_processes() -> None:
    """A random prefix for each process, a count within it."""
    one, two = CallIds(), CallIds()
    made = [ids() for ids in (one, two) for _ in range(1000)]
    assert len(set(made)) == 2000
    assert len({name.partition("-")[0] for name in made}) == 2


def test_overhead_is_what_was_not_spent_waiting() -> None:
    """From arrival to the first byte, less the time providers took; never negative."""
    exchange = Exchange("r", 10.0, Principal("k"), None, None)  # type: ignore[arg-type]
    exchange.progress.waited = 0.75
    exchange.ready(11.0)
    assert exchange.first_byte == 11.0
    assert exchange.overhead == pytest.approx(0.25)
    exchange.progress.waited = 2.0
    exchange.ready(11.0)
    assert exchange.overhead == 0.0
