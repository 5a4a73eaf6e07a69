"""What the pipeline books and charges: a row for each attempt, and budgets that hold."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from gateway.admission import _known_hash, user_hash
from gateway.errors import (
    ClientGone,
    InsufficientQuota,
    LedgerUnavailable,
    UnpricedModel,
    UpstreamServerError,
    UpstreamTimeout,
)
from gateway.types import (
    LedgerState,
    Price,
    QuotaSpec,
    Service,
    TokenSource,
    Usage,
)
from gateway.usage.events import decode_event
from gateway.usage.reprice import restated
from tests.support.pipeline import (
    DEPLOYMENT,
    PROVIDER,
    Bench,
    bench_of,
    call,
    settled,
    streaming,
    whole,
)


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """The parameter, if there is one: a quota of the key."""
    async with bench_of(*getattr(request, "param", ())) as found:
        yield found


SPOKEN = b'{"input":"%s"}' % (b"x" * 200)


async def test_a_call_leaves_one_row_and_no_record(bench: Bench) -> None:
    """While it runs the store knows it; afterwards the ledger has the attempt that answered, priced as it was used."""
    exchange, asked = bench.entered(), call(user="someone")
    bench.forwarder.result = whole(Usage(1000, 500, cached_input_tokens=400))
    await bench.pipeline.serve(exchange, asked)
    assert await bench.records() == 1
    assert await bench.rows() == []
    bench.pipeline.close(exchange, 200)
    (row,) = await bench.rows()
    assert await bench.records() == 0
    assert (row.call_id, row.attempt, row.request_id, row.state) == (asked.id, 1, "r", LedgerState.SETTLED)
    assert (row.key, row.team, row.status, row.reason) == (bench.principal.key, "red", 200, "ok")
    assert (row.input_tokens, row.output_tokens, row.cached_input_tokens) == (1000, 500, 400)
    assert row.cost_nano_usd == 1000 * 2000 + 500 * 8000
    assert row.user_hash == user_hash("red", bench.principal.key, "someone")
    assert "someone" not in repr(row)
    assert (row.provider, row.deployment, row.model, row.requested_model) == ("p", "p/m", "m", "m")
    assert bench.told.receipts[0].cost_nano_usd == row.cost_nano_usd


async def test_each_attempt_has_its_row(bench: Bench) -> None:
    """Attempts that failed are booked as they fail, at our cost or at none; the one that answered is the key's."""
    before = await bench.tokens_left()
    exchange, asked = bench.entered(), call()
    bench.forwarder.failures = [UpstreamServerError(), UpstreamTimeout()]
    bench.forwarder.result = whole(Usage(7, 5))
    await bench.pipeline.serve(exchange, asked)
    assert [row.attempt for row in await bench.rows()] == [1, 2]
    bench.pipeline.close(exchange, 200)
    rows = await bench.rows()
    assert [(row.call_id, row.attempt, row.state, row.reason) for row in rows] == [
        (asked.id, 1, LedgerState.RELEASED, "5xx"),
        (asked.id, 2, LedgerState.RELEASED, "ttfb_timeout"),
        (asked.id, 3, LedgerState.SETTLED, "ok"),
    ]
    assert [row.cost_nano_usd for row in rows] == [0, 100 * 2000, 7 * 2000 + 5 * 8000]
    await settled(bench, before - 12)
    assert await bench.records() == 0


async def test_a_call_that_came_to_nothing_leaves_no_row_of_its_own(bench: Bench) -> None:
    """Its failed attempts are booked, the call itself is not; its record is gone."""
    exchange = bench.entered()
    bench.forwarder.failures = [UpstreamServerError()]
    bench.forwarder.result = UpstreamServerError()
    with pytest.raises(UpstreamServerError) as failed:
        await bench.pipeline.serve(exchange, call())
    bench.pipeline.close(exchange, 502, failed.value)
    assert [(row.attempt, row.state) for row in await bench.rows()] == [(1, LedgerState.RELEASED)]
    assert await bench.records() == 0


async def test_vectors_of_nothing_are_not_free(bench: Bench) -> None:
    """A provider that says of every embedding that it has read nothing has counted nothing: that is estimated."""
    exchange = bench.entered()
    bench.forwarder.result = whole(Usage(0, 0))
    await bench.pipeline.serve(exchange, call(service=Service.EMBEDDINGS, max_tokens=None))
    bench.pipeline.close(exchange, 200)
    (row,) = await bench.rows()
    assert (row.input_tokens, row.token_source, row.cost_nano_usd) == (100, TokenSource.ESTIMATED, 100 * 2000)


