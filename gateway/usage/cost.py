"""What tokens cost, in integers: nano-dollars, from prices that are in dollars per million tokens."""

from __future__ import annotations

from gateway.types import Price, Usage

PICO_PER_TOKEN = 1_000_000
"""Pico-dollars per token in one dollar per million tokens."""


def nano_usd(usage: Usage, price: Price) -> int:
    """The cost of one attempt, rounded up to a whole nano-dollar. Kinds without a price of their own cost what their
    side does."""
    plain_input = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
    plain_output = usage.output_tokens - usage.reasoning_tokens
    pico = (
        max(0, plain_input) * _pico(price.input)
        + usage.cached_input_tokens * _pico(price.input if price.cached_input is None else price.cached_input)
        + usage.cache_write_tokens * _pico(price.input if price.cache_write is None else price.cache_write)
        + max(0, plain_output) * _pico(price.output)
        + usage.reasoning_tokens * _pico(price.output if price.reasoning is None else price.reasoning)
    )
    return -(-pico // 1000) + round(price.per_request * 1_000_000_000)


def _pico(usd_per_million: float) -> int:
    return round(usd_per_million * PICO_PER_TOKEN)
