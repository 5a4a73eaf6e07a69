"""Which of a rule's targets can do a kind of work at all. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.bridges.speakers import Speakers
from gateway.ports import Dialect
from gateway.registry.snapshot import Route, Snapshot, Target
from gateway.routing.fitness import lacks
from gateway.routing.rules import BY_MODEL
from gateway.types import Call, Deployment, Skipped

TESTING = "testing: its provider serves only requests that name it"


class Sifted(msgspec.Struct, eq=False):
    """What a rule's targets come to for one kind of call."""

    able: tuple[Target, ...]
    """Those whose providers do this kind of work."""
    targets: tuple[Target, ...]
    """Those of them that have every capability that is needed."""
    skipped: tuple[Skipped, ...]
    """Why the others were left out."""


class Sieve:
    """Sifts the targets of one snapshot."""

    def __init__(self, snapshot: Snapshot, dialects: Mapping[str, Dialect]) -> None:
        self.speakers = Speakers(dialects)
        self._testing: dict[str, list[str]] = {}
        for deployment in snapshot.deployments.values():
            if deployment.provider.status == "testing":
                self._testing.setdefault(deployment.model, []).append(deployment.id)

    def sift(self, rule: Route, call: Call) -> Sifted:
        """The targets that can do it, and why the others cannot."""
        skipped = [*rule.absent, *self._tested(rule)]
        able: list[Target] = []
        for target in rule.targets:
            if self._serves(target.deployment, call):
                able.append(target)
            else:
                reason = f"service: its provider does not serve {call.service}"
                skipped.append(Skipped(target.deployment.id, reason))
        targets: list[Target] = []
        for target in able:
            missing = lacks(target.deployment, call.needs)
            if missing:
                skipped.append(Skipped(target.deployment.id, f"capability: it has no {missing}"))
            else:
                targets.append(target)
        return Sifted(tuple(able), tuple(targets), tuple(skipped))

    def fallbacks(self, rule: Route, call: Call) -> dict[str, tuple[Deployment, ...]]:
        """What the rule names for single failures, as far as it can do this."""
        able = {
            word: tuple(one for one in named if self._serves(one, call) and not lacks(one, call.needs))
            for word, named in rule.fallbacks.items()
        }
        return {word: named for word, named in able.items() if named}

    def services(self, rule: Route) -> list[str]:
        """What the providers of a rule's targets do serve, in words."""
        return sorted(
            {service.value for target in rule.targets for service in self.speakers.services(target.deployment)}
        )

    def _serves(self, deployment: Deployment, call: Call) -> bool:
        return self.speakers.find(call.service, call.path, deployment) is not None

    def _tested(self, rule: Route) -> list[Skipped]:
        """Deployments of a bare name that only requests for their provider reach."""
        if rule.name != BY_MODEL or not rule.targets:
            return []
        return [Skipped(name, TESTING) for name in self._testing.get(rule.targets[0].deployment.model, ())]
