"""Provider settings to Provider and Deployment values. Reads data that is already checked, or raises ValueError."""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gateway.registry import scalars
from gateway.registry.abilities import joined, traits_of, words_of
from gateway.registry.catalogue import ProviderType, provider_type
from gateway.types import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_QUEUE_TIMEOUT,
    DEFAULT_RETRY_ATTEMPTS,
    DEFAULT_RETRY_DELAY,
    Deployment,
    Drain,
    HealthCheck,
    Price,
    PriceTier,
    Provider,
    RateLimit,
    Surface,
    Timeouts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.registry.catalogue import Known
    from gateway.registry.interpolation import Managed

Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What applies to providers that do not say otherwise; the environment may set these."""

    retry_attempts: int = DEFAULT_RETRY_ATTEMPTS
    first_byte: float = 60.0
    """Seconds."""


def compile_provider(
    name: str, settings: Settings, dialects: Known | None, defaults: Defaults, managed: Managed | None = None
) -> Provider:
    """One provider whose settings are complete. `managed`: it is one of the database."""
    kind = _kind(settings, dialects)
    rates = _rates(settings)
    address = kind.address(settings)
    # An address that is written down as a private one has been allowed in so many words; a name has not. Whoever
    # writes to the database may allow nothing.
    private = settings.get("allow_private_network", kind.private or scalars.names_private(address))
    found = Provider(
        name=name,
        type=kind.name,
        base_url=address,
        api_keys=scalars.credentials(settings["api_key"]) if "api_key" in settings else (),
        options={own.name: own.parse(settings[own.name]) for own in kind.own if own.name in settings},
        headers=tuple((header.lower(), value) for header, value in settings.get("headers", {}).items()),
        timeouts=_timeouts(settings.get("timeout", {}), defaults),
        concurrency_limit=_optional(settings, "concurrency_limit", scalars.whole),
        requests=_rate(rates, "requests"),
        tokens=_rate(rates, "tokens"),
        retry_attempts=scalars.whole(settings.get("retry_attempts", defaults.retry_attempts)),
        retry_delay=scalars.duration(settings.get("retry_delay", DEFAULT_RETRY_DELAY)),
        queue_timeout=scalars.duration(settings.get("queue_timeout", DEFAULT_QUEUE_TIMEOUT)),
        drain=_drain(settings.get("on_disconnect", "cancel")),
        breaker=scalars.flag(settings.get("breaker", True)),
        batch_size=scalars.whole(settings.get("batch_size", DEFAULT_BATCH_SIZE)),
        stream=scalars.flag(settings.get("stream", True)),
        fetch_media=scalars.flag(settings.get("fetch_media", False)),
        fetch_models=scalars.flag(settings.get("fetch_models", False)),
        allow_private_network=scalars.flag(private),
        capabilities=words_of(settings.get("capabilities")),
        traits=traits_of(settings.get("capabilities")),
        health=_health(settings.get("health_check", {}), enabled=kind.probed),
        status=settings.get("status", "active"),
        engine=settings.get("engine", "httptools"),
        ca_file=settings.get("ca_file"),
        unsupported=settings.get("unsupported", "error"),
        api=_api(settings),
    )
    return found if managed is None else _managed(found, managed)


def _managed(provider: Provider, managed: Managed) -> Provider:
    return replace(
        provider,
        allow_private_network=False,
        networks=managed.networks,
        api_keys=() if managed.unusable else provider.api_keys,
        key_names=managed.key_names,
        spare_keys=managed.spare_keys,
        unusable=managed.unusable,
    )


def inactive_provider(name: str, settings: Settings, dialects: Known | None) -> Provider:
    """A stand-in for a provider that cannot be used: its name and type are all that is known for sure."""
    return Provider(name=name, type=_kind(settings, dialects).name, base_url="", status="inactive")


def compile_deployments(provider: Provider, settings: Settings) -> Iterator[Deployment]:
    """The models a provider lists, in file order."""
    kind = provider_type(provider.type)
    listed = settings.get("models") or (kind.models if kind is not None else ())
    models = listed if isinstance(listed, dict) else dict.fromkeys(listed)
    for name, model in models.items():
        if model is None or model.get("status") != "inactive":
            yield _deployment(provider, name, model or {})


def _deployment(provider: Provider, name: str, model: Settings) -> Deployment:
    rates = _rates(model)
    return Deployment(
        id=f"{provider.name}/{name}",
        provider=provider,
        model=name,
        context_window=_optional(model, "context_window", scalars.size),
        price=_price(model["price"]) if "price" in model else None,
        parameters=model.get("parameters", {}),
        capabilities=words_of(model.get("capabilities")) or provider.capabilities,
        traits=joined(provider.traits, traits_of(model.get("capabilities"))),
        requests=_rate(rates, "requests"),
        tokens=_rate(rates, "tokens"),
        concurrency_limit=_optional(model, "concurrency_limit", scalars.whole),
        max_output_tokens=_optional(model, "max_output_tokens", scalars.size),
        api=_api(model),
    )


def _api(settings: Settings) -> frozenset[Surface]:
    return frozenset(map(Surface, scalars.words(settings["api"]))) if settings.get("api") else frozenset()


def switched_off(settings: Settings) -> frozenset[str]:
    """The models that a provider lists and does not serve."""
    models = settings.get("models")
    listed = models.items() if isinstance(models, dict) else ()
    return frozenset(name for name, model in listed if model and model.get("status") == "inactive")


def _health(value: Any, *, enabled: bool) -> HealthCheck:
    """A plain true or false says whether, a mapping says how."""
    given = value if isinstance(value, dict) else {"enabled": value}
    return HealthCheck(
        enabled=scalars.flag(given.get("enabled", enabled)),
        call=scalars.flag(given.get("call", False)),
        model=given.get("model"),
        interval=scalars.duration(given["interval"]) if "interval" in given else None,
    )


def _kind(settings: Settings, dialects: Known | None) -> ProviderType:
    kind = provider_type(settings["type"], dialects)
    if kind is None:
        raise ValueError("this provider type is not known")
    return kind


def _optional(settings: Settings, name: str, parse: Callable[[Any], int]) -> int | None:
    return parse(settings[name]) if name in settings else None


def _rates(settings: Settings) -> Mapping[str, Any]:
    """The mapping that a plain `rate_limit` stands for."""
    rates = settings.get("rate_limit", {})
    return rates if isinstance(rates, dict) else {"requests": rates}


def _rate(rates: Mapping[str, Any], name: str) -> RateLimit | None:
    return scalars.provider_rate(rates[name]) if name in rates else None


def _timeouts(value: Any, defaults: Defaults) -> Timeouts:
    given = value if isinstance(value, dict) else {"first_byte": value}
    seconds = {"first_byte": defaults.first_byte} | {name: scalars.duration(item) for name, item in given.items()}
    return Timeouts(**seconds)


def _drain(value: Any) -> Drain | None:
    if value == "cancel":
        return None
    given = value if isinstance(value, dict) else {}
    return Drain(scalars.whole(given.get("at_once", 32)), scalars.duration(given.get("seconds", 60.0)))


_NO_AMOUNTS = frozenset({"tiers", "above", "service_tiers"})


def _price(value: Settings) -> Price:
    base: Settings = {"input": 0.0, "output": 0.0} | _amounts(value)
    price = Price(**base, tiers=_tiers(value, base))
    services = {name: _at_tier(price, base, given) for name, given in value.get("service_tiers", {}).items()}
    price = replace(price, service_tiers=services)
    return replace(price, version=f"config:{sha256(repr(price).encode()).hexdigest()[:8]}")


def _at_tier(price: Price, base: Settings, given: Settings) -> Price:
    """What calls cost that are served at this tier of service."""
    own = base | _amounts(given)
    return Price(**own, tiers=_tiers(given, own) if "tiers" in given else price.tiers)


def _tiers(value: Settings, base: Settings) -> tuple[PriceTier, ...]:
    return tuple(sorted((_tier(tier, base) for tier in value.get("tiers", ())), key=lambda tier: tier.above))


def _tier(value: Settings, base: Settings) -> PriceTier:
    sides: Settings = {name: base[name] for name in ("input", "output")}
    return PriceTier(above=scalars.size(value["above"]), **(sides | _amounts(value)))


def _amounts(value: Settings) -> Settings:
    return {name: scalars.real(item) for name, item in value.items() if name not in _NO_AMOUNTS}
