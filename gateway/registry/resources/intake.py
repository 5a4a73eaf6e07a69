"""A worker's share of the database's resources: from the shelf, opened, and joined to each load of the file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.registry.compiling import Memory
from gateway.registry.interpolation import interpolate
from gateway.registry.loader import Loaded
from gateway.registry.resources.fragment import EMPTY, BadFragment, Fragment
from gateway.registry.resources.joining import join
from gateway.registry.resources.reading import References
from gateway.registry.resources.unlocking import Opener, stand_ins

if TYPE_CHECKING:
    from gateway.registry.compiling import Context
    from gateway.registry.resources.errors import Problem
    from gateway.registry.resources.merging import Unlock
    from gateway.registry.resources.shelf import Seen, Shelf
    from gateway.settings import Settings
    from gateway.vault import Vault


class Intake:
    """Joins what the shelf holds. A shelf that is damaged changes nothing: what was read last serves on."""

    def __init__(self, shelf: Shelf, settings: Settings, env: Mapping[str, str], context: Context) -> None:
        self._shelf = shelf
        self._settings = settings
        self._env = env
        # A memory of its own: another intake may open what this one leaves sealed.
        self._context = replace(context, memory=Memory())
        self._references = References.of(settings, env)
        self._fragment = EMPTY
        self._seen: Seen = None
        self._looks = 0
        self.trouble: str | None = None
        """Why the newest resources are not served; None when they are."""
        self.parked: tuple[Problem, ...] = ()
        """What did not fit the file when it was joined last, and why."""

    def __repr__(self) -> str:
        return f"<Intake revision={self._fragment.revision} trouble={self.trouble}>"

    async def joined(self, loaded: Loaded) -> Loaded:
        """What was loaded of the file, and the resources, beside the loop. Raises OperatorError for a wrong
        ENCRYPTION_KEY."""
        return await asyncio.to_thread(self.join, loaded)

    def join(self, loaded: Loaded, *, sealed: bool = False) -> Loaded:
        """As `joined`. `sealed`: without opening anything, for who needs no secrets."""
        fragment = self._read()
        if fragment.empty:
            self.parked = ()
            return loaded if not fragment.revision else _at(loaded, fragment.revision)
        unlock = stand_ins if sealed else self._opener(fragment)
        base = interpolate(loaded.document, self._env)
        found = join(base, fragment, unlock, self._context, self._references.read)
        self.parked = found.parked
        return replace(loaded, snapshot=found.snapshot)

    def refresh(self) -> int:
        """Look at the shelf; the number of the state that it was found in."""
        seen = self._shelf.seen()
        if seen != self._seen:
            self._seen = seen
            self._looks += 1
        return self._looks

    def _read(self) -> Fragment:
        try:
            self._fragment = self._shelf.read() or EMPTY
            self.trouble = None
        except BadFragment as error:
            self.trouble = f"{self._shelf.path.name} is not usable: {error}"
        return self._fragment

    def _opener(self, fragment: Fragment) -> Unlock:
        from gateway.vault import VaultError  # noqa: PLC0415 - only where something is sealed

        vault = open_vault(self._settings, fragment)
        return Opener(vault.unseal, self._references.read, (VaultError,))


def open_vault(settings: Settings, fragment: Fragment) -> Vault:
    """With the keys of this environment, proven on the fragment's canary. Raises OperatorError for a wrong key."""
    from gateway.vault import Header, Vault  # noqa: PLC0415 - only where something is sealed

    if fragment.header is None:
        return Vault(())
    return Vault.with_header(settings, Header(*fragment.header))


def _at(loaded: Loaded, revision: int) -> Loaded:
    """The file alone, at a revision of resources that adds nothing to it."""
    return replace(loaded, snapshot=replace(loaded.snapshot, resources=revision))
