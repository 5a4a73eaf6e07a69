"""Which limits and quotas bind a call: the key's, the team's and the rules', put together once for each kind of
caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from zlib import crc32

from gateway.limits.limitset import LimitSet, Member, Names
from gateway.registry.snapshot import Snapshot
from gateway.types import Deployment, LimitRule, LimitSpec, Principal, QuotaSpec

SHARDS = 16
"""How many hash tags the counters are spread over on a cluster."""
MAX_SETS = 20_000
ShardOf = Callable[[str], str]


def one_shard(owner: str) -> str:
    """Every counter in one place: a server that is no cluster."""
    del owner
    return "0"


def many_shards(owner: str) -> str:
    """Counters spread over a cluster."""
    return str(crc32(owner.encode()) % SHARDS)


class Policy:
    """The limits of one snapshot."""

    def __init__(self, snapshot: Snapshot, shard_of: ShardOf, worker: str) -> None:
        self._teams = snapshot.teams
        self._rules = snapshot.limits
        self._shard_of = shard_of
        self._worker = worker
        self._callers: dict[tuple[Principal, str | None, bool], tuple[LimitSet, ...]] = {}
        self._deployments: dict[Deployment, tuple[LimitSet, ...]] = {}
        scopes = {rule.scope for rule in snapshot.limits}
        self._by_model, self._by_user = "model" in scopes, "user" in scopes

    def of_caller(self, principal: Principal, model: str, *, user: bool = True) -> tuple[LimitSet, ...]:
        """What is decided before a call is routed: limits of key, team, users, the model asked for, and all calls. The
        first set is the caller's own and always there. `user`: the call names one; rules for users are for no other."""
        question = (principal, model if self._by_model else None, user or not self._by_user)
        found = self._callers.get(question)
        if found is None:
            if len(self._callers) >= MAX_SETS:
                self._callers.clear()
            found = self._callers[question] = self._for_caller(principal, model, user=user)
        return found

    def of_deployment(self, deployment: Deployment) -> tuple[LimitSet, ...]:
        """What is decided before each attempt: limits of the deployment and its provider; often none."""
        found = self._deployments.get(deployment)
        if found is None:
            if len(self._deployments) >= MAX_SETS:
                self._deployments.clear()
            found = self._deployments[deployment] = self._for_deployment(deployment)
        return found

    def _for_caller(self, principal: Principal, model: str, *, user: bool) -> tuple[LimitSet, ...]:
        tenant = f"team:{principal.team}" if principal.team is not None else f"key:{principal.key}"
        own = self._shard_of(tenant)
        team = self._teams.get(principal.team) if principal.team is not None else None
        members: dict[str, list[Member]] = {own: []}
        members[own] += _members((*principal.limits, *principal.quotas), principal.key)
        if team is not None:
            members[own] += _members((*team.limits, *team.quotas), team.name)
        who = {
            "key": principal.key,
            "team": principal.team,
            "model": model,
            "global": "",
            "user": tenant if user else None,
        }
        for rule in self._rules:
            member = who.get(rule.scope)
            if member is None or not _covers(rule, member):
                continue
            shared = rule.scope in ("model", "global")
            owner = f"{rule.name}:{member}" if member else rule.name
            place = self._shard_of(f"{rule.scope}:{owner}") if shared else own
            members.setdefault(place, []).extend(
                _members((*rule.limits, *rule.quotas), owner, per_user=rule.scope == "user", whose=member)
            )
        return self._sets(members)

    def _for_deployment(self, deployment: Deployment) -> tuple[LimitSet, ...]:
        provider = deployment.provider
        place = self._shard_of(f"provider:{provider.name}")
        own = [*provider_limits(deployment)]
        for rule in self._rules:
            member = {"provider": provider.name, "deployment": deployment.id}.get(rule.scope)
            if member is not None and _covers(rule, member):
                own += _members((*rule.limits, *rule.quotas), f"{rule.name}:{member}", whose=member)
        return self._sets({place: own}) if own else ()

    def _sets(self, members: Mapping[str, Sequence[Member]]) -> tuple[LimitSet, ...]:
        return tuple(LimitSet.of(those, Names(shard, self._worker)) for shard, those in members.items())


def provider_limits(deployment: Deployment) -> Iterable[Member]:
    """What the provider's own settings and its model's allow, across all workers and replicas."""
    provider = deployment.provider
    for scope, name, owner in (("provider", provider.name, provider), ("deployment", deployment.id, deployment)):
        for kind, rate in (("requests", owner.requests), ("tokens", owner.tokens)):
            if rate is not None:
                capacity = rate.burst or rate.count
                period = rate.period * capacity / rate.count
                yield Member(LimitSpec(scope, name, kind, capacity, period=period, count=rate.count), name)
        slots = owner.concurrency_limit
        if slots is not None:
            yield Member(LimitSpec(scope, name, "concurrency", slots, count=slots), name)


def _members(
    specs: Iterable[LimitSpec | QuotaSpec], owner: str, *, per_user: bool = False, whose: str | None = None
) -> Iterable[Member]:
    return [Member(spec, owner, per_user, whose) for spec in specs]


def _covers(rule: LimitRule, member: str) -> bool:
    return not rule.only or any(fnmatchcase(member, pattern) for pattern in rule.only)
