"""What an operator asks a new key to be: checked with the rules of the configuration file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from gateway.auth.refusals import DraftRejected
from gateway.registry.check_limits import VAIN, switched_to
from gateway.registry.problems import shown
from gateway.registry.schema.access import Key
from gateway.registry.schema.explain import explain

METADATA_MAX = 64
"""Entries, and four times as many characters in each."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A key that is about to be created. Limits and quotas stand in the notation of the configuration file."""

    name: str
    team: str | None = None
    models: list[str] | None = None
    services: list[str] | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    quotas: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    expires_at: float | None = None
    """Unix seconds."""


def check(draft: Draft) -> None:
    """Raises DraftRejected, which names every mistake and what to do."""
    given: dict[str, Any] = {
        "name": draft.name,
        "team": draft.team,
        "models": draft.models,
        "services": draft.services,
        "limits": draft.limits,
        "quotas": draft.quotas,
    }
    complaints: list[tuple[str, str]] = []
    try:
        Key.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        complaints = [_complaint(detail) for detail in error.errors(include_url=False)]
    for index, quota in enumerate(draft.quotas):
        if "throttle_to" in quota and quota.get("action_on_exceed") != "throttle":
            complaints.append(
                (f"quotas.{index}.throttle_to", "only the action throttle has a rate (set it, or leave it out)")
            )
        if draft.models and set(draft.models) == {switched_to(quota)}:
            complaints.append((f"quotas.{index}.action_on_exceed.downgrade", VAIN))
    if not draft.name.strip("."):
        complaints.append(("name", "a name of dots alone has no path of its own in the API (use another)"))
    if draft.models == []:
        complaints.append(("models", "an empty list allows nothing (name some, or leave it out to allow all)"))
    if len(draft.metadata) > METADATA_MAX or any(
        len(word) > 4 * METADATA_MAX for pair in draft.metadata.items() for word in pair
    ):
        complaints.append(("metadata", f"at most {METADATA_MAX} entries of {4 * METADATA_MAX} characters (shorten it)"))
    if complaints:
        raise DraftRejected(complaints)


def unknown_team(team: str) -> DraftRejected:
    """What to say of a team that there is not: its limits would bind nobody."""
    return DraftRejected([("team", f"there is no team {shown(team)} (create it first, or leave the team out)")])


def _complaint(detail: Any) -> tuple[str, str]:
    place = ".".join(str(step) for step in detail["loc"])
    return place, explain(detail, Key, ()).text
