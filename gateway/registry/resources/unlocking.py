"""Credentials of the database to settings of a provider: unsealed, or read from where they refer to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gateway.registry.resources.kinds import context_of
from gateway.registry.resources.merging import Keys

if TYPE_CHECKING:
    from gateway.registry.resources.fragment import Credential, Fragment, Owner

HEADER = "header:"
"""Before the name of a header that a credential holds."""
KEY = "api_key"

Read = Callable[[str, str], str]
"""Of a reference and the setting it is for. Raises ValueError with a sentence that holds no secret."""


class Unseal(Protocol):
    """Raises what `Opener.damaged` names."""

    def __call__(self, token: str, *, context: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens credentials, each by itself: one that is damaged says nothing of the others."""

    unseal: Unseal
    read: Read
    damaged: tuple[type[Exception], ...] = ()
    """What `unseal` raises for a secret that cannot be had."""

    @property
    def _failures(self) -> tuple[type[Exception], ...]:
        return (ValueError, *self.damaged)

    def __call__(self, owner: Owner) -> Keys:
        """See `merging.Unlock`."""
        opened: list[tuple[str, dict[str, str]]] = []
        spare: list[str] = []
        broken: list[str] = []
        for credential in owner.credentials:
            try:
                opened.append((credential.name, self._open(credential)))
            except self._failures as error:
                broken.append(f"the credential {credential.name} cannot be used: {error}")
            spare += self._replaced(credential)
        return _keys(opened, spare, tuple(broken), bool(owner.credentials))

    def _open(self, credential: Credential) -> dict[str, str]:
        found: dict[str, str] = {}
        if credential.secret is not None:
            found |= _settings(self.unseal(credential.secret, context=context_of(credential.id)))
        for name, reference in credential.references.items():
            found[name] = self.read(reference, name)
        if not found:
            raise ValueError("nothing is stored in it (store its secret again)")
        return found

    def _replaced(self, credential: Credential) -> Iterable[str]:
        if credential.previous is None or (credential.until or 0.0) <= time.time():
            return
        try:
            found = _settings(self.unseal(credential.previous, context=context_of(credential.id)))
        except self._failures:
            return  # it was replaced: nobody misses it
        if KEY in found:
            yield found[KEY]


def stand_ins(owner: Owner) -> Keys:
    """The same with a word in the place of each secret: enough to check a configuration."""
    opened = [
        (credential.name, dict.fromkeys([*credential.references, *credential.fields], "unknown"))
        for credential in owner.credentials
    ]
    opened = [(name, found) for name, found in opened if found]
    return _keys(opened, [], (), bool(opened))


def seals(fragment: Fragment, read: Read) -> list[list[str]]:
    """What tells secrets apart without opening any: as they are sealed, or what stands where they refer to."""
    return [
        [credential.id, credential.secret or "", *_referred(credential, read)]
        for owner in fragment.providers
        for credential in owner.credentials
    ]


def _referred(credential: Credential, read: Read) -> Iterable[str]:
    for name, reference in sorted(credential.references.items()):
        try:
            yield f"{name}={read(reference, name)}"
        except ValueError:
            yield f"{name} is not there"


def _settings(plain: str) -> dict[str, str]:
    found = json.loads(plain)
    if not isinstance(found, dict):
        raise ValueError("the stored secret has another form (store it again)")
    return {str(name): str(value) for name, value in found.items()}


def _keys(opened: list[tuple[str, dict[str, str]]], spare: list[str], broken: tuple[str, ...], some: bool) -> Keys:
    """Keys are used in turn; of everything else the first credential that has it decides."""
    settings: dict[str, Any] = {}
    headers: dict[str, str] = {}
    for _, found in reversed(opened):
        headers |= {name.removeprefix(HEADER): value for name, value in found.items() if name.startswith(HEADER)}
        settings |= {name: value for name, value in found.items() if not name.startswith(HEADER)}
    keys: Mapping[str, str] = {found[KEY]: name for name, found in reversed(opened) if KEY in found}
    named = list(reversed(list(keys.items())))
    if named:
        settings[KEY] = [key for key, _ in named]
    return Keys(settings, headers, tuple(name for _, name in named), tuple(spare), broken, some)
