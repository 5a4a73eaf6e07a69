"""Which rule a call falls under: routes in file order, then `provider/model`, then the bare name, then the default
route. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.errors import ModelNotFound
from gateway.registry.snapshot import Match, Route, Snapshot, Target
from gateway.routing.globs import fits
from gateway.types import Call, Deployment, Principal

DIRECT = "direct"
"""The route name of `provider/model` and of pinned calls."""
BY_MODEL = "model"
"""The route name of bare model names."""


def resolve(snapshot: Snapshot, call: Call, principal: Principal, routes: Iterable[Route] | None = None) -> Route:
    """The route that this call falls under: a configured one, or what the model's name implies.

    `routes` are those that can match, in file order, where that is known. Raises ModelNotFound."""
    if call.pinned is not None:
        return _pinned(snapshot, call.pinned, call.model)
    model = snapshot.aliases.get(call.model, call.model)
    for route in snapshot.routes if routes is None else routes:
        if matches(route.match, call, principal, model):
            return route
    provider, slash, rest = model.partition("/")
    if slash and provider in snapshot.providers:
        deployment = snapshot.deployment_for(provider, rest)
        if deployment is not None:
            return _direct(deployment)
    if listed := snapshot.models.get(model):
        return _implied(BY_MODEL, tuple(map(Target, listed)))
    if snapshot.default is not None:
        return snapshot.default
    raise ModelNotFound.called(call.model)


def _pinned(snapshot: Snapshot, provider: str, model: str) -> Route:
    found = snapshot.providers.get(provider)
    if found is None:
        raise ModelNotFound(f"No provider is called `{provider}`.", param="model")
    if found.status == "inactive":
        raise ModelNotFound(f"The provider `{provider}` is inactive.", param="model")
    deployment = snapshot.deployment_for(provider, model.removeprefix(f"{provider}/"))
    if deployment is None:
        raise ModelNotFound.called(model)
    return _direct(deployment)


def _direct(deployment: Deployment) -> Route:
    return _implied(DIRECT, (Target(deployment),))


def _implied(name: str, targets: tuple[Target, ...]) -> Route:
    """The rule that nobody wrote: a name that means its deployments."""
    return Route(name, Match(), "priority", targets)


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
