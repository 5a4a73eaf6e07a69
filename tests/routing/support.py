"""Providers, deployments, routes and calls that routing tests plan with."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from gateway.errors import GatewayError
from gateway.providers import discover
from gateway.providers.wire.openai import OpenAIDialect
from gateway.registry.snapshot import Match, Route, Snapshot, Target
from gateway.routing.facts import Facts, Senses, Unwatched
from gateway.routing.planner import Planner
from gateway.types import Call, Condition, Deployment, Plan, Principal, Provider, Service

CHAT_ONLY = OpenAIDialect("chat_only", services=frozenset({Service.CHAT}))
DIALECTS = {**discover(), "chat_only": CHAT_ONLY}
A = Provider("a", "openai_compatible", "http://127.0.0.1/v1")
B = Provider("b", "chat_only", "http://127.0.0.1/v1")
OFF = Provider("off", "openai_compatible", "http://127.0.0.1/v1", status="inactive")
OPEN = Provider("open", "openai_compatible", "http://127.0.0.1/v1")
TRIAL = Provider("trial", "openai_compatible", "http://127.0.0.1/v1", status="testing")
ANYONE = Principal("anonymous")
NOW = 1000.0


def of(provider: Provider, model: str, **fields: Any) -> Deployment:
    """A deployment."""
    return Deployment(f"{provider.name}/{model}", provider, model, **fields)


A1, A2, B1, T1 = of(A, "one"), of(A, "two"), of(B, "one"), of(TRIAL, "one")


def snapshot(*routes: Route, **fields: Any) -> Snapshot:
    """Providers a (one, two), b (one), open (any model), off (inactive), trial (one, testing)."""
    given: dict[str, Any] = {
        "providers": {p.name: p for p in (A, B, OFF, OPEN, TRIAL)},
        "deployments": {d.id: d for d in (A1, A2, B1, T1)},
        "models": {"one": (A1, B1), "two": (A2,)},
        **fields,
    }
    given["deployments"] |= {t.deployment.id: t.deployment for r in routes for t in r.targets}
    return Snapshot("rev", routes=routes, **given)


def route(name: str, match: Match, *targets: Deployment, strategy: str = "priority", **fields: Any) -> Route:
    """A route to these."""
    return Route(name, match, strategy, tuple(Target(target) for target in targets), **fields)


def call(model: str, **fields: Any) -> Call:
    """A call for this model."""
    given = {"service": Service.CHAT, "path": "/chat/completions", "raw": b"{}", **fields}
    return Call(id="1", request_id="1", model=model, started=0.0, **given)


def ids(found: Any) -> list[str]:
    """Deployments by name."""
    return [getattr(target, "deployment", target).id for target in found.targets]


def targets(*weights: int) -> list[Target]:
    """One target for each weight, at a deployment named after its place."""
    return [Target(of(A, str(at)), weight) for at, weight in enumerate(weights)]


def senses(**fields: Any) -> Senses:
    """Conditions of a board that a test may change, at a time that stands still."""
    return Senses(**{"conditions": Unwatched(), "clock": lambda: NOW, **fields})


def conditions(*found: Condition) -> Unwatched:
    """A board with these."""
    board = Unwatched()
    board._conditions.update({condition.deployment: condition for condition in found})
    return board


def facts(seed: int = 1, asked: Call | None = None, sticky_on: Sequence[str] = (), **fields: Any) -> Facts:
    """What a strategy looks at."""
    return Facts(asked or call("m"), "r", senses(**fields), Random(seed), {}, sticky_on)


def planner(found: Snapshot, **fields: Any) -> Planner:
    """A planner over it."""
    return Planner(found, DIALECTS, Random(1), senses(**fields))


def outcome(planner: Planner, asked: Call, principal: Principal = ANYONE) -> Any:
    """A plan, or its refusal, as plain values."""
    try:
        return plain(planner.plan(asked, principal))
    except GatewayError as refused:
        return refusal(refused)


def plain(plan: Plan) -> Any:
    """A plan as plain values."""
    return plan.route, ids(plan), plan.skipped, plan.max_attempts, plan.fallback_on


def refusal(refused: GatewayError) -> Any:
    """A refusal as plain values."""
    return type(refused), refused.public_message, refused.retry_after
