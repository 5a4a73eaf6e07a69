"""The price catalogue: our prices of its models cost what its own calculation says, to the nano-dollar."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING

import genai_prices
import pytest
from genai_prices import types as data
from genai_prices.data_snapshot import get_snapshot

from gateway.registry import load
from gateway.types import Price, PriceTier, Usage
from gateway.usage import catalogue
from gateway.usage.catalogue import PROVIDERS, ConfiguredPrices, PriceBook
from gateway.usage.cost import nano_usd
from tests.registry.support import load_text

if TYPE_CHECKING:
    from pathlib import Path

BOOK = PriceBook()
DAY = date(2026, 7, 1)
NIGHT = datetime.combine(DAY, time(20), UTC)

MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o-2024-08-06"),
    ("openai", "gpt-4.1-mini"),
    ("openai", "gpt-5"),
    ("openai", "gpt-5-mini"),
    ("openai", "o3"),
    ("openai", "o4-mini"),
    ("openai", "text-embedding-3-small"),
    ("openai", "gpt-audio"),
    ("openai", "tts-1"),
    ("openai", "whisper-1"),
    ("azure", "gpt-4o"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-opus-4-1"),
    ("anthropic", "claude-3-5-haiku-latest"),
    ("gemini", "gemini-2.5-pro"),
    ("gemini", "gemini-2.5-flash"),
    ("vertex", "gemini-2.5-flash-lite"),
    ("vertex", "claude-sonnet-4-5"),
    ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
    ("bedrock", "amazon.nova-pro-v1:0"),
    ("mistral", "mistral-large-latest"),
    ("mistral", "codestral-latest"),
    ("groq", "llama-3.3-70b-versatile"),
    ("groq", "openai/gpt-oss-120b"),
    ("deepseek", "deepseek-v3.2"),
    ("xai", "grok-4"),
    ("xai", "grok-3-mini"),
    ("cohere", "command-a-03-2025"),
    ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"),
    ("openrouter", "anthropic/claude-sonnet-4.5"),
    ("openrouter", "openai/gpt-4o"),
    ("openrouter", "perplexity/sonar-deep-research"),
]


def theirs(provider_type: str, model: str, usage: data.Usage, at: datetime = NIGHT) -> int:
    """The catalogue's own result in nano-dollars, rounded up."""
    paid = genai_prices.calc_price(
        usage, model, provider_id=PROVIDERS[provider_type], genai_request_timestamp=at
    ).total_price
    return nano(paid)


def nano(paid: Decimal) -> int:
    return int((paid * 10**9).to_integral_value(ROUND_CEILING))


