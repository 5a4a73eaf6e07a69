"""What must hold for quotas and for the top-level limits beyond their types. Pure; tolerates wrong types."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from gateway.registry.checks import Document, Named, entries, unknown
from gateway.registry.problems import HINT, Fault, did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.registry.problems import Trail

_OWNERS = ("keys", "teams", "limits")
_WHOLE = ("global", "user")
_SERVED = ("provider", "deployment")
_WILD = frozenset("*?[")
VAIN = "this is the only model that the quota is for, so it would hold nothing back (name another model, or use reject)"


def limit_faults(data: Any) -> list[Fault]:
    """Every quota and limit of an interpolated document that says something that cannot be."""
    if not isinstance(data, dict):
        return []
    named = Named(data)
    found: list[Fault] = []
    for trail, scope, owner, quota in every_quota(data):
        found += _quota_faults(named, trail, scope, quota)
        found += _vain_downgrade(named, trail, owner, quota)
    for index, rule in entries(data, "limits"):
        found += _member_faults(named, ("limits", index, "only"), rule)
    return found


def unknown_downgrades(data: Document, quotas: list[dict[str, Any]]) -> list[str]:
    """What is wrong with quotas of a key beside the document: nothing in it serves the models that they switch to."""
    named = Named(data)
    models = [model for quota in quotas if (model := switched_to(quota)) is not None]
    return [_no_model(named, model, ()).text for model in models if not named.resolves(model)]


def switched_to(quota: dict[str, Any]) -> str | None:
    """The model that a quota downgrades to, if it does."""
    action = quota.get("action_on_exceed")
    model = action.get("downgrade") if isinstance(action, dict) else None
    return model if isinstance(model, str) else None


def every_quota(data: Document) -> Iterator[tuple[Trail, Any, dict[str, Any], dict[str, Any]]]:
    """Every well-formed quota with its place, its scope and its owner."""
    for name in _OWNERS:
        for index, owner in entries(data, name):
            quotas = owner.get("quotas")
            scope = owner.get("scope") if name == "limits" else name[:-1]
            for position, quota in enumerate(quotas if isinstance(quotas, list) else ()):
                if isinstance(quota, dict):
                    yield (name, index, "quotas", position), scope, owner, quota


def _quota_faults(named: Named, trail: Trail, scope: Any, quota: dict[str, Any]) -> Iterator[Fault]:
    action = quota.get("action_on_exceed")
    if "throttle_to" in quota and action != "throttle":
        message = "only `action_on_exceed: throttle` has a rate to throttle to (set it, or remove `throttle_to`)"
        yield Fault((*trail, "throttle_to"), message, at_key=True)
    if "unpriced" in quota and "cost" not in quota:
        message = "only a quota of `cost` asks for prices (remove `unpriced`, or set `cost`)"
        yield Fault((*trail, "unpriced"), message, at_key=True)
    model = switched_to(quota)
    if model is None:
        return
    if scope in _SERVED:
        message = f"the model is settled before a {scope} is chosen (use reject: a route goes on to its next target)"
        yield Fault((*trail, "action_on_exceed"), message)
    elif not named.resolves(model):
        yield _no_model(named, model, (*trail, "action_on_exceed", "downgrade"))


def _vain_downgrade(named: Named, trail: Trail, owner: dict[str, Any], quota: dict[str, Any]) -> Iterator[Fault]:
    """A key's or a limit's models are all the one that it switches to: its quota would hold nothing back."""
    model = switched_to(quota)
    models = owner.get("models") if trail[0] == "keys" else owner.get("only") if owner.get("scope") == "model" else None
    listed = models if isinstance(models, list) else [models]
    if model is not None and listed and all(isinstance(one, str) and named.are_one(one, model) for one in listed):
        yield Fault((*trail, "action_on_exceed", "downgrade"), VAIN)


def _no_model(named: Named, model: str, trail: Trail) -> Fault:
    message = f"no route and no provider has a model {shown(model)}{HINT} (name one that is configured)"
    return Fault(trail, message, hint=lambda: did_you_mean(model, sorted(named.models)))


def _member_faults(named: Named, trail: Trail, rule: dict[str, Any]) -> Iterator[Fault]:
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
            yield from _unknown_member(named, place, scope, member)


def _unknown_member(named: Named, trail: Trail, scope: Any, member: str) -> Iterator[Fault]:
    """A name without wildcards must be somebody's; a glob may be for members to come."""
    if scope == "model":
        if not named.resolves(member):
            yield _no_model(named, member, trail)
    elif scope in ("provider", "key", "team"):
        known = getattr(named, f"{scope}s")
        if member not in known:
            yield unknown(scope, member, known, trail)
    elif scope == "deployment" and not _is_deployment(named, member):
        message = f"there is no deployment {shown(member)}{HINT} (write provider/model as configured)"
        yield Fault(trail, message, hint=partial(_nearest_deployment, named, member))


def _is_deployment(named: Named, member: str) -> bool:
    provider, _, model = member.partition("/")
    return bool(model) and named.serves(provider, model)


def _nearest_deployment(named: Named, member: str) -> str:
    known = (f"{provider}/{model}" for provider, models in named.listed.items() for model in sorted(models or ()))
    return did_you_mean(member, known)
