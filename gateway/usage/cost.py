"""What a call costs, in integers: nano-dollars, exact, from prices that are in dollars per million tokens.

A price is turned into whole numbers once: all its rates times one power of ten that makes every one of them whole. So a
cost is one sum of products, and is rounded once, up to a whole nano-dollar.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from math import isfinite
from typing import NamedTuple

from gateway.types import Price, PriceTier, Usage

MOST = 2**62 - 1
"""No cost is larger: what Redis, SQL and sums of a few such numbers can hold."""
NANO = 1_000_000_000
_PER_TOKEN = 1000
"""Nano-dollars per token in one dollar per million tokens."""
_FINEST = 30
"""Digits after the point of a nano-dollar that a rate keeps; what is finer is rounded up."""
_KNOWN = 4096


class _Rates(NamedTuple):
    """One tier, in scaled nano-dollars per token; what is priced apart as the difference to its side."""

    input: int
    output: int
    cached: int
    written: int
    reasoning: int
    audio_in: int
    audio_out: int
    hour: int
    """Of what is written to a cache for an hour, as the difference to `written`."""


class _Compiled(NamedTuple):
    price: Price
    """Kept, so that its id stays its own."""
    scale: int
    base: _Rates
    tiers: tuple[tuple[int, _Rates], ...]
    """From the largest input down."""
    fixed: int
    unit: int
    search: int
    services: dict[str, _Compiled]
    """By tier of service."""


_compiled: dict[int, _Compiled] = {}
# By identity: hashing a price's many fields would cost more than the sum.


def nano_usd(usage: Usage, price: Price) -> int:
    """The cost of one attempt, rounded up to a whole nano-dollar; from 0 to `MOST`, whatever the counts say.

    A kind's tokens are part of their side: never more of them are priced apart than the side has, cached input first.
    """
    known = _compiled.get(id(price))
    if known is None or known.price is not price:
        known = _remember(price)
    if known.services:
        known = known.services.get(usage.service_tier, known)
    given, made = usage.input_tokens, usage.output_tokens
    rates = known.base
    for above, tier in known.tiers:
        if given > above:
            rates = tier
            break
    given = max(given, 0)
    made = max(made, 0)
    total = given * rates.input + made * rates.output
    if known.fixed:
        total += max(usage.requests, 0) * known.fixed
    if known.search:
        total += max(usage.searches, 0) * known.search
    if usage.cached_input_tokens or usage.cache_write_tokens or usage.audio_input_tokens:
        total += _input_apart(usage, given, rates)
    if usage.reasoning_tokens or usage.audio_output_tokens:
        total += _output_apart(usage, made, rates)
    if usage.units and known.unit:
        return _with_units(total, usage.units, known)
    return _whole(total, known.scale)


def bounds(
    price: Price, input_tokens: int, units: float = 0.0, requests: int = 1, tiers: Collection[str] = ()
) -> tuple[int, int]:
    """What a call with at most so much input, in so many requests, can cost at the ordinary tier of service or one of
    these: nano-dollars for all but its output, and for each output token.

    For every usage within these bounds, `nano_usd` is at most the first plus the output tokens times the second.
    Searches come on top: nobody knows beforehand how many a model will ask for.
    """
    known = _compiled.get(id(price))
    if known is None or known.price is not price:
        known = _remember(price)
    fixed, per_output = _bounds(known, input_tokens, units, requests)
    for tier in tiers:
        if tier in known.services:
            dearer = _bounds(known.services[tier], input_tokens, units, requests)
            fixed, per_output = max(fixed, dearer[0]), max(per_output, dearer[1])
    return fixed, per_output


def _bounds(known: _Compiled, input_tokens: int, units: float, requests: int) -> tuple[int, int]:
    given = max(0, input_tokens)
    # A smaller input may fall into another tier, and that may be the dearer one.
    reachable = [known.base, *(tier for above, tier in known.tiers if given > above)]
    per_input = max(
        tier.input + max(0, tier.cached, tier.written + max(0, tier.hour), tier.audio_in) for tier in reachable
    )
    per_output = max(tier.output + max(0, tier.reasoning, tier.audio_out) for tier in reachable)
    return _with_units(given * per_input + requests * known.fixed, units, known), _whole(per_output, known.scale)


def _input_apart(usage: Usage, given: int, rates: _Rates) -> int:
    cached = min(max(0, usage.cached_input_tokens), given)
    written = min(max(0, usage.cache_write_tokens), given - cached)
    audio = min(max(0, usage.audio_input_tokens), given - cached - written)
    hour = min(max(0, usage.cache_write_1h_tokens), written)
    return cached * rates.cached + written * rates.written + hour * rates.hour + audio * rates.audio_in


def _output_apart(usage: Usage, made: int, rates: _Rates) -> int:
    reasoning = min(max(0, usage.reasoning_tokens), made)
    audio = min(max(0, usage.audio_output_tokens), made - reasoning)
    return reasoning * rates.reasoning + audio * rates.audio_out


def _with_units(total: int, units: float, known: _Compiled) -> int:
    if not units > 0 or not known.unit:
        return _whole(total, known.scale)
    if not isfinite(units):
        return MOST
    # As the number is written, not as it is stored: 0.1 seconds are a tenth.
    count = Fraction(repr(units))
    return _whole(total * count.denominator + known.unit * count.numerator, known.scale * count.denominator)


def _whole(total: int, scale: int) -> int:
    nano = -(-total // scale)
    return nano if 0 <= nano <= MOST else MOST if nano > 0 else 0


def _remember(price: Price) -> _Compiled:
    if len(_compiled) >= _KNOWN:
        _compiled.clear()
    known = _compiled[id(price)] = _compile(price)
    return known


def _compile(price: Price) -> _Compiled:
    tiers = [_tier(price, price), *(_tier(price, tier) for tier in price.tiers)]
    fixed, unit, search = (_nano(each, NANO) for each in (price.per_request, price.per_unit, price.per_search))
    digits = max(_digits(rate) for rate in (fixed, unit, search, *(rate for tier in tiers for rate in tier)))
    scale = 10**digits
    base, *others = (_Rates(*(int(rate * scale) for rate in tier)) for tier in tiers)
    by_size = sorted(zip((tier.above for tier in price.tiers), others, strict=True), key=lambda tier: -tier[0])
    services = {name: _compile(other) for name, other in price.service_tiers.items()}
    fees = int(fixed * scale), int(unit * scale), int(search * scale)
    return _Compiled(price, scale, base, tuple(by_size), *fees, services)


def _tier(price: Price, tier: Price | PriceTier) -> tuple[Fraction, ...]:
    """The rates of one tier in nano-dollars per token, in the order of `_Rates`."""
    given, made = _nano(tier.input, _PER_TOKEN), _nano(tier.output, _PER_TOKEN)

    def apart(own: float | None, side: Fraction) -> Fraction:
        return Fraction() if own is None else _nano(own, _PER_TOKEN) - side

    return (
        given,
        made,
        apart(tier.cached_input, given),
        apart(tier.cache_write, given),
        apart(price.reasoning, made),
        apart(price.audio_input, given),
        apart(price.audio_output, made),
        apart(tier.cache_write_1h, given if tier.cache_write is None else _nano(tier.cache_write, _PER_TOKEN)),
    )


def _nano(usd: float, factor: int) -> Fraction:
    """Exactly what is written, times `factor`. A price that is no amount counts as nothing."""
    if not isfinite(usd) or usd <= 0:
        return Fraction()
    amount = Decimal(repr(usd)) * factor
    if -int(amount.as_tuple().exponent) > _FINEST:
        amount = amount.quantize(Decimal(1).scaleb(-_FINEST), ROUND_CEILING)
    return Fraction(amount)


def _digits(rate: Fraction) -> int:
    """How many decimal digits it has after the point."""
    digits = 0
    while rate.denominator != 1:
        rate *= 10
        digits += 1
    return digits
