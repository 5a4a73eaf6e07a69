"""Costs in integers: exact, rounded up once, kinds priced apart."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.types import Price, Usage
from gateway.usage.cost import nano_usd


@pytest.mark.parametrize(
    ("usage", "price", "nano"),
    [
        (Usage(1_000_000, 0), Price(2.5, 10.0), 2_500_000_000),
        (Usage(0, 1_000_000), Price(2.5, 10.0), 10_000_000_000),
        (Usage(1, 0), Price(0.001, 0.0), 1),
        (Usage(0, 0), Price(2.5, 10.0), 0),
        (Usage(100, 0, cached_input_tokens=40), Price(2.5, 10.0, cached_input=1.25), 60 * 2500 + 40 * 1250),
        (Usage(100, 0, cached_input_tokens=40), Price(2.5, 10.0), 100 * 2500),
        (Usage(100, 0, cache_write_tokens=10), Price(2.0, 10.0, cache_write=2.5), 90 * 2000 + 10 * 2500),
        (Usage(0, 100, reasoning_tokens=30), Price(1.0, 10.0, reasoning=5.0), 70 * 10_000 + 30 * 5000),
        (Usage(10, 0), Price(0.0, 0.0, per_request=0.01), 10_000_000),
        (Usage(10, 0, cached_input_tokens=99), Price(2.0, 1.0, cached_input=1.0), 10 * 1000),
    ],
)
def test_nano_usd(usage: Usage, price: Price, nano: int) -> None:
    """Every kind at its price; one without a price of its own costs what its side does; a side is never exceeded."""
    assert nano_usd(usage, price) == nano


@given(
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**8).map(lambda micro: micro / 1e6),
    st.integers(0, 10**8).map(lambda micro: micro / 1e6),
)
def test_exact(given_tokens: int, made: int, price_in: float, price_out: float) -> None:
    """With prices of whole millionths the result is the true cost, rounded up to a nano-dollar."""
    true = (
        given_tokens * Fraction(round(price_in * 1e6), 10**6) + made * Fraction(round(price_out * 1e6), 10**6)
    ) * 1000
    assert nano_usd(Usage(given_tokens, made), Price(price_in, price_out)) == ceil(true)
