"""Which rule a call falls under: routes in file order, then `provider/model`, then the bare name, then the default
route. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gateway.errors import ModelNotFound
from gateway.registry.snapshot import (
    DEFAULT_STICKY_ON,
    Match,
    Route,
    Snapshot,
    Target,
)
from gateway.routing.globs import fits
from gateway.types import DEFAULT_FALLBACK_ON, DEFAULT_MAX_ATTEMPTS, Call, Deployment, Hedge, Principal, Skipped

DIRECT = "direct"
"""The route name of `provider/model` and of pinned calls."""
BY_MODEL = "model"
"""The route name of bare model names."""


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """What a call falls under, before anything is ordered or left out for what it is at the moment."""

    route: str
    strategy: str
    targets: tuple[Target, ...]
    fallback_on: frozenset[str] = DEFAULT_FALLBACK_ON
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    max_output_tokens: int | None = None
    absent: tuple[Skipped, ...] = ()
    """Targets that can never be chosen, and why."""
    sticky_on: tuple[str, ...] = DEFAULT_STICKY_ON
    fallbacks: Mapping[str, tuple[Deployment, ...]] = field(default_factory=dict)
    hedge: Hedge | None = None


def resolve(snapshot: Snapshot, call: Call, principal: Principal, routes: Iterable[Route] | None = None) -> Rule:
    """The rule of this call; `routes` are those that can match, in file order, where that is known. Raises
    ModelNotFound."""
    if call.pinned is not None:
        return _pinned(snapshot, call.pinned, call.model)
    model = snapshot.aliases.get(call.model, call.model)
    for route in snapshot.routes if routes is None else routes:
        if matches(route.match, call, principal, model):
            return _of_route(route)
    provider, slash, rest = model.partition("/")
    if slash and provider in snapshot.providers:
        deployment = snapshot.deployment_for(provider, rest)
        if deployment is not None:
            return _direct(deployment)
    if listed := snapshot.models.get(model):
        return Rule(BY_MODEL, "priority", tuple(Target(deployment) for deployment in listed))
    if snapshot.default is not None:
        return _of_route(snapshot.default)
    raise ModelNotFound.called(call.model)


def _of_route(route: Route) -> Rule:
    return Rule(
        route.name,
        route.strategy,
        route.targets,
        route.fallback_on,
        route.max_attempts,
        route.max_output_tokens,
        route.absent,
        route.sticky_on,
        route.fallbacks,
        route.hedge,
    )


def _pinned(snapshot: Snapshot, provider: str, model: str) -> Rule:
    found = snapshot.providers.get(provider)
    if found is None:
        raise ModelNotFound(f"No provider is called `{provider}`.", param="model")
    if found.status == "inactive":
        raise ModelNotFound(f"The provider `{provider}` is inactive.", param="model")
    deployment = snapshot.deployment_for(provider, model.removeprefix(f"{provider}/"))
    if deployment is None:
        raise ModelNotFound.called(model)
    return _direct(deployment)


def _direct(deployment: Deployment) -> Rule:
    return Rule(DIRECT, "priority", (Target(deployment),))


def matches(match: Match, call: Call, principal: Principal, model: str | None = None) -> bool:
    """Whether every condition that is set holds; `model` is the name to match, where it is not the call's own."""
    return next(_misses(match, call, principal, call.model if model is None else model), None) is None


def mismatches(match: Match, call: Call, principal: Principal, model: str) -> tuple[str, ...]:
    """The conditions that do not hold, in the words of the configuration."""
    return tuple(_misses(match, call, principal, model))


def _misses(match: Match, call: Call, principal: Principal, model: str) -> Iterator[str]:
    if match.models and not fits(match.models, model):
        yield "model"
    if match.services and call.service not in match.services:
        yield "service"
    if match.team is not None and match.team != principal.team:
        yield "team"
    if match.key is not None and match.key != principal.key:
        yield "key"
    if match.groups and match.groups.isdisjoint(principal.groups):
        yield "group"
    if match.stream is not None and match.stream != call.stream:
        yield "stream"
    if match.capabilities and not match.capabilities <= call.needs:
        yield "capabilities"
    if match.context is not None and not match.context.holds(context_of(call)):
        yield "context"
    if match.size is not None and not match.size.holds(size_of(call)):
        yield "size"
    for name, wanted in match.headers.items():
        if call.headers.get(name.encode(), b"").decode("latin-1") != wanted:
            yield f"headers.{name}"


def context_of(call: Call) -> int:
    """Tokens that a call takes of a model's window: its input, estimated, and the output that the caller allows."""
    return call.input_tokens + (call.max_tokens or 0)


def size_of(call: Call) -> int | None:
    """Bytes of the body; None while that is not known."""
    return len(call.raw) if call.upload is None else call.upload.size
