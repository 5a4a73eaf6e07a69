"""Costs in integers: exact, rounded up once, kinds priced apart, and never above what was set aside for them."""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_CEILING, Context, Decimal
from math import ceil

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.types import Price, PriceTier, Usage
from gateway.usage.cost import MOST, bounds, nano_usd

TIERS = (PriceTier(200_000, 5.0, 15.0, cached_input=0.5), PriceTier(500_000, 7.0, 20.0))
TIERED = Price(2.5, 10.0, cached_input=0.25, audio_input=30.0, reasoning=12.0, tiers=TIERS)


SERVICES = Price(2.0, 8.0, service_tiers={"flex": Price(1.0, 4.0), "priority": Price(4.0, 16.0, cached_input=0.4)})


@pytest.mark.parametrize(
    ("usage", "price", "nano"),
    [
        (Usage(1_000_000, 0), Price(2.5, 10.0), 2_500_000_000),
        (Usage(0, 1_000_000), Price(2.5, 10.0), 10_000_000_000),
        (Usage(1, 0), Price(0.001, 0.0), 1),
        (Usage(1, 0), Price(0.000001, 0.0), 1),
        (Usage(0, 0), Price(2.5, 10.0), 0),
        (Usage(100, 0, cached_input_tokens=40), Price(2.5, 10.0, cached_input=1.25), 60 * 2500 + 40 * 1250),
        (Usage(100, 0, cached_input_tokens=40), Price(2.5, 10.0), 100 * 2500),
        (Usage(100, 0, cache_write_tokens=10), Price(2.0, 10.0, cache_write=2.5), 90 * 2000 + 10 * 2500),
        (
            Usage(100, 0, cache_write_tokens=10, cache_write_1h_tokens=4),
            Price(2.0, 10.0, cache_write=2.5, cache_write_1h=4.0),
            90 * 2000 + 6 * 2500 + 4 * 4000,
        ),
        (
            Usage(100, 0, cache_write_tokens=10, cache_write_1h_tokens=4),
            Price(2.0, 10.0, cache_write=2.5),
            90 * 2000 + 10 * 2500,
        ),
        (
            Usage(100, 0, cache_write_tokens=10, cache_write_1h_tokens=14),
            Price(2.0, 10.0, cache_write_1h=4.0),
            90 * 2000 + 10 * 4000,
        ),
        (Usage(0, 100, reasoning_tokens=30), Price(1.0, 10.0, reasoning=5.0), 70 * 10_000 + 30 * 5000),
        (Usage(10, 0), Price(0.0, 0.0, per_request=0.01), 10_000_000),
        (Usage(10, 5, service_tier="flex"), SERVICES, 10 * 1000 + 5 * 4000),
        (Usage(10, 5, 4, service_tier="priority"), SERVICES, 6 * 4000 + 4 * 400 + 5 * 16_000),
        (Usage(10, 5, service_tier="scale"), SERVICES, 10 * 2000 + 5 * 8000),
        (Usage(10, 0, searches=3), Price(2.0, 0.0, per_search=0.01), 10 * 2000 + 30_000_000),
        (Usage(10, 0, searches=3), Price(2.0, 0.0), 10 * 2000),
        (Usage(10, 0, requests=3), Price(0.0, 0.0, per_request=0.01), 30_000_000),
        (Usage(10, 0, cached_input_tokens=99), Price(2.0, 1.0, cached_input=1.0), 10 * 1000),
        (Usage(100, 50, audio_input_tokens=40), Price(1.0, 2.0, audio_input=40.0), 60_000 + 40 * 40_000 + 50 * 2000),
        (Usage(10, 50, audio_output_tokens=20), Price(1.0, 2.0, audio_output=80.0), 10_000 + 60_000 + 20 * 80_000),
        (Usage(10, 50, audio_output_tokens=20), Price(1.0, 2.0), 10_000 + 100_000),
        # Cached audio is priced as cached; a side is never exceeded.
        (Usage(10, 0, 8, audio_input_tokens=9), Price(1.0, 0.0, cached_input=0.1, audio_input=9.0), 800 + 2 * 9000),
        (
            Usage(0, 9, reasoning_tokens=7, audio_output_tokens=5),
            Price(1.0, 1.0, reasoning=2.0, audio_output=3.0),
            20_000,
        ),
        (Usage(units=3.0), Price(0.0, 0.0, per_unit=0.04), 120_000_000),
        (Usage(units=0.1), Price(0.0, 0.0, per_unit=0.00000001), 1),
        (Usage(units=8.47), Price(0.0, 0.0, per_unit=0.0001), 847_000),
        (Usage(5, 0, units=2.0), Price(1.0, 0.0, per_request=0.001, per_unit=0.5), 5000 + 1_000_000 + 1_000_000_000),
        (Usage(200_000, 1), TIERED, 200_000 * 2500 + 10_000),
        (Usage(200_001, 1), TIERED, 200_001 * 5000 + 15_000),
        (Usage(300_000, 0, 1), TIERED, 299_999 * 5000 + 500),
        (Usage(500_001, 0, 1), TIERED, 500_001 * 7000),
        (Usage(500_001, 2, reasoning_tokens=1), TIERED, 500_001 * 7000 + 20_000 + 12_000),
    ],
)
def test_nano_usd(usage: Usage, price: Price, nano: int) -> None:
    """Every kind at its price; one without a price of its own costs what its side does; a side is never exceeded."""
    assert nano_usd(usage, price) == nano


