"""Where a document's secrets stand, and which of them are none. Pure; for checked documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.registry.catalogue import provider_type, secret_settings
from gateway.registry.checks import each
from gateway.registry.placeholders import is_filler, is_placeholder
from gateway.registry.problems import Fault, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.registry.catalogue import Known
    from gateway.registry.problems import Trail

_HEADER_HINTS = ("auth", "key", "token", "secret", "cookie")


def secret_places(document: Mapping[str, Any], dialects: Known | None) -> Iterator[tuple[Trail, Any]]:
    """Everything that is a credential, or may hold one, except the address of a webhook."""
    for name, settings in document.get("providers", {}).items():
        kind = provider_type(settings.get("type"), dialects)
        for setting in sorted({"api_key"} if kind is None else secret_settings(kind)):
            if setting in settings:
                yield ("providers", name, setting), settings[setting]
        for header, value in settings.get("headers", {}).items():
            if any(hint in header.lower() for hint in _HEADER_HINTS):
                yield ("providers", name, "headers", header), value
    for index, key in enumerate(document.get("keys", [])):
        if "secret" in key:
            yield ("keys", index, "secret"), key["secret"]
    alerts = document.get("alerts", {})
    for header, value in alerts.get("headers", {}).items():
        yield ("alerts", "headers", header), value
    if "secret" in alerts:
        yield ("alerts", "secret"), alerts["secret"]


def placeholders(data: Mapping[str, Any], dialects: Known | None) -> Iterator[Fault]:
    """Every secret that nobody can have meant. None is repeated."""
    for trail, said in secret_places(data, dialects):
        owner = data["providers"][trail[1]] if trail[0] == "providers" else {}
        if owner.get("status") == "inactive":
            continue
        kind = provider_type(owner.get("type"), dialects)
        keyless = kind is not None and not kind.needs
        for place, one in each(said, trail):
            if is_placeholder(one) or (is_filler(one) and not keyless):
                advice = "write the secret itself, or `${NAME}` and set that"
                yield Fault(place, f"{shown(str(trail[-1]))} is a placeholder, no secret ({advice})")
