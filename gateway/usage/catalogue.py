"""List prices of models, from the data that the package genai-prices carries; nothing is fetched.

Importing that package costs 20 MB and a tenth of a second: workers never import this module, they ask a short-lived
process for it (`prices.py`, `lookup.py`).

Where the catalogue says more than a call's usage tells, the dearest price counts: at any time of day, of tokens of
images and videos beside those of text. Not told by it and so not counted: surcharges for tools other than searches,
citation tokens, and tiers of service that a request may ask for.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from genai_prices import types as data
from genai_prices.data_snapshot import get_snapshot

from gateway.types import Price, PriceTier

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.registry.snapshot import Snapshot

Amount = Decimal | data.TieredPrices

PROVIDERS = {
    "openai": "openai",
    "azure": "azure",
    "anthropic": "anthropic",
    "gemini": "google",
    "vertex": "google",
    "bedrock": "aws",
    "cohere": "cohere",
    "mistral": "mistral",
    "groq": "groq",
    "deepseek": "deepseek",
    "xai": "x-ai",
    "together": "together",
    "openrouter": "openrouter",
    "meta": "meta",
}
"""Provider types to the catalogue's names."""
LOCAL = frozenset({"ollama", "vllm", "mock"})
"""Types without list prices: what they run on costs, not their tokens."""
HUGGINGFACE = "huggingface_"
"""Prefix of the providers behind Hugging Face's router; `model:provider` names one."""

FREE = ":free"
"""Ending of the models that are given away; the catalogue has no amounts for them, nor for some that are not free."""
MODERATION = "moderation"
"""The catalogue's entry for OpenAI's moderations, without amounts, too: these are free.
https://platform.openai.com/docs/guides/moderation"""
_INPUT = ("input_mtok", "input_text_mtok", "input_image_mtok", "input_video_mtok")
_OUTPUT = ("output_mtok", "output_text_mtok", "output_image_mtok", "output_video_mtok")
_CACHED = ("cache_read_mtok", "cache_text_read_mtok", "cache_image_read_mtok", "cache_video_read_mtok")
_WRITTEN = ("cache_write_mtok", "cache_write_5m_mtok")
_WRITTEN_1H = ("cache_write_1h_mtok",)
_UNITS = {
    "audio_hours": 3600,
    "input_audio_hours": 3600,
    "input_mchars": 1_000_000,
    "rerank_searches_kcount": 1000,
}
"""What is sold by units, and how many units its price is for: seconds, characters, searches."""
_OTHERS = ("input_audio_mtok", "output_audio_mtok", "output_reasoning_mtok", "requests_kcount", "web_searches_kcount")
_READ = (*_INPUT, *_OUTPUT, *_CACHED, *_WRITTEN, *_WRITTEN_1H, *_UNITS, *_OTHERS)


class Found(NamedTuple):
    """What the catalogue says of a model: its price, None if unknown, and the day from which it may say otherwise."""

    price: Price | None
    until: date | None = None


_UNKNOWN = Found(None)


class PriceBook:
    """The catalogue. Looking up is pure and memoised, misses included."""

    def __init__(self) -> None:
        self._snapshot = get_snapshot()
        self.version = f"genai-prices:{version('genai-prices')}"
        self._find = lru_cache(maxsize=16384)(self._look_up)

    def price_of(
        self, provider_type: str, provider: str, model: str, base_url: str = "", on: date | None = None
    ) -> Price | None:
        """The price on a day (UTC; today unless given), or None when the catalogue does not know the model there.

        `provider` is its name in the configuration: it counts where neither type nor address tells who that is.
        """
        return self.find(provider_type, provider, model, base_url, on).price

    def find(self, provider_type: str, provider: str, model: str, base_url: str = "", on: date | None = None) -> Found:
        """As `price_of`, with how long it holds."""
        return self._find(provider_type, provider, model, base_url, on or datetime.now(UTC).date())

    def _look_up(self, provider_type: str, provider: str, model: str, base_url: str, on: date) -> Found:
        infos = list(self._models(provider_type, provider, model, base_url))
        if not infos:
            return _UNKNOWN
        price = self._dearest([price for info in infos for price in _possible(info, on)])
        if price is None and all(info.id == MODERATION or info.id.endswith(FREE) for info in infos):
            price = Price(0.0, 0.0, version=self.version)
        return Found(price, min((day for info in infos for day in _starts(info, on)), default=None))

    def _models(self, provider_type: str, provider: str, model: str, base_url: str) -> Iterator[data.ModelInfo]:
        """The catalogue's entries for it: one, or several when it does not say who of several will serve."""
        everyone = self._snapshot.providers
        if provider_type == "huggingface":
            name, _, behind = model.partition(":")
            houses = [house for house in everyone if house.id.startswith(HUGGINGFACE)]
            named = [house for house in houses if house.id == HUGGINGFACE + behind]
            for house in named or houses:
                behind_it = house.find_model(name)
                if behind_it is not None:
                    yield behind_it
            return
        if provider_type in LOCAL:
            return
        owner = self._house(base_url, PROVIDERS.get(provider_type, provider.lower()))
        found = owner.find_model(model, all_providers=everyone) if owner is not None else None
        if found is not None:
            yield found

    def _house(self, base_url: str, name: str) -> data.Provider | None:
        """Who the address belongs to, else who is called so."""
        everyone = self._snapshot.providers
        at_address = (house for house in everyone if base_url and re.match(house.api_pattern, base_url))
        called_so = (house for house in everyone if house.id == name)
        return next(at_address, None) or next(called_so, None)

    def _dearest(self, prices: list[data.ModelPrice]) -> Price | None:
        """One price that is nowhere below any of them."""
        offers = [offer for offer in map(_Offer, prices) if offer.values]
        if not offers:
            return None
        base = _rates(offers, 0)
        steps = sorted({step for offer in offers for step in offer.steps()})
        return Price(
            input=base.input,
            output=base.output,
            cached_input=base.cached_input,
            cache_write=base.cache_write,
            reasoning=_kind(offers, ("output_reasoning_mtok",), _OUTPUT),
            per_request=_usd(max(offer.top(("requests_kcount",)) for offer in offers) / 1000),
            audio_input=_kind(offers, ("input_audio_mtok",), _INPUT),
            audio_output=_kind(offers, ("output_audio_mtok",), _OUTPUT),
            per_unit=_usd(max(offer.top((key,)) / per for offer in offers for key, per in _UNITS.items())),
            tiers=tuple(_rates(offers, step + 1) for step in steps),
            version=self.version,
            cache_write_1h=base.cache_write_1h,
            per_search=_usd(max(offer.top(("web_searches_kcount",)) for offer in offers) / 1000),
        )


