"""The database's part of the configuration as it travels: plain data with its secrets still sealed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.registry.resources.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.registry.resources.records import Resource, State

FORMAT = 1
"""Raised when an older version would read it wrongly."""
PRESENTED = frozenset({"is_default"})
"""Settings of a model that decide its place in the list, and are no words of the document."""
INACTIVE = "inactive"


class BadFragment(ValueError):
    """Bytes that are no fragment."""


class Piece(msgspec.Struct):
    """A resource: what it is called, and what the document says of it."""

    id: str
    name: str
    settings: dict[str, Any]


class Credential(msgspec.Struct):
    """What opens a provider. `secret` and `previous` are sealed JSON of settings; `references` are read where they are
    used."""

    id: str
    name: str
    secret: str | None = None
    previous: str | None = None
    until: float | None = None
    """Unix seconds: the end of `previous`."""
    references: dict[str, str] = {}
    fields: list[str] = []
    """The settings that the secret holds."""

    def __repr__(self) -> str:
        return f"<Credential {self.name}>"


class Owner(Piece):
    """A provider with what belongs to it."""

    models: list[Piece] = []
    credentials: list[Credential] = []


class Fragment(msgspec.Struct):
    """Everything that the database adds to the document, at one revision."""

    revision: int = 0
    providers: list[Owner] = []
    routes: list[Piece] = []
    teams: list[Piece] = []
    limits: list[Piece] = []
    header: tuple[str, str] | None = None
    """The vault's salt and canary: what opens the sealed, and how to tell the wrong key."""
    format: int = FORMAT

    @property
    def empty(self) -> bool:
        """It adds nothing."""
        return not (self.providers or self.routes or self.teams or self.limits)


EMPTY = Fragment()
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Fragment)


def encode(fragment: Fragment) -> bytes:
    """As JSON; the same fragment gives the same bytes."""
    return _encoder.encode(fragment)


def decode(data: bytes) -> Fragment:
    """Raises BadFragment for what is damaged, or of another format."""
    try:
        found = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFragment("it is damaged") from error
    if found.format != FORMAT:
        raise BadFragment(f"it is of format {found.format}, this version reads {FORMAT}")
    return found


def fragment_of(state: State) -> Fragment:
    """The part of the document that these resources are. The same resources give the same fragment everywhere."""
    return Fragment(
        revision=state.revision,
        providers=[_owner(one, state) for one in _ordered(state.of(Kind.PROVIDER).values())],
        routes=[_piece(one) for one in _rules(state)],
        teams=[_piece(one) for one in _ordered(state.of(Kind.TEAM).values())],
        limits=[_piece(one) for one in _ordered(state.of(Kind.LIMIT).values())],
    )


def _ordered(resources: Iterable[Resource]) -> list[Resource]:
    return sorted(resources, key=lambda one: one.id)


def _rules(state: State) -> list[Resource]:
    rules = sorted(state.of(Kind.RULE).values(), key=lambda rule: (rule.position or 0, rule.id))
    return [rule for rule in rules if rule.settings.get("status") != INACTIVE]


def _owner(provider: Resource, state: State) -> Owner:
    mine = [one for one in state.within(provider.id) if one.kind is Kind.MODEL]
    listed = sorted(mine, key=lambda one: (not one.settings.get("is_default", False), one.id))
    keys = [one for one in state.within(provider.id) if one.kind is Kind.CREDENTIAL]
    return Owner(
        provider.id,
        provider.name,
        dict(provider.settings),
        [_piece(one) for one in listed],
        [_credential(one) for one in _ordered(keys) if one.settings.get("status") != INACTIVE],
    )


def _piece(resource: Resource) -> Piece:
    left_out = (
        PRESENTED if resource.kind is Kind.MODEL else frozenset(("status",)) if resource.kind is Kind.RULE else ()
    )
    settings = {name: value for name, value in resource.settings.items() if name not in left_out}
    return Piece(resource.id, resource.name, settings)


def _credential(resource: Resource) -> Credential:
    references = resource.settings.get("references")
    return Credential(
        resource.id,
        resource.name,
        resource.secret,
        resource.previous,
        resource.previous_until,
        dict(references) if isinstance(references, dict) else {},
        list(resource.settings.get("fields", ())),
    )