@pytest.mark.parametrize("told", [Usage(10**9, 5), Usage(100, 10**9), Usage(100, 5, units=1e9)])
async def test_what_no_call_has_is_not_charged(bench: Bench, told: Usage) -> None:
    """A count beyond all reason is a provider's mistake, and no budget is used up by it: what was used is estimated."""
    exchange = bench.entered()
    bench.forwarder.result = whole(told, b'{"choices":[]}')
    await bench.pipeline.serve(exchange, call())
    bench.pipeline.close(exchange, 200)
    (row,) = await bench.rows()
    assert (row.input_tokens, row.token_source, row.units) == (100, TokenSource.ESTIMATED, 0.0)
    assert 0 < row.output_tokens < 100
    assert row.cost_nano_usd == 100 * 2000 + row.output_tokens * 8000


async def test_speech_that_is_sold_by_tokens_is_not_free(bench: Bench) -> None:
    """Sound says nothing of its tokens: where the price is one of tokens, what was spoken is estimated in them."""
    exchange, asked = bench.entered(), call(service=Service.SPEECH, max_tokens=None)
    bench.forwarder.result = whole(None, b"\xff\xf3\x01")
    await bench.pipeline.serve(exchange, msgspec.structs.replace(asked, raw=SPOKEN))
    bench.pipeline.close(exchange, 200)
    (row,) = await bench.rows()
    assert (row.input_tokens, row.output_tokens, row.audio_output_tokens, row.units) == (100, 300, 300, 200.0)
    assert row.token_source is TokenSource.ESTIMATED
    assert row.cost_nano_usd == 100 * 2000 + 300 * 8000


async def test_speech_is_quoted_as_it_is_sold(bench: Bench) -> None:
    """The cheapest deployment is not the one whose price is one of tokens because nobody knows these beforehand."""
    asked = msgspec.structs.replace(call(service=Service.SPEECH, max_tokens=None), raw=SPOKEN)
    by_tokens = replace(DEPLOYMENT, price=Price(0.6, 12.0))
    by_characters = replace(DEPLOYMENT, price=Price(0.0, 0.0, per_unit=0.000015))
    quote = bench.pipeline._admission.quote
    assert quote(asked, "r", by_tokens) == 100 * 600 + 300 * 12_000
    assert quote(asked, "r", by_characters) == 200 * 15_000


async def test_a_transcript_that_is_counted_in_tokens_costs_its_seconds(bench: Bench) -> None:
    """A price by the second is for as many seconds as such tokens last, where nobody tells them."""
    bench.pipeline._accounts.price_of = lambda _: Price(0.0, 0.0, per_unit=0.0001)
    exchange, asked = bench.entered(), call(service=Service.TRANSCRIPTION, max_tokens=None)
    bench.forwarder.result = whole(Usage(320, 11, audio_input_tokens=300), b'{"text":"x"}')
    await bench.pipeline.serve(exchange, asked)
    bench.pipeline.close(exchange, 200)
    (row,) = await bench.rows()
    assert (row.input_tokens, row.output_tokens, row.units) == (320, 11, 30.0)
    assert (row.token_source, row.cost_nano_usd) == (TokenSource.ESTIMATED, 30 * 100_000)


async def test_characters_that_were_sent_cost_what_they_do_without_an_answer(bench: Bench) -> None:
    """They are what speech is sold by: an attempt that timed out cost us that, and a client that left its key."""
    bench.pipeline._accounts.price_of = lambda _: Price(0.0, 0.0, per_unit=0.00003)
    exchange, asked = bench.entered(), call(service=Service.SPEECH, max_tokens=None)
    bench.forwarder.failures, bench.forwarder.result = [UpstreamTimeout()], asyncio.CancelledError
    task = asyncio.create_task(bench.pipeline.serve(exchange, msgspec.structs.replace(asked, raw=SPOKEN)))
    while not exchange.progress.sent:  # noqa: ASYNC110 - a plain field
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    bench.pipeline.close(exchange, 499, ClientGone())
    rows = sorted(await bench.rows(), key=lambda row: row.attempt)
    assert [(row.state, row.units, row.cost_nano_usd) for row in rows] == [
        (LedgerState.RELEASED, 200.0, 200 * 30_000),
        (LedgerState.SETTLED, 200.0, 200 * 30_000),
    ]


