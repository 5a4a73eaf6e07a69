"""What a deployment costs, by LiteLLM's names: USD per token there, per million tokens here."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from gateway.importing.litellm.info import list_price
from gateway.importing.litellm.reading import number
from gateway.registry.problems import shown

Tell = Callable[[str], None]
_OF_TIERS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
}
_OF_TOKENS = {
    **_OF_TIERS,
    "output_cost_per_reasoning_token": "reasoning",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
}
_OF_UNITS = (
    "output_cost_per_image",
    "input_cost_per_second",
    "output_cost_per_second",
    "input_cost_per_character",
    "input_cost_per_query",
)
_EACH = "input_cost_per_request"
_TIER = re.compile(rf"({'|'.join(_OF_TIERS)})_above_(\d{{1,6}})k_tokens")
_SERVED = re.compile(rf"(?P<rate>{'|'.join(_OF_TOKENS)}|{_TIER.pattern})_(?P<service>flex|priority)")
_KEPT = ("cached_input", "cache_write", "cache_write_1h")
"""What there costs the same in every tier that says nothing else, and here as much as the tier's input."""


def named(names: Collection[str]) -> set[str]:
    """Those of these settings that are prices."""
    known = (*_OF_TOKENS, *_OF_UNITS, _EACH, "base_model")
    return {name for name in names if name in known or _TIER.fullmatch(str(name)) or _SERVED.fullmatch(str(name))}


def price_of(params: Mapping[str, Any], info: Mapping[str, Any], kind: str, model: str, tell: Tell) -> dict[str, Any]:
    """The `price` of a model of a provider of this type; empty where the catalogue's is as good."""
    found = _stated({**info, **params}, tell)
    base = info.get("base_model") or params.get("base_model")
    if base and not found:
        return _of_base(list_price(str(base), kind, model), shown(str(base)), tell)
    missing = [name for name in ("input", "output") if name not in found]
    if found and missing and not found.keys() & {"per_unit", "per_request"} and info.get("mode") != "embedding":
        tell(f"`price` says nothing of {' and '.join(missing)}: that costs nothing, until you add it")
    return found


def _stated(given: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    found = _of_tokens(given)
    each = number(given.get(_EACH))
    if each is not None:
        found["per_request"] = each
    units = {amount for name in _OF_UNITS if (amount := number(given.get(name)))}
    if len(units) == 1:
        found["per_unit"] = units.pop()
    elif units:
        tell("several prices of units were not carried over: there is one `per_unit` (of an image, second, …)")
    tiers, services = _tiers(given, found), _services(given, found)
    if (tiers or services) and not found:
        tell("prices of large inputs and of tiers of service were not carried over: say what other calls cost, too")
        return {}
    return {**found, **({"tiers": tiers} if tiers else {}), **({"service_tiers": services} if services else {})}


def _of_tokens(given: Mapping[str, Any]) -> dict[str, Any]:
    amounts = {ours: number(given.get(theirs)) for theirs, ours in _OF_TOKENS.items()}
    return {ours: _per_million(amount) for ours, amount in amounts.items() if amount is not None}


def _services(given: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the words say that end in the name of a tier of service."""
    told: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        match = _SERVED.fullmatch(str(name))
        if match is not None and number(value) is not None:
            told.setdefault(match["service"], {})[match["rate"]] = value
    found = {}
    for service in sorted(told):
        own = _of_tokens(told[service])
        tiers = _tiers(told[service], {**base, **own})
        found[service] = {**own, "tiers": tiers} if tiers else own
    return found


def _tiers(given: Mapping[str, Any], base: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for name, value in given.items():
        match = _TIER.fullmatch(str(name))
        amount = number(value)
        if match is not None and amount is not None and int(match[2]):
            tier = found.setdefault(int(match[2]) * 1000, {name: base[name] for name in _KEPT if name in base})
            tier[_OF_TIERS[match[1]]] = _per_million(amount)
    return [{"above": size, **found[size]} for size in sorted(found)]


def _per_million(amount: float) -> float:
    return float(f"{amount * 1e6:.10g}")


def _of_base(price: dict[str, Any] | None, base: str, tell: Tell) -> dict[str, Any]:
    """By the name of the model that it is, where the file says no price."""
    if price is None:
        tell(f"no price is known of its base_model, {base}: write what it costs as `price`")
    elif price:
        tell(f"`price` is today's list price of its base_model, {base}: keep it up to date")
    return price or {}
