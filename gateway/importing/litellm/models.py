"""One deployment's own settings: limits, prices, defaults of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.importing.credentials import plain, reference
from gateway.importing.draft import Noted
from gateway.importing.litellm import accounts
from gateway.importing.litellm.info import list_price, tell_info
from gateway.importing.litellm.kinds import KINDS
from gateway.importing.litellm.reading import count, number
from gateway.registry.problems import shown

Tell = Callable[[str], None]
_PARAMETERS = frozenset(
    {
        "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "presence_penalty", "frequency_penalty",
        "seed", "logit_bias", "response_format", "reasoning_effort", "service_tier", "dimensions", "encoding_format",
        "parallel_tool_calls", "verbosity", "top_k", "n",
    }
)  # fmt: skip
_PRICES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "output_cost_per_reasoning_token": "reasoning",
}
"""USD per token there, per million tokens here."""
_SIZES = {"max_input_tokens": "context_window", "max_output_tokens": "max_output_tokens"}
_READ = (
    accounts.READ
    | _PARAMETERS
    | _PRICES.keys()
    | {own for kind in KINDS.values() for own in kind.own or ()}
    | {
        "model", "custom_llm_provider", "litellm_credential_name", "rpm", "tpm", "max_parallel_requests", "weight",
        "order", "max_budget", "budget_duration", "input_cost_per_request", "base_model",
    }
)  # fmt: skip
_OF_INFO = frozenset({*_SIZES, *_PRICES, "input_cost_per_request", "base_model"})
_OF_DEPLOYMENTS = _PARAMETERS | _PRICES.keys() | {"rpm", "tpm", "max_parallel_requests", "weight", "order"}
"""What only models that are listed can have."""


def model_settings(params: Mapping[str, Any], info: Mapping[str, Any], kind: str, model: str) -> Noted:
    """The settings of a model of a provider of this type."""
    found = Noted()
    for theirs, ours in _SIZES.items():
        size = count(info.get(theirs))
        if size is not None:
            found[ours] = size
    rate = {"requests": count(params.get("rpm")), "tokens": count(params.get("tpm"))}
    rates = {name: f"{amount}/min" for name, amount in rate.items() if amount is not None}
    if rates:
        found["rate_limit"] = rates
    at_once = count(params.get("max_parallel_requests"))
    if at_once is not None:
        found["concurrency_limit"] = at_once
    base = info.get("base_model") or params.get("base_model")
    price = _price(params, info)
    if base and not price:
        price = _base_price(list_price(str(base), kind, model), shown(str(base)), found.note)
    if price:
        found["price"] = price
    parameters = {name: plain(params[name]) for name in sorted(_PARAMETERS & params.keys())}
    if parameters:
        found["parameters"] = parameters
    return found


def _price(params: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for theirs, ours in _PRICES.items():
        amount = number(params.get(theirs, info.get(theirs)))
        if amount is not None:
            found[ours] = float(f"{amount * 1e6:.10g}")
    each = number(params.get("input_cost_per_request", info.get("input_cost_per_request")))
    return found if each is None else {**found, "per_request": each}


def _base_price(price: dict[str, Any] | None, base: str, tell: Tell) -> dict[str, Any]:
    """By the name of the model that it is, where the file says no price."""
    if price is None:
        tell(f"no price is known of its base_model, {base}: write what it costs as `price`")
    elif price:
        tell(f"`price` is today's list price of its base_model, {base}: keep it up to date")
    return price or {}


def tell_of_wildcard(params: Mapping[str, Any], info: Mapping[str, Any], tell: Tell, place: str) -> None:
    """Comments for what was set for every model of a wildcard."""
    for name in sorted(_OF_DEPLOYMENTS & params.keys()):
        tell(f"{shown(name)} was not carried over: only models that are listed can have it ({place})")
    tell_unknown({name: value for name, value in params.items() if name not in _OF_DEPLOYMENTS}, info, tell, place)


def tell_unknown(params: Mapping[str, Any], info: Mapping[str, Any], tell: Tell, place: str) -> None:
    """Comments for what nothing here corresponds to, and for numbers that only the environment knows."""
    tell_info(info, _OF_INFO, tell, place)
    for name in sorted(params.keys() - _READ):
        tell(f"{shown(str(name))} was not carried over: nothing here corresponds to it ({place})")
    for name in ("rpm", "tpm", "max_parallel_requests", "weight", "order", "timeout", "stream_timeout", "max_retries"):
        if name in params and params[name] is not None and (reference(params[name]) or number(params[name]) is None):
            tell(f"{shown(name)} was not carried over: it is no number ({place})")
