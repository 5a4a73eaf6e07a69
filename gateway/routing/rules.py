"""Which rule a call falls under: routes in file order, then `provider/model`, then the bare name. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from gateway.errors import ModelNotFound
from gateway.registry.snapshot import DEFAULT_FALLBACK_ON, DEFAULT_MAX_ATTEMPTS, Match, Snapshot, Target
from gateway.types import Call, Principal

DIRECT = "direct"
"""The route name of `provider/model` and of pinned calls."""
BY_MODEL = "model"
"""The route name of bare model names."""


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """What a call falls under, before anything is ordered or left out."""

    route: str
    strategy: str
    targets: tuple[Target, ...]
    fallback_on: frozenset[str] = DEFAULT_FALLBACK_ON
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    max_output_tokens: int | None = None


def resolve(snapshot: Snapshot, call: Call, principal: Principal) -> Rule:
    """The rule of this call. Raises ModelNotFound."""
    if call.pinned is not None:
        return _direct(snapshot, call.pinned, call.model.removeprefix(f"{call.pinned}/"))
    for route in snapshot.routes:
        if matches(route.match, call, principal):
            return Rule(
                route.name,
                route.strategy,
                route.targets,
                route.fallback_on,
                route.max_attempts,
                route.max_output_tokens,
            )
    provider, slash, model = call.model.partition("/")
    if slash and provider in snapshot.providers:
        return _direct(snapshot, provider, model)
    listed = snapshot.models.get(call.model)
    if listed:
        return Rule(BY_MODEL, "priority", tuple(Target(deployment) for deployment in listed))
    raise ModelNotFound(param="model")


def _direct(snapshot: Snapshot, provider: str, model: str) -> Rule:
    deployment = snapshot.deployment_for(provider, model)
    if deployment is None:
        raise ModelNotFound(param="model")
    return Rule(DIRECT, "priority", (Target(deployment),))


def matches(match: Match, call: Call, principal: Principal) -> bool:
    """Whether every condition that is set holds."""
    return (
        (match.model is None or fnmatchcase(call.model, match.model))
        and (not match.services or call.service in match.services)
        and (match.team is None or match.team == principal.team)
        and (match.key is None or match.key == principal.key)
        and (match.stream is None or match.stream == call.stream)
        and all(
            call.headers.get(name.encode(), b"").decode("latin-1") == wanted for name, wanted in match.headers.items()
        )
    )
