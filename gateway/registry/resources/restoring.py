"""A resource as a history has it, over the one that is there now. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.registry.resources.records import Kind, Resource, Settings

if TYPE_CHECKING:
    from gateway.registry.resources.applying import Stamp
    from gateway.registry.resources.operations import Held

_OPENS = ("references", "fields")
"""What a credential opens its provider with: references, and what its stored secret holds."""


def brought_back(held: Held, shown: Mapping[str, Any], stamp: Stamp) -> Resource:
    """One that is not there any more. A credential comes without its secret, which is kept nowhere. Its version counts
    on: whoever remembers an earlier one (`If-Match`) did not see what comes back."""
    settings = _without(shown["settings"], "fields") if held.kind is Kind.CREDENTIAL else shown["settings"]
    return Resource(
        held.kind, held.id, shown["name"], dict(settings), dict(shown["details"]), held.version + 1,
        stamp.at, stamp.by, stamp.at, stamp.by, provider_id=shown.get("provider_id"), position=shown.get("position"),
    )  # fmt: skip


def taken_back(there: Resource, shown: Mapping[str, Any]) -> Resource:
    """One that is there, with what it said; the position of a rule aside."""
    settings = shown["settings"]
    if there.kind is Kind.CREDENTIAL:
        settings = _opening_as_before(there, settings)
    return replace(there, name=shown["name"], settings=dict(settings), details=dict(shown["details"]))


def _opening_as_before(there: Resource, was: Settings) -> Settings:
    """References follow references. Where a stored secret is, or was, the present opening stays: the secret of then is
    not to be had, and the one of now would be lost for good."""
    if there.secret is None and "references" in there.settings and "references" in was and "fields" not in was:
        return was
    return {**_without(was, *_OPENS), **{name: there.settings[name] for name in _OPENS if name in there.settings}}


def _without(settings: Settings, *names: str) -> Settings:
    return {name: value for name, value in settings.items() if name not in names}