def a_usage(chance: random.Random, price: Price) -> tuple[Usage, data.Usage]:
    """The same usage in our words and in theirs, small or large enough for every tier."""
    given, made = chance.randrange(chance.choice([10, 5000, 900_000])), chance.randrange(100_000)
    cached = chance.choice([0, given // 3])
    written = chance.choice([0, (given - cached) // 5])
    # Theirs has no price for audio from a cache where ours has one word for it: never both at once.
    heard = 0 if cached or written else chance.choice([0, given // 2])
    thought = chance.choice([0, made // 2])
    spoken = 0 if thought else chance.choice([0, made // 2])
    units = float(chance.randrange(10_000)) if price.per_unit else 0.0
    ours = Usage(given, made, cached, written, thought, heard, spoken, units)
    counts = {
        "input_tokens": given,
        "output_tokens": made,
        "cache_read_tokens": cached,
        "cache_write_tokens": written,
        "output_reasoning_tokens": thought,
        "input_audio_tokens": heard,
        "output_audio_tokens": spoken,
        "input_characters": int(units),
        "audio_seconds": int(units),
        "input_audio_seconds": int(units),
    }
    return ours, data.Usage(**counts)


@pytest.mark.parametrize(("provider_type", "model"), MODELS)
def test_costs_are_the_catalogues(provider_type: str, model: str) -> None:
    """For any usage within what we count, our cost is theirs, rounded up to a nano-dollar."""
    price = BOOK.price_of(provider_type, "p", model, on=DAY)
    assert price is not None
    assert price.version == f"genai-prices:{genai_prices.__version__}"
    chance = random.Random(model)
    for _ in range(60):
        ours, usage = a_usage(chance, price)
        assert nano_usd(ours, price) == theirs(provider_type, model, usage), ours


def test_no_price_is_below_the_catalogues() -> None:
    """Of every model in it: what has an amount that we read is priced, and never below what the catalogue says."""
    seen = 0
    for house in get_snapshot().providers:
        for info in house.models:
            price = BOOK._dearest(list(catalogue._possible(info, DAY)))
            standard = info.get_prices(NIGHT)
            amounts = {key for key, value in standard.__dict__.items() if value is not None}
            assert (price is not None) == bool(amounts & set(catalogue._READ)), info.id
            for size in (1000, 300_000) if price is not None else ():
                paid = standard.calc_price(data.Usage(input_tokens=size, output_tokens=1000))["total_price"]
                assert nano_usd(Usage(size, 1000), price or Price(0.0, 0.0)) >= nano(paid), info.id
                seen += 1
    assert seen > 3000


def test_free_models_are_free_and_empty_entries_are_not() -> None:
    """A model that the catalogue calls free costs nothing; one that it has no amounts for has no price."""
    free = BOOK.price_of("openrouter", "p", "deepseek/deepseek-r1:free")
    assert free is not None
    assert (free.input, free.output, free.per_request, free.tiers) == (0.0, 0.0, 0.0, ())
    nothing = data.ModelInfo("m", data.ClauseEquals("m"), prices=data.ModelPrice())
    assert BOOK._dearest(list(catalogue._possible(nothing, DAY))) is None
    for info in next(house for house in get_snapshot().providers if house.id == "openai").models:
        if info.id != catalogue.MODERATION and not any(
            value is not None for value in info.get_prices(NIGHT).__dict__.values()
        ):
            assert BOOK.price_of("openai", "p", info.id) is None


def test_moderations_of_openai_are_free() -> None:
    """OpenAI takes nothing for them: a caller with a budget may ask for them. Elsewhere their price is not known."""
    for model in ("omni-moderation-latest", "omni-moderation-2024-09-26", "text-moderation-latest"):
        free = BOOK.price_of("openai", "p", model)
        assert free is not None
        assert (free.input, free.output, free.per_request, free.per_unit) == (0.0, 0.0, 0.0, 0.0)
    assert BOOK.price_of("custom", "p", "omni-moderation-latest", "https://api.openai.com/v1") == free
    assert BOOK.price_of("mistral", "p", "mistral-moderation-latest") is None
    assert BOOK.price_of("custom", "p", "omni-moderation-latest") is None


def test_every_kind_is_read_or_left_out_on_purpose() -> None:
    """A kind of price that a new catalogue brings is noticed here."""
    left_out = {
        "cache_audio_read_mtok",
        "input_document_kpages",
        "input_annotated_document_kpages",
        "input_text_messages_kcount",
        "output_citation_mtok",
        "storage_searches_kcount",
    }
    found: set[str] = set()
    for house in get_snapshot().providers:
        for info in house.models:
            for price in [info.prices] if isinstance(info.prices, data.ModelPrice) else [e.prices for e in info.prices]:
                found |= {key for key, value in price.__dict__.items() if value is not None}
    assert found - set(catalogue._READ) <= left_out


def test_tiers() -> None:
    """A price that depends on the input's size has the tiers of the catalogue, cache prices included."""
    price = BOOK.price_of("anthropic", "p", "claude-sonnet-4-5", on=DAY)
    assert price is not None
    assert replace(price, version="") == Price(
        3.0,
        15.0,
        0.3,
        3.75,
        tiers=(PriceTier(200_000, 6.0, 22.5, 0.6, 7.5, 12.0),),
        version="",
        cache_write_1h=6.0,
        per_search=0.01,
    )


def entry(
    constraint: data.StartDateConstraint | data.TimeOfDateConstraint | None, **prices: str
) -> data.ConditionalPrice:
    amounts = {key: Decimal(value) for key, value in prices.items()}
    return data.ConditionalPrice(constraint, prices=data.ModelPrice(**amounts))


def info_of(*entries: data.ConditionalPrice) -> data.ModelInfo:
    return data.ModelInfo("m", data.ClauseEquals("m"), prices=list(entries))


def test_the_dearest_hour_counts() -> None:
    """A price that depends on the time of day is the dearest of the day, kind by kind."""
    info = info_of(
        entry(None, input_mtok="1", cache_read_mtok="0.5", output_mtok="9"),
        entry(data.TimeOfDateConstraint(time(1), time(4)), input_mtok="2", output_mtok="3"),
    )
    price = BOOK._dearest(list(catalogue._possible(info, DAY)))
    assert price is not None
    # In the hours without a price for cached input it costs what input does.
    assert (price.input, price.output, price.cached_input) == (2.0, 9.0, 2.0)


def test_a_price_begins_on_its_day() -> None:
    """The price of a day is the one in force then, and the book says when that changes."""
    info = info_of(
        entry(None, input_mtok="3"),
        entry(data.StartDateConstraint(date(2026, 6, 1)), input_mtok="2"),
        entry(data.StartDateConstraint(date(2026, 9, 1)), input_mtok="1"),
    )
    for day, amount in [(date(2026, 5, 31), 3.0), (date(2026, 6, 1), 2.0), (DAY, 2.0), (date(2026, 9, 1), 1.0)]:
        price = BOOK._dearest(list(catalogue._possible(info, day)))
        assert price is not None
        assert price.input == amount
    assert sorted(catalogue._starts(info, DAY)) == [date(2026, 9, 1)]
    late = BOOK.find("deepseek", "p", "deepseek-v4-flash", on=date(2026, 8, 1))
    assert late.until == date(2026, 8, 17)


@pytest.mark.parametrize(
    ("provider_type", "name", "model", "address", "known"),
    [
        ("openai", "p", "gpt-4o", "https://api.openai.com/v1", True),
        ("openai", "p", "gpt-4o", "https://proxy.internal/v1", True),
        ("openai", "p", "no-such-model-at-all", "https://api.openai.com/v1", False),
        ("openai_compatible", "x", "llama3.1-8b", "https://api.cerebras.ai/v1", True),
        ("openai_compatible", "cerebras", "llama3.1-8b", "https://proxy.internal/v1", True),
        ("openai_compatible", "x", "gpt-4o", "http://127.0.0.1:1234/v1", False),
        ("openai_compatible", "x", "gpt-4o", "", False),
        ("ollama", "openai", "gpt-4o", "", False),
        ("vllm", "openai", "gpt-4o", "https://api.openai.com/v1", False),
        ("mock", "p", "mock-small", "", False),
        ("azure", "p", "gpt-4o", "https://r.openai.azure.com/openai/v1", True),
        ("huggingface", "p", "meta-llama/Llama-3.1-8B-Instruct:novita", "", True),
        ("huggingface", "p", "nobody/nothing", "", False),
        ("", "", "", "", False),
    ],
)
def test_who_is_asked(provider_type: str, name: str, model: str, address: str, known: bool) -> None:
    """The address tells whose price it is, else the type, else the name; what runs at home has no list price."""
    assert (BOOK.price_of(provider_type, name, model, address) is not None) == known


def test_hugging_face() -> None:
    """Without a provider behind the router the dearest of them counts; a named one has its own price."""
    model = "meta-llama/Llama-3.1-8B-Instruct"
    any_of_them, named = (BOOK.price_of("huggingface", "p", name) for name in (model, f"{model}:novita"))
    assert any_of_them is not None
    assert named is not None
    assert any_of_them.input >= named.input
    assert any_of_them.output >= named.output


def test_answers_are_kept() -> None:
    """The same question has the same price object, and a miss is not searched again."""
    assert BOOK.price_of("openai", "p", "gpt-4o", on=DAY) is BOOK.price_of("openai", "p", "gpt-4o", on=DAY)
    before = BOOK._find.cache_info().misses
    for _ in range(3):
        assert BOOK.price_of("openai", "p", "never-heard-of-it", on=DAY) is None
    assert BOOK._find.cache_info().misses == before + 1


def test_amounts_that_cannot_be_stored_round_down() -> None:
    """A third of a cent is stored just below: the cost of three of them is one cent, not one cent and a bit."""
    for seconds in (1, 3, 60, 3600, 7200, 36_000):
        price = Price(0.0, 0.0, per_unit=catalogue._usd(Decimal("0.111") / 3600))
        exact = (Decimal("0.111") * seconds / 3600 * 10**9).to_integral_value(ROUND_CEILING)
        assert nano_usd(Usage(units=float(seconds)), price) == int(exact)


def test_configured_prices_go_first(tmp_path: Path) -> None:
    """History is restated with the configuration's price, else with the catalogue's at the provider's address."""
    text = (
        "providers:\n"
        "  house: {type: openai, api_key: k, models: {gpt-4o: {price: {input: 1}}, gpt-4o-mini: {}}}\n"
        "  fast: {type: openai_compatible, base_url: 'https://api.cerebras.ai/v1', models: [llama3.1-8b]}\n"
    )
    prices = ConfiguredPrices(load_text(tmp_path, text).snapshot, BOOK)
    own = prices.price_of("openai", "house", "gpt-4o")
    assert own is not None
    assert own.version.startswith("config:")
    assert prices.price_of("openai", "house", "gpt-4o-mini") is BOOK.price_of(
        "openai", "house", "gpt-4o-mini", "https://api.openai.com/v1"
    )
    assert prices.price_of("openai_compatible", "fast", "llama3.1-8b") is not None
    assert prices.price_of("openai_compatible", "gone", "llama3.1-8b") is None
    gone = ConfiguredPrices(load(None, {}).snapshot, BOOK)
    assert gone.price_of("openai", "house", "gpt-4o") == BOOK.price_of("openai", "house", "gpt-4o")