AMOUNTS = st.one_of(
    st.just(0.0),
    st.decimals(0, 1000, places=6).map(float),
    st.floats(0, 1000, allow_subnormal=False),
    st.sampled_from([0.1, 2.5, 0.0028, 0.14666666666666667, 1e-7]),
)
MAYBE = st.one_of(st.none(), AMOUNTS)
TIER = st.builds(PriceTier, st.integers(0, 10**6), AMOUNTS, AMOUNTS, MAYBE, MAYBE, MAYBE)
TIERS_OF_SERVICE = ("flex", "priority")
ONE_TIER = st.builds(
    Price,
    AMOUNTS,
    AMOUNTS,
    MAYBE,
    MAYBE,
    MAYBE,
    AMOUNTS,
    MAYBE,
    MAYBE,
    AMOUNTS,
    st.lists(TIER, max_size=3, unique_by=lambda tier: tier.above).map(
        lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.above))
    ),
    st.just("v"),
    MAYBE,
    st.just({}),
    AMOUNTS,
)
PRICES = st.builds(
    lambda price, services: replace(price, service_tiers=services),
    ONE_TIER,
    st.dictionaries(st.sampled_from(TIERS_OF_SERVICE), ONE_TIER, max_size=2),
)
COUNTS = st.one_of(st.integers(0, 50), st.integers(0, 2 * 10**6))
UNITS = st.one_of(st.just(0.0), st.floats(0, 10**5, allow_subnormal=False), st.integers(0, 100).map(float))
SEARCHES = st.one_of(st.just(0), st.integers(0, 50))
SERVED = st.sampled_from(("", "", *TIERS_OF_SERVICE, "unknown"))
REQUESTS = st.one_of(st.just(1), st.integers(0, 2000))
USAGES = st.builds(
    Usage,
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    UNITS,
    COUNTS,
    REQUESTS,
    SERVED,
    st.one_of(st.just(0), st.integers(0, 50)),
)

EXACT = Context(prec=400)


def reference(usage: Usage, price: Price) -> int:
    """The cost by decimal arithmetic without rounding: each kind's own tokens at its own price, and one ceiling."""

    def dollars(amount: float | None, instead: float) -> Decimal:
        return Decimal(repr(instead if amount is None else amount))

    price = price.service_tiers.get(usage.service_tier, price)
    tier: Price | PriceTier = price
    for candidate in price.tiers:
        if usage.input_tokens > candidate.above:
            tier = candidate
    cached = min(usage.cached_input_tokens, usage.input_tokens)
    written = min(usage.cache_write_tokens, usage.input_tokens - cached)
    hour = min(usage.cache_write_1h_tokens, written)
    shorter = tier.input if tier.cache_write is None else tier.cache_write
    heard = min(usage.audio_input_tokens, usage.input_tokens - cached - written)
    thought = min(usage.reasoning_tokens, usage.output_tokens)
    spoken = min(usage.audio_output_tokens, usage.output_tokens - thought)
    lines = [
        (usage.input_tokens - cached - written - heard, dollars(tier.input, 0)),
        (cached, dollars(tier.cached_input, tier.input)),
        (written - hour, dollars(shorter, 0)),
        (hour, dollars(tier.cache_write_1h, shorter)),
        (heard, dollars(price.audio_input, tier.input)),
        (usage.output_tokens - thought - spoken, dollars(tier.output, 0)),
        (thought, dollars(price.reasoning, tier.output)),
        (spoken, dollars(price.audio_output, tier.output)),
    ]
    total = EXACT.multiply(Decimal(repr(usage.units)), Decimal(repr(price.per_unit)))
    total = EXACT.add(total, EXACT.multiply(Decimal(usage.requests), Decimal(repr(price.per_request))))
    total = EXACT.add(total, EXACT.multiply(Decimal(usage.searches), Decimal(repr(price.per_search))))
    total = EXACT.multiply(total, Decimal(10**9))
    for count, each in lines:
        total = EXACT.add(total, EXACT.multiply(Decimal(count * 1000), each))
    return int(total.to_integral_value(ROUND_CEILING, context=EXACT))


@given(USAGES, PRICES)
def test_exact(usage: Usage, price: Price) -> None:
    """For any price as written and any usage, the result is the true cost rounded up to a whole nano-dollar."""
    assert nano_usd(usage, price) == reference(usage, price)


