"""What must hold for quotas and for the top-level limits beyond their types. Pure; tolerates wrong types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.registry.checks import Document, entries, listed_models, model_names, names_of, providers, resolves
from gateway.registry.problems import Fault, did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.registry.problems import Trail

_OWNERS = ("keys", "teams", "limits")
_WHOLE = ("global", "user")
_SERVED = ("provider", "deployment")
_WILD = frozenset("*?[")


def limit_faults(data: Any) -> list[Fault]:
    """Every quota and limit of an interpolated document that says something that cannot be."""
    if not isinstance(data, dict):
        return []
    found = [fault for trail, scope, quota in _quotas(data) for fault in _quota_faults(data, trail, scope, quota)]
    for index, rule in entries(data, "limits"):
        found += _member_faults(data, ("limits", index, "only"), rule)
    return found


def _quotas(data: Document) -> Iterator[tuple[Trail, Any, dict[str, Any]]]:
    """Every well-formed quota with its place and its scope."""
    for name in _OWNERS:
        for index, owner in entries(data, name):
            quotas = owner.get("quotas")
            scope = owner.get("scope") if name == "limits" else name[:-1]
            for position, quota in enumerate(quotas if isinstance(quotas, list) else ()):
                if isinstance(quota, dict):
                    yield (name, index, "quotas", position), scope, quota


def _quota_faults(data: Document, trail: Trail, scope: Any, quota: dict[str, Any]) -> Iterator[Fault]:
    action = quota.get("action_on_exceed")
    if "throttle_to" in quota and action != "throttle":
        message = "only `action_on_exceed: throttle` has a rate to throttle to (set it, or remove `throttle_to`)"
        yield Fault((*trail, "throttle_to"), message, at_key=True)
    if "unpriced" in quota and "cost" not in quota:
        message = "only a quota of `cost` asks for prices (remove `unpriced`, or set `cost`)"
        yield Fault((*trail, "unpriced"), message, at_key=True)
    model = action.get("downgrade") if isinstance(action, dict) else None
    if not isinstance(model, str):
        return
    if scope in _SERVED:
        message = f"the model is settled before a {scope} is chosen (use reject: a route goes on to its next target)"
        yield Fault((*trail, "action_on_exceed"), message)
    elif not resolves(data, model):
        yield _no_model(data, model, (*trail, "action_on_exceed", "downgrade"))


def _no_model(data: Document, model: str, trail: Trail) -> Fault:
    hint = did_you_mean(model, model_names(data))
    return Fault(trail, f"no route and no provider has a model {shown(model)}{hint} (name one that is configured)")


def _member_faults(data: Document, trail: Trail, rule: dict[str, Any]) -> Iterator[Fault]:
    scope, only = rule.get("scope"), rule.get("only")
    if only is None:
        return
    if scope in _WHOLE:
        reason = "is for all requests together" if scope == "global" else "is for every user"
        yield Fault(trail, f"a limit of scope {scope} {reason} (remove `only`, or choose another scope)", at_key=True)
        return
    for index, member in enumerate(only if isinstance(only, list) else [only]):
        if isinstance(member, str) and member and not _WILD.intersection(member):
            place = (*trail, index) if isinstance(only, list) else trail
            yield from _unknown_member(data, place, scope, member)


def _unknown_member(data: Document, trail: Trail, scope: Any, member: str) -> Iterator[Fault]:
    """A name without wildcards must be somebody's; a glob may be for members to come."""
    if scope == "model":
        if not resolves(data, member):
            yield _no_model(data, member, trail)
    elif scope in ("provider", "key", "team"):
        known = list(providers(data)) if scope == "provider" else names_of(data, f"{scope}s")
        if member not in known:
            hint = did_you_mean(member, known)
            message = f"there is no {scope} {shown(member)}{hint} (declare it under `{scope}s`, or correct it)"
            yield Fault(trail, message)
    elif scope == "deployment" and not _is_deployment(data, member):
        known = [f"{provider}/{model}" for provider, model in _deployments(data)]
        hint = did_you_mean(member, known)
        yield Fault(trail, f"there is no deployment {shown(member)}{hint} (write provider/model as configured)")


def _is_deployment(data: Document, member: str) -> bool:
    provider, _, model = member.partition("/")
    known = providers(data)
    if provider not in known or not model:
        return False
    models = listed_models(known[provider])
    return models is None or model in models


def _deployments(data: Document) -> Iterator[tuple[str, str]]:
    for provider, settings in providers(data).items():
        for model in sorted(listed_models(settings) or ()):
            yield provider, model