async def test_each_request_of_a_split_call_is_charged(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the attempt answered or came to nothing: its row says how many there were, and has them in its cost."""
    accounts = bench.pipeline._accounts
    accounts.price_of = lambda _: Price(2.0, 0.0, per_request=0.001)
    monkeypatch.setattr(accounts.foresight, "requests", lambda *_: 3)
    asked = msgspec.structs.replace(call(service=Service.EMBEDDINGS, max_tokens=None), inputs=5)
    exchange, bench.forwarder.requests = bench.entered(), 3
    bench.forwarder.failures, bench.forwarder.result = [UpstreamTimeout(), UpstreamServerError()], whole(Usage(90))
    await bench.pipeline.serve(exchange, asked)
    about, (_, tokens, cost) = accounts.about(exchange, DEPLOYMENT, 3)
    assert isinstance(about, bytes)
    assert decode_event(about)[0].upstream_requests == 3
    assert (tokens, cost) == (90, 90 * 2000 + 3_000_000)
    bench.pipeline.close(exchange, 200)
    rows = sorted(await bench.rows(), key=lambda row: row.attempt)
    assert [(row.state, row.upstream_requests, row.cost_nano_usd) for row in rows] == [
        (LedgerState.RELEASED, 3, 100 * 2000 + 3_000_000),
        (LedgerState.RELEASED, 3, 0),
        (LedgerState.SETTLED, 3, 90 * 2000 + 3_000_000),
    ]


async def test_the_tier_that_served_is_charged(bench: Bench) -> None:
    """What the provider said counts, not what was asked for; the row keeps it, so that history can be restated."""
    price = Price(2.0, 8.0, version="v", service_tiers={"flex": Price(1.0, 4.0), "priority": Price(4.0, 16.0)})
    bench.pipeline._accounts.price_of = lambda _: price
    for told, cost in (("", 7 * 2000 + 5 * 8000), ("flex", 7 * 1000 + 5 * 4000), ("scale", 7 * 2000 + 5 * 8000)):
        exchange, bench.forwarder.result = bench.entered(), whole(Usage(7, 5, service_tier=told))
        await bench.pipeline.serve(exchange, call())
        bench.pipeline.close(exchange, 200)
        row = (await bench.rows())[-1]
        assert (row.service_tier, row.cost_nano_usd) == (told, cost)
        assert restated(row, lambda *_: price) is row


async def test_the_tier_is_known_of_an_answer_that_breaks_off(bench: Bench) -> None:
    """A stream that said it first is charged at it, wherever it ends."""
    bench.pipeline._accounts.price_of = lambda _: Price(2.0, 8.0, service_tiers={"priority": Price(4.0, 16.0)})
    exchange, bench.forwarder.result = bench.entered(), streaming(None, (9, 900))
    relay: Any = bench.forwarder.result.relay
    relay.relayed, relay.service_tier = (9, 900, (8, 32)), "priority"
    await bench.pipeline.serve(exchange, call())
    bench.pipeline.close(exchange, 499, ClientGone())
    (row,) = await bench.rows()
    assert (row.token_source, row.service_tier) == (TokenSource.PARTIAL, "priority")
    assert row.cost_nano_usd == row.input_tokens * 4000 + row.output_tokens * 16_000


async def test_a_call_that_will_be_split_is_quoted_so(bench: Bench) -> None:
    """A price of each request counts as often as the provider is asked; rankings are not split everywhere."""
    asked = msgspec.structs.replace(call(service=Service.EMBEDDINGS, max_tokens=None), inputs=5)
    slices = msgspec.structs.replace(asked, service=Service.RERANK)
    by_request = replace(DEPLOYMENT, price=Price(2.0, 0.0, per_request=0.001), provider=replace(PROVIDER, batch_size=2))
    assert bench.pipeline._admission.quote(asked, "r", by_request) == 100 * 2000 + 3_000_000
    assert bench.pipeline._admission.quote(slices, "r", by_request) == 100 * 2000 + 1_000_000


def test_users_of_two_teams_are_two_users() -> None:
    """The same name in another team, or under another key without one, is somebody else; members of a team share it."""
    found = [
        user_hash("a", "k1", "u"),
        user_hash("b", "k1", "u"),
        user_hash(None, "k1", "u"),
        user_hash(None, "k2", "u"),
    ]
    assert len(set(found)) == 4
    assert user_hash("a", "k2", "u") == found[0]
    assert user_hash(None, "a", "u") not in (user_hash("a", "a", "u"), *found)


# ---- budgets ---------------------------------------------------------------------------------------------------------

CENT = 10_000_000
BUDGET = QuotaSpec("key", "n", "cost", "total", CENT)


@pytest.mark.parametrize("bench", [(BUDGET,)], indirect=True)
async def test_a_budget_bounds_what_an_open_end_may_have(bench: Bench) -> None:
    """Without `max_tokens` the call is cut off at what was granted; who said how much gets that or nothing."""
    exchange, asked = bench.entered(), call(max_tokens=None, input_tokens=10)
    bench.forwarder.result = whole(Usage(10, 5))
    await bench.pipeline.serve(exchange, asked)
    assert asked.output_cap is not None
    assert 0 < asked.output_cap <= CENT // 8000 // 4
    bench.pipeline.close(exchange, 200)
    exchange, asked = bench.entered(), call(max_tokens=600)
    await bench.pipeline.serve(exchange, asked)
    assert asked.output_cap is None
    bench.pipeline.close(exchange, 200)
    exchange = bench.entered()
    with pytest.raises(InsufficientQuota) as refused:
        await bench.pipeline.serve(exchange, call(max_tokens=2000))
    assert not refused.value.retryable
    bench.pipeline.close(exchange, 429, refused.value)


@pytest.mark.parametrize("bench", [(BUDGET,)], indirect=True)
async def test_a_budget_pays_for_images_that_are_sold_by_tokens(bench: Bench) -> None:
    """Their output is bounded by their number alone, and reserved: a cent does not pay for four pictures' tokens."""
    exchange = bench.entered()
    with pytest.raises(InsufficientQuota):
        await bench.pipeline.serve(exchange, call(service=Service.IMAGES, max_tokens=None, choices=4))
    bench.pipeline.close(exchange, 429)


@pytest.mark.parametrize("bench", [(BUDGET,)], indirect=True)
@pytest.mark.parametrize(("inputs", "fits"), [(20, True), (21, False)])
async def test_a_budget_pays_for_each_request_of_a_split_call(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, inputs: int, *, fits: bool
) -> None:
    """A cent pays for ten requests of a tenth of it each, and not for eleven."""
    accounts = bench.pipeline._accounts
    accounts.price_of = lambda _: Price(0.0, 0.0, per_request=0.001)
    monkeypatch.setattr(accounts.foresight, "requests", lambda one, _: -(-one.inputs // 2))
    exchange, bench.forwarder.result = bench.entered(), whole(Usage(90))
    asked = msgspec.structs.replace(call(service=Service.EMBEDDINGS, max_tokens=None), inputs=inputs)
    if fits:
        await bench.pipeline.serve(exchange, asked)
        bench.pipeline.close(exchange, 200)
        return
    with pytest.raises(InsufficientQuota) as refused:
        await bench.pipeline.serve(exchange, asked)
    bench.pipeline.close(exchange, 429, refused.value)


@pytest.mark.parametrize("bench", [(BUDGET,)], indirect=True)
@pytest.mark.parametrize(("asked", "fits"), [("default", True), ("flex", True), ("priority", False), (None, False)])
async def test_a_budget_pays_for_the_dearest_tier(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, asked: str | None, *, fits: bool
) -> None:
    """A thousand tokens of output fit into a cent at the ordinary price; whoever may be served at a dearer tier gets
    what that would leave, which is less than was asked for."""
    price = Price(2.0, 8.0, service_tiers={"flex": Price(1.0, 4.0), "priority": Price(4.0, 16.0)})
    accounts = bench.pipeline._accounts
    accounts.price_of = lambda _: price
    monkeypatch.setattr(accounts.foresight, "_named", lambda *_: asked)
    exchange, bench.forwarder.result = bench.entered(), whole(Usage(7, 5))
    if fits:
        await bench.pipeline.serve(exchange, call(max_tokens=1000))
        bench.pipeline.close(exchange, 200)
        return
    with pytest.raises(InsufficientQuota) as refused:
        await bench.pipeline.serve(exchange, call(max_tokens=1000))
    bench.pipeline.close(exchange, 429, refused.value)


@pytest.mark.parametrize("bench", [(BUDGET,)], indirect=True)
async def test_what_has_no_price_is_refused_under_a_budget(bench: Bench) -> None:
    """Unknown is never free: 400, and nothing is held."""
    exchange = bench.entered()
    with pytest.raises(UnpricedModel) as refused:
        await bench.pipeline.serve(exchange, call("small"))
    bench.pipeline.close(exchange, 400, refused.value)
    assert bench.gate.live == {}
    assert bench.forwarder.calls == []


@pytest.mark.parametrize("bench", [(QuotaSpec("key", "n", "cost", "total", 10**18, action="alert"),)], indirect=True)
async def test_numbers_without_bound_disturb_nobody(bench: Bench) -> None:
    """However much output a client asks for how often: the store takes it, and calls beside it as ever."""
    bench.forwarder.result = whole(Usage(7, 5))
    exchange, other = bench.entered(), bench.entered()
    # A bucket of tokens would refuse it before anybody is asked.
    exchange.principal = other.principal = replace(bench.principal, limits=())
    asked = call(max_tokens=2**31 - 1)
    asked.choices = 5 * (2**31 - 1)
    await asyncio.gather(bench.pipeline.serve(exchange, asked), bench.pipeline.serve(other, call()))
    assert [one.reservation is not None and one.reservation.degraded for one in (exchange, other)] == [False, False]
    bench.pipeline.close(exchange, 200)
    bench.pipeline.close(other, 200)
    assert len(await bench.rows()) == 2
    assert bench.gate.unsent == {}


ONCE = QuotaSpec("key", "n", "requests", "total", 1)


@pytest.mark.parametrize("bench", [(ONCE,)], indirect=True)
async def test_a_call_that_came_to_nothing_uses_no_request_up(bench: Bench) -> None:
    """A quota counts what the ledger charges: else a counter that is rebuilt from there would say something else."""
    for result in (UpstreamServerError(), whole(Usage(7, 5))):
        exchange = bench.entered()
        bench.forwarder.result = result
        error = None
        try:
            await bench.pipeline.serve(exchange, call())
        except UpstreamServerError as failure:
            error = failure
        bench.pipeline.close(exchange, 200 if error is None else 502, error)
    exchange = bench.entered()
    with pytest.raises(InsufficientQuota) as refused:
        await bench.pipeline.serve(exchange, call())
    bench.pipeline.close(exchange, 429, refused.value)


def test_long_names_of_users_are_not_remembered() -> None:
    """A client can name a user in megabytes, thousands of times: only short names are kept beside their hashes."""
    before = _known_hash.cache_info().currsize
    found = {user_hash(None, "k", f"{number}" * 100_000) for number in range(3)}
    assert len(found) == 3
    assert _known_hash.cache_info().currsize == before


DOWN = QuotaSpec("key", "n", "requests", "total", 1, action="downgrade", downgrade_to="small")


@pytest.mark.parametrize("bench", [(DOWN,)], indirect=True)
async def test_a_used_up_quota_switches_to_its_other_model(bench: Bench) -> None:
    """The first call gets what it asked for, the next ones the smaller model, under the name they asked for."""
    for wanted in ("p/m", "p/small", "p/small"):
        exchange, asked = bench.entered(), call()
        bench.forwarder.result = whole(Usage(7, 5))
        await bench.pipeline.serve(exchange, asked)
        assert exchange.plan is not None
        assert exchange.plan.targets[0].id == wanted
        bench.pipeline.close(exchange, 200)
    assert [(row.requested_model, row.deployment) for row in await bench.rows()] == [
        ("m", "p/m"),
        ("m", "p/small"),
        ("m", "p/small"),
    ]


async def test_a_full_ledger_shuts_the_door(bench: Bench) -> None:
    """While usage cannot be written down anywhere, no new call is begun."""

    class Sick:
        healthy = False

    bench.pipeline.journal = Sick()
    with pytest.raises(LedgerUnavailable) as refused:
        bench.entered()
    assert refused.value.retry_after == 5.0
    assert bench.pipeline.in_flight == 0
