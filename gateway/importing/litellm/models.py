"""One deployment's own settings: limits, prices, defaults of requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.importing.credentials import plain, reference
from gateway.importing.draft import Noted
from gateway.importing.litellm import accounts, prices
from gateway.importing.litellm.info import tell_info
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
_SIZES = {"max_input_tokens": "context_window", "max_output_tokens": "max_output_tokens"}
_READ = (
    accounts.READ
    | _PARAMETERS
    | {own for kind in KINDS.values() for own in kind.own or ()}
    | {
        "model", "custom_llm_provider", "litellm_credential_name", "rpm", "tpm", "max_parallel_requests", "weight",
        "order", "max_budget", "budget_duration",
    }
)  # fmt: skip
_OF_DEPLOYMENTS = _PARAMETERS | {"rpm", "tpm", "max_parallel_requests", "weight", "order"}
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
    price = prices.price_of(params, info, kind, model, found.note)
    if price:
        found["price"] = price
    parameters = {name: plain(params[name]) for name in sorted(_PARAMETERS & params.keys())}
    if parameters:
        found["parameters"] = parameters
    return found


def tell_of_wildcard(params: Mapping[str, Any], info: Mapping[str, Any], tell: Tell, place: str) -> None:
    """Comments for what was set for every model of a wildcard."""
    theirs = _OF_DEPLOYMENTS & params.keys() | prices.named(params.keys() - {"base_model"})
    for name in sorted(theirs):
        tell(f"{shown(name)} was not carried over: only models that are listed can have it ({place})")
    tell_unknown({name: value for name, value in params.items() if name not in theirs}, info, tell, place)


def tell_unknown(params: Mapping[str, Any], info: Mapping[str, Any], tell: Tell, place: str) -> None:
    """Comments for what nothing here corresponds to, and for numbers that only the environment knows."""
    tell_info(info, {*_SIZES, *prices.named(info.keys())}, tell, place)
    for name in sorted(params.keys() - _READ - prices.named(params.keys())):
        tell(f"{shown(str(name))} was not carried over: nothing here corresponds to it ({place})")
    for name in ("rpm", "tpm", "max_parallel_requests", "weight", "order", "timeout", "stream_timeout", "max_retries"):
        if name in params and params[name] is not None and (reference(params[name]) or number(params[name]) is None):
            tell(f"{shown(name)} was not carried over: it is no number ({place})")
