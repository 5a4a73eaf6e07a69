"""When an incident begins, what belongs to it, and when it is over. Pure.

A provider has one incident at a time, however many of its deployments fail: its parts are the provider itself, by what
probes say, and its deployments. It is over once no part fails any more and nothing came up again for a while, so that
a flapping provider makes one incident and not a hundred.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from gateway.health.events import Event, Failures, Recovered
from gateway.ports import DeploymentChanged, ProbeResult

SECOND = 1_000_000
CLOSE_AFTER = 60 * SECOND
"""How long nothing must have failed before an incident counts as over; it ended when that time began."""
FORGET_AFTER = 15 * 60 * SECOND
"""A part of which nobody says anything for so long is over: its worker may be gone, or nobody calls it."""
AT_ONCE = frozenset({"provider_auth", "tls", "address_forbidden"})
"""Failures of single attempts that no retry mends: somebody has to look. The others are for the breaker to judge."""
NO_INCIDENT = frozenset({"cooldown", "429"})
"""Causes for which a deployment rests without anything being wrong."""
PROVIDER = ""
"""The part that is the provider itself."""
BY_HAND = "by hand"
"""The part that a person told: it is over when a person says so."""


class Part(msgspec.Struct):
    """One thing that fails, or did. Times are Unix microseconds."""

    cause: str
    since: int
    last: int
    over: bool = False


class Incident(msgspec.Struct):
    """One provider's trouble, from its first failure to its end."""

    id: str
    provider: str
    cause: str
    """What was found first."""
    first_failure: int
    last_failure: int
    failures: int = 0
    """Probes and attempts that failed; after a crash of the bookkeeper a report may be counted twice."""
    parts: dict[str, Part] = msgspec.field(default_factory=dict)
    quiet_since: int | None = None
    """When the last part was over."""
    closed_at: int | None = None

    @property
    def deployments(self) -> list[str]:
        """Those that failed themselves."""
        return [subject for subject in self.parts if subject not in (PROVIDER, BY_HAND)]


class Failing(NamedTuple):
    """Something fails."""

    subject: str
    cause: str
    since: int
    at: int
    times: int
    opens: bool
    """Enough for an incident; else it only counts in one that is open."""
    before: int = 0
    """Failures that led to it. An incident that was open then has them already."""


class Well(NamedTuple):
    """Something works."""

    subject: str
    at: int


Reading = Failing | Well | None


def provider_of(event: Event) -> str:
    """Whose trouble it is."""
    return event.provider if isinstance(event, ProbeResult) else event.deployment.partition("/")[0]


def reading_of(event: Event, before: ProbeResult | None) -> Reading:
    """What an event says. `before` is the last probe of the same thing: a probe counts when it fails twice."""
    if isinstance(event, ProbeResult):
        return _probe(event, before)
    if isinstance(event, DeploymentChanged):
        return _change(event)
    if isinstance(event, Recovered):
        return Well(event.deployment, microseconds(event.at))
    return _attempts(event)


def _probe(event: ProbeResult, before: ProbeResult | None) -> Reading:
    subject, at = event.deployment or PROVIDER, microseconds(event.at)
    if not event.failed:
        return Well(subject, at)
    if before is None or not before.failed:
        return Failing(subject, event.outcome, at, at, 1, opens=False)
    # The probe that failed first stands in the history; the second one found out that it was no accident.
    return Failing(subject, event.outcome, microseconds(before.at), at, 1, opens=True, before=1)


def _change(event: DeploymentChanged) -> Reading:
    at = microseconds(event.at)
    if event.state == "healthy":
        return Well(event.deployment, at)
    if event.state != "out" or event.cause in NO_INCIDENT:
        return None
    # What a probe did is for the probes to judge; what another worker found out, that one reports.
    opens = not (event.probed or event.told)
    return Failing(event.deployment, event.cause or "breaker", at, at, 0, opens=opens, before=max(1, event.failures))


def _attempts(event: Failures) -> Reading:
    first, last = microseconds(event.first), microseconds(event.last)
    return Failing(event.deployment, event.outcome, first, last, event.count, opens=event.outcome in AT_ONCE)


def absorb(incident: Incident | None, provider: str, reading: Reading, fresh_id: Callable[[], str]) -> Incident | None:
    """The incident after one more reading; None: there is still none."""
    if isinstance(reading, Failing):
        if incident is None:
            if not reading.opens:
                return None
            incident = Incident(fresh_id(), provider, reading.cause, reading.since, reading.at, reading.before)
        _fail(incident, reading)
    elif isinstance(reading, Well) and incident is not None:
        part = incident.parts.get(reading.subject)
        if part is not None and reading.at >= part.last:
            part.over = True
        _look(incident, reading.at)
    return incident


def _fail(incident: Incident, reading: Failing) -> None:
    incident.failures += reading.times
    incident.first_failure = min(incident.first_failure, reading.since)
    incident.last_failure = max(incident.last_failure, reading.at)
    part = incident.parts.get(reading.subject)
    if part is None and reading.opens:
        incident.parts[reading.subject] = Part(reading.cause, reading.since, reading.at)
    elif part is not None:
        part.last = max(part.last, reading.at)
        part.over = part.over and not reading.opens
    _look(incident, reading.at)


def _look(incident: Incident, at: int) -> None:
    if not all(part.over for part in incident.parts.values()):
        incident.quiet_since = None
    elif incident.quiet_since is None:
        incident.quiet_since = at


def settle(incident: Incident, now: int, exists: Callable[[str, str], bool]) -> Incident:
    """The incident at a later time: parts that nobody speaks of any more, or that are not configured any more
    (`exists(provider, subject)`), are over; when all have been for a while, so is the incident."""
    for subject, part in incident.parts.items():
        if subject == BY_HAND:
            continue
        if part.last <= now - FORGET_AFTER or not exists(incident.provider, subject):
            part.over = True
    _look(incident, now)
    if incident.quiet_since is not None and incident.quiet_since <= now - CLOSE_AFTER:
        incident.closed_at = incident.quiet_since
    return incident


def microseconds(seconds: float) -> int:
    """Unix microseconds."""
    return round(seconds * SECOND)
