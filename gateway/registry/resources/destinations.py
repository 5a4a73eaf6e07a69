"""Where a provider's secrets go: whoever may not see a credential may not have it sent elsewhere, either. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.registry.catalogue import provider_type
from gateway.registry.resources.errors import NewReference, Redirected
from gateway.registry.resources.records import Change, Kind, Resource, State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.registry.catalogue import Known

TRUSTED = ("admin", "")
"""Roles that may: who holds the keys of the house, and the gateway itself."""


def origins(settings: Mapping[str, Any], dialects: Known | None) -> frozenset[str]:
    """Scheme, host and port of every address that these settings lead to: their own and their type's."""
    kind = provider_type(settings.get("type"), dialects)
    try:
        base = kind.address(settings) if kind is not None else ""
    except ValueError:
        base = ""  # the document's own check complains
    return frozenset(_origin(text) for text in (base, *_texts(settings)) if "://" in text)


def refuse_redirection(changes: Sequence[Change], before: State, role: str, dialects: Known | None) -> None:
    """Raises Redirected when somebody who is not an admin changes where credentials go that were stored before.

    Credentials that refer to variables and files count like others. Overlap makes a rotated one serve on, so that it
    has to be removed: what is stored afterwards, its author knows.
    """
    if role in TRUSTED:
        return
    removed = {one.before.id for one in changes if one.kind is Kind.CREDENTIAL and one.before and one.after is None}
    for change in changes:
        if change.kind is not Kind.PROVIDER or change.before is None or change.after is None:
            continue
        if origins(change.after.settings, dialects) <= origins(change.before.settings, dialects):
            continue
        credentials = before.of(Kind.CREDENTIAL).values()
        kept = [one.name for one in credentials if one.provider_id == change.before.id and one.id not in removed]
        if kept:
            raise Redirected(change.before.name, kept)


def refuse_references(
    changes: Sequence[Change], before: State, after: State, role: str, dialects: Known | None
) -> None:
    """Raises NewReference when somebody who is not an admin has a reference followed for an address at which it was
    not followed before: its secret is the house's, and would go wherever they say."""
    if role in TRUSTED:
        return
    followed: dict[str, frozenset[str]] = {}
    for one in before.of(Kind.CREDENTIAL).values():
        for reference in _references(one):
            there = _led_to(one, before, dialects)
            followed[reference] = followed.get(reference, frozenset()) | there
    for change in changes:
        if change.kind is not Kind.CREDENTIAL or change.after is None:
            continue
        for reference in _references(change.after):
            if not _led_to(change.after, after, dialects) <= followed.get(reference, frozenset()):
                raise NewReference(change.after.name, reference)


def _references(credential: Resource) -> list[str]:
    found = credential.settings.get("references")
    return [str(reference) for reference in found.values()] if isinstance(found, dict) else []


def _led_to(credential: Resource, state: State, dialects: Known | None) -> frozenset[str]:
    provider = state.of(Kind.PROVIDER).get(credential.provider_id or "")
    return frozenset() if provider is None else origins(provider.settings, dialects)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname}:{parts.port or {'http': 80, 'https': 443}.get(parts.scheme)}".lower()
    except ValueError:
        return url
