"""What tokens cost, in integers: nano-dollars, from prices that are in dollars per million tokens."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from gateway.types import Price, Usage

PICO_PER_TOKEN = 1_000_000
"""Pico-dollars per token in one dollar per million tokens."""


class _Rates(NamedTuple):
    """A price in pico-dollars per token. Kinds without a price of their own cost what their side does."""

    input: int
    output: int
    cached_input: int
    cache_write: int
    reasoning: int
    per_request: int
    """Nano-dollars."""


@lru_cache(maxsize=4096)
def _rates(price: Price) -> _Rates:
    return _Rates(
        _pico(price.input),
        _pico(price.output),
        _pico(price.input if price.cached_input is None else price.cached_input),
        _pico(price.input if price.cache_write is None else price.cache_write),
        _pico(price.output if price.reasoning is None else price.reasoning),
        round(price.per_request * 1_000_000_000),
    )


def _pico(usd_per_million: float) -> int:
    return round(usd_per_million * PICO_PER_TOKEN)


def nano_usd(usage: Usage, price: Price) -> int:
    """The cost of one attempt, rounded up to a whole nano-dollar."""
    rates = _rates(price)
    pico = usage.input_tokens * rates.input + usage.output_tokens * rates.output
    # The parts of a side that have another price: by the difference, and never more of them than there is of the side.
    if usage.cached_input_tokens or usage.cache_write_tokens:
        cached = min(usage.cached_input_tokens, usage.input_tokens)
        written = min(usage.cache_write_tokens, usage.input_tokens - cached)
        pico += cached * (rates.cached_input - rates.input) + written * (rates.cache_write - rates.input)
    if usage.reasoning_tokens:
        pico += min(usage.reasoning_tokens, usage.output_tokens) * (rates.reasoning - rates.output)
    return -(-pico // 1000) + rates.per_request