@given(USAGES, PRICES, st.integers(0, 10**6), st.floats(0, 100), st.integers(0, 10), st.sets(SERVED))
def test_what_is_set_aside_is_enough(
    usage: Usage, price: Price, more: int, more_units: float, more_requests: int, others: set[str]
) -> None:
    """However a call's tokens divide into kinds, and at whichever of these tiers it is served, it costs at most what
    its bounds say for so much input and output, and what was searched for."""
    given_units, requests = usage.units + more_units, usage.requests + more_requests
    tiers = {usage.service_tier, *others}
    fixed, per_output = bounds(price, usage.input_tokens + more, given_units, requests, tiers)
    searched = Decimal(price.service_tiers.get(usage.service_tier, price).per_search) * usage.searches * 10**9
    assert nano_usd(usage, price) <= fixed + per_output * usage.output_tokens + ceil(searched)


@given(PRICES, st.integers(0, 10**6), st.sets(SERVED))
def test_bounds_are_reached(price: Price, given_tokens: int, served: set[str]) -> None:
    """Bounds are not idle: they stay within the dearest kind of any tier, and a nano-dollar for each rounding."""
    fixed, per_output = bounds(price, given_tokens, 0.0, 1, served)
    prices = [price, *(other for name, other in price.service_tiers.items() if name in served)]
    reached = [_within_the_dearest(one, given_tokens) for one in prices]
    assert fixed <= max(most for most, _ in reached)
    assert per_output <= max(most for _, most in reached)


def _within_the_dearest(price: Price, given_tokens: int) -> tuple[int, int]:
    tiers: list[Price | PriceTier] = [price, *price.tiers]
    inputs = [t.input for t in tiers] + [t.cached_input or 0 for t in tiers]
    inputs += [max(t.cache_write or 0, t.cache_write_1h or 0) for t in tiers]
    outputs = [t.output for t in tiers] + [price.reasoning or 0, price.audio_output or 0]
    dearest = max([*inputs, price.audio_input or 0])
    fixed = ceil(Decimal(dearest) * given_tokens * 1000 + Decimal(price.per_request) * 10**9) + 1
    return fixed, ceil(Decimal(max(outputs)) * 1000) + 1


def test_bounds() -> None:
    """The dearest kind of input, whole requests and units are fixed; the dearest kind of output counts per token."""
    price = Price(2.0, 8.0, 0.5, 2.5, 9.0, 0.01, 40.0, 80.0, 0.001)
    assert bounds(price, 1000, 3.0) == (1000 * 40_000 + 10_000_000 + 3_000_000, 80_000)
    assert bounds(price, 1000, 3.0, 4) == (1000 * 40_000 + 4 * 10_000_000 + 3_000_000, 80_000)
    assert bounds(Price(2.0, 8.0, 0.5, 2.5), 1000) == (1000 * 2500, 8000)
    assert bounds(Price(2.0, 8.0, 0.5, 2.5, cache_write_1h=4.0), 1000) == (1000 * 4000, 8000)
    assert bounds(TIERED, 300_000)[1] == 15_000
    assert bounds(Price(2.0, 0.0001), 0) == (0, 1)
    # A tier that is cheaper does not lower what a smaller input may cost.
    assert bounds(Price(2.0, 8.0, tiers=(PriceTier(100, 1.0, 1.0),)), 1000) == (1000 * 2000, 8000)


def test_bounds_by_tier_of_service() -> None:
    """Only the tiers that a call can be served at count; what is cheaper than the ordinary one lowers nothing."""
    price = Price(2.0, 8.0, service_tiers={"flex": Price(1.0, 4.0), "priority": Price(3.5, 7.0)})
    assert bounds(price, 1000) == bounds(price, 1000, tiers=("flex", "unknown")) == (1000 * 2000, 8000)
    assert bounds(price, 1000, tiers=("flex", "priority")) == (1000 * 3500, 8000)


WILD = st.one_of(st.integers(-(2**70), 2**70), st.integers(-5, 5))


@given(st.builds(Usage, WILD, WILD, WILD, WILD, WILD, WILD, WILD, st.floats(), WILD, WILD, SERVED, WILD), PRICES)
def test_nonsense_counts_stay_in_range(usage: Usage, price: Price) -> None:
    """Negative, huge, infinite or undefined counts cost at least nothing and at most what stores can hold."""
    assert 0 <= nano_usd(usage, price) <= MOST < 2**62
    fixed, per_output = bounds(price, usage.input_tokens, usage.units)
    assert 0 <= fixed <= MOST
    assert 0 <= per_output <= MOST
    msgspec.msgpack.encode([nano_usd(usage, price), fixed, per_output])


@pytest.mark.parametrize("amount", [-1.0, float("nan"), float("inf")])
def test_a_price_that_is_no_amount_counts_as_nothing(amount: float) -> None:
    """Configuration and catalogue refuse such prices; whoever makes one all the same gets no error and no credit."""
    assert nano_usd(Usage(10, 10, 5), Price(amount, 1.0, cached_input=amount, per_request=amount)) == 10_000


def test_many_prices() -> None:
    """Prices are kept by identity: of thousands that come and go, each keeps its own rates."""
    for number in range(10_000):
        assert nano_usd(Usage(1_000_000), Price(float(number), 0.0)) == number * 10**9