class ConfiguredPrices:
    """Prices as this configuration has them: its own, else the catalogue's. For restating history."""

    def __init__(self, snapshot: Snapshot, book: PriceBook) -> None:
        self._snapshot = snapshot
        self._book = book

    def price_of(self, provider_type: str, provider: str, model: str, on: date | None = None) -> Price | None:
        """The price of a model at a provider, by its name; one that is not configured any more goes by its type."""
        deployment = self._snapshot.deployments.get(f"{provider}/{model}")
        if deployment is not None and deployment.price is not None:
            return deployment.price
        owner = self._snapshot.providers.get(provider)
        address = owner.base_url if owner is not None and owner.type == provider_type else ""
        return self._book.price_of(provider_type, provider, model, address, on)


class _Offer:
    """One entry of the catalogue: the amounts in it that we read."""

    def __init__(self, price: data.ModelPrice) -> None:
        self.values: dict[str, Amount] = {}
        for key in _READ:
            value = getattr(price, key, None)
            if value is not None:
                self.values[key] = value

    def steps(self) -> set[int]:
        """The sizes of input above which another price applies."""
        return {tier.start for value in self.values.values() for tier in _tiers(value)}

    def top(self, keys: Sequence[str], size: int | None = None) -> Decimal:
        """The highest amount under these names for an input of this size, of any size when none is given; else 0."""
        return max((_at(self.values[key], size) for key in keys if key in self.values), default=Decimal())

    def has(self, keys: Sequence[str]) -> bool:
        """Whether anything stands under these names."""
        return any(key in self.values for key in keys)


def _rates(offers: list[_Offer], size: int) -> PriceTier:
    """What tokens cost at most when the input is that large."""
    return PriceTier(
        size - 1,
        _usd(max(offer.top(_INPUT, size) for offer in offers)),
        _usd(max(offer.top(_OUTPUT, size) for offer in offers)),
        _kind(offers, _CACHED, _INPUT, size),
        _kind(offers, _WRITTEN, _INPUT, size),
        _kind(offers, _WRITTEN_1H, (*_WRITTEN, *_INPUT), size),
    )


def _kind(offers: list[_Offer], keys: Sequence[str], side: Sequence[str], size: int | None = None) -> float | None:
    """The highest price of a kind of token, which costs what its side does where it has no price of its own."""
    if not any(offer.has(keys) for offer in offers):
        return None
    return _usd(max(offer.top(keys if offer.has(keys) else side, size) for offer in offers))


def _possible(info: data.ModelInfo, on: date) -> Iterator[data.ModelPrice]:
    """The prices that a call may meet on a day: the one that is in force, and those of some of its hours.

    As in the catalogue: a later entry goes before an earlier one, and the first one applies when no other does.
    """
    if isinstance(info.prices, data.ModelPrice):
        yield info.prices
        return
    noon = datetime.combine(on, time(12), UTC)
    for entry in reversed(info.prices):
        if isinstance(entry.constraint, data.TimeOfDateConstraint):
            yield entry.prices
        elif entry.constraint is None or entry.constraint.active(noon):
            yield entry.prices
            return
    if info.prices:
        yield info.prices[0].prices


def _starts(info: data.ModelInfo, on: date) -> Iterator[date]:
    """The days to come on which the price changes."""
    if not isinstance(info.prices, data.ModelPrice):
        for entry in info.prices:
            if isinstance(entry.constraint, data.StartDateConstraint) and entry.constraint.start_date > on:
                yield entry.constraint.start_date


def _tiers(value: Amount) -> list[data.Tier]:
    return value.tiers if isinstance(value, data.TieredPrices) else []


def _at(value: Amount, size: int | None) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if size is None:
        return max(value.base, *(tier.price for tier in value.tiers))
    return next((tier.price for tier in reversed(value.tiers) if size > tier.start), value.base)


def _usd(amount: Decimal) -> float:
    """The amount, or the next number below that can be stored: costs are rounded up, and that takes the rest in."""
    number = float(amount)
    return number if Decimal(repr(number)) <= amount else math.nextafter(number, 0.0)
